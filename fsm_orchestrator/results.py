"""How a stage can end: tagged values, never exceptions.

`ProcessEnd` is what the process runner saw; `StageResult` is what it means for the stage once
its expected artifacts have been judged. Every consumer matches and ends in `assert_never`.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

from fsm_orchestrator.vocabulary import StageStatus, Trigger


class SpawnFailure(StrEnum):
    """Why a process could not be started."""

    NOT_FOUND = "not found"
    NOT_EXECUTABLE = "not executable"
    IS_DIRECTORY = "is a directory"
    BAD_INTERPRETER = "bad interpreter"
    BAD_FORMAT = "bad format"
    BAD_DIRECTORY = "bad working directory"
    REFUSED_BY_SYSTEM = "refused by the system"


@dataclass(frozen=True, slots=True)
class Exited:
    """The process ended by itself with `code`, 0 to 255."""

    code: int


@dataclass(frozen=True, slots=True)
class Signaled:
    """A signal that this program did not send ended the process."""

    signum: int

    @property
    def name(self) -> str:
        """`SIGSEGV`, or `signal 42` where it has no name."""
        return signal_name(self.signum)


@dataclass(frozen=True, slots=True)
class TimedOut:
    """The process outlived `timeout_ms` and was ended; `was_killed` when SIGTERM was not enough."""

    timeout_ms: int
    was_killed: bool


@dataclass(frozen=True, slots=True)
class NotSpawned:
    """No process was started. `detail` names the path and the cause."""

    failure: SpawnFailure
    detail: str


@dataclass(frozen=True, slots=True)
class Interrupted:
    """The run was asked to end (`signum`) and ended the process, or did not start it."""

    signum: int


@dataclass(frozen=True, slots=True)
class Lost:
    """The exit status was taken by somebody else: SIGCHLD is ignored in the calling process."""


ProcessEnd = Exited | Signaled | TimedOut | NotSpawned | Interrupted | Lost


@dataclass(frozen=True, slots=True)
class ArtifactsWrong:
    """The process exited 0, but its expected artifacts are not all good."""

    summary: str


StageResult = Exited | Signaled | TimedOut | NotSpawned | Interrupted | Lost | ArtifactsWrong


def stage_result(end: ProcessEnd, wrong_artifacts: str) -> StageResult:
    """What `end` means when the artifacts are wrong as said (`""`: they are good)."""
    if wrong_artifacts and end == Exited(0):
        return ArtifactsWrong(wrong_artifacts)
    return end


def status_of(result: StageResult) -> StageStatus:
    """The reported status of a result."""
    match result:
        case Exited(code=0):
            return StageStatus.SUCCESS
        case Exited() | Signaled() | Lost():
            return StageStatus.FAILED
        case TimedOut():
            return StageStatus.TIMEOUT
        case NotSpawned():
            return StageStatus.SPAWN_FAILED
        case Interrupted():
            return StageStatus.INTERRUPTED
        case ArtifactsWrong():
            return StageStatus.ARTIFACT_MISSING
        case _:
            assert_never(result)


def trigger_of(status: StageStatus) -> Trigger:
    """The fact that a stage's status is for the machine."""
    match status:
        case StageStatus.SUCCESS | StageStatus.SKIPPED:
            return Trigger.STAGE_SUCCEEDED
        case StageStatus.FAILED | StageStatus.SPAWN_FAILED | StageStatus.ARTIFACT_MISSING:
            return Trigger.STAGE_FAILED
        case StageStatus.TIMEOUT:
            return Trigger.STAGE_TIMED_OUT
        case StageStatus.INTERRUPTED:
            return Trigger.RUN_ABORTED
        case _:
            assert_never(status)


def error_of(result: StageResult) -> str | None:
    """What a person is told: the cause first; None for success."""
    match result:
        case Exited(code=0):
            return None
        case Exited(code=code):
            return f"exited with code {code}"
        case Signaled(signum=signum):
            return f"killed by {signal_name(signum)} (signal {signum})"
        case TimedOut(timeout_ms=timeout_ms, was_killed=was_killed):
            how = "ignored SIGTERM and was killed" if was_killed else "ended on SIGTERM"
            return f"timed out after {timeout_ms} ms; {how}"
        case NotSpawned(failure=failure, detail=detail):
            return f"could not be started: {failure.value}: {detail}"
        case Interrupted(signum=signum):
            return f"interrupted: the run received {signal_name(signum)}"
        case Lost():
            return "its exit status was lost: SIGCHLD is ignored in the calling process"
        case ArtifactsWrong(summary=summary):
            return f"exited with code 0, but its expected artifacts are wrong: {summary}"
        case _:
            assert_never(result)


def signal_name(signum: int) -> str:
    """`SIGTERM` for 15; `signal 42` for a number without a name."""
    try:
        return signal.Signals(signum).name
    except ValueError:
        return f"signal {signum}"
