"""The ways in which a stage can end: tagged values, never exceptions.

`ProcessEnd` is what the process runner saw; `StageResult` is what it means for the stage once what
it left has been judged. Consumers match, and end in `assert_never`. Tuples: quick to define.
"""

from __future__ import annotations

import signal
from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple, Self, assert_never

from fsm_orchestrator.model.base import ExitMeaning
from fsm_orchestrator.model.promises import StageLimit, TimeLimit
from fsm_orchestrator.model.verified import (
    VerificationCutShort,
    VerificationFailed,
    VerificationResult,
)
from fsm_orchestrator.vocabulary import Ending, StageStatus, StopReason, Trigger

if TYPE_CHECKING:
    from fsm_orchestrator.model.budget import MeterStop, UnitStop

_SIGNAL_NAMES: Final = {
    number: name  # the first of its names; the enumeration of `signal` may not have been made yet
    for name, number in sorted(vars(signal).items(), reverse=True)
    if name[:3] == "SIG" and name[3:4] != "_"
}


class PostmortemGap(StrEnum):
    """The reason why an attempt that should have a postmortem has none."""

    ENDED_BY_KEEPER = "ended_by_keeper"
    ENDED_BY_ITSELF = "ended_by_itself"
    ORCHESTRATOR_DIED = "orchestrator_died"

    @property
    def words(self) -> str:
        """The reason as text for people."""
        match self:
            case PostmortemGap.ENDED_BY_KEEPER:
                return "the keeper ended it, because the orchestrator stood still: nobody looked"
            case PostmortemGap.ENDED_BY_ITSELF:
                return "its processes had ended before anybody could look at them"
            case PostmortemGap.ORCHESTRATOR_DIED:
                return "the orchestrator died first, and nobody else could look"
            case _:
                assert_never(self)


class SpawnFailure(StrEnum):
    """The reasons why a process could not be started."""

    NOT_FOUND = "not found"
    NOT_EXECUTABLE = "not executable"
    IS_DIRECTORY = "is a directory"
    BAD_INTERPRETER = "bad interpreter"
    WINDOWS_LINE_ENDS = "Windows line ends"
    MISSING_LOADER = "missing loader"
    BAD_FORMAT = "bad format"
    BAD_DIRECTORY = "bad working directory"
    NOT_CONFINED = "cannot be confined"
    NOT_PROTECTED = "cannot be protected"
    NO_CONTRACT = "cannot be held to its contract"
    NOT_LEASED = "not leased"
    REFUSED_BY_SYSTEM = "refused by the system"


class Exited(NamedTuple):
    """The process exited on its own with `code`, 0 to 255."""

    code: int


class Signaled(NamedTuple):
    """A signal that this program did not send ended the process."""

    signum: int

    @property
    def name(self) -> str:
        """The name of the signal, such as `SIGSEGV`, or `signal 42` if it has none."""
        return signal_name(self.signum)


class TimedOut(NamedTuple):
    """The process outlived `timeout_ms` and was ended; `was_killed` if SIGTERM was not enough.

    `was_late` if it ended on its own, but this was seen only after that time. `limit` says whose
    time it was; if it was the run's, `allowed_ms` is all of it.
    """

    timeout_ms: int
    was_killed: bool
    was_late: bool = False
    limit: TimeLimit = TimeLimit.STAGE
    allowed_ms: int = 0


class WentQuiet(NamedTuple):
    """The process printed nothing for `idle_timeout_ms` and was ended; the others are as above."""

    idle_timeout_ms: int
    was_killed: bool
    was_late: bool = False


class OutputExceeded(NamedTuple):
    """The process printed more than `limit_bytes`, and was ended unless it had already ended."""

    limit_bytes: int


class LimitExceeded(NamedTuple):
    """The process, or all processes of a stage together, used more of something than allowed.

    `used` is the amount used, where known.
    """

    limit: StageLimit
    allowed: int
    used: int


class BudgetEnded(NamedTuple):
    """The run's budget was exceeded, or the attempt's meter cannot be relied on.

    Attributes:
        stop: the part of the budget, for the record.
        by_then: how the process had ended before this was seen; None if this program ended it.
    """

    stop: UnitStop | MeterStop
    by_then: Exited | Signaled | None = None


class NotSpawned(NamedTuple):
    """No process was started. `detail` names the path and the cause."""

    failure: SpawnFailure
    detail: str


class Interrupted(NamedTuple):
    """The run was asked to end (`signum`); it ended the process, or found it already ended.

    Attributes:
        by_then: how the process had ended before it was signaled; None if this program ended it.
            The requester may have signaled the process too, so this is not a success.
        sibling: the stage that ran side by side with it and whose failure ended it; None if the
            run was asked to end.
    """

    signum: int
    by_then: Exited | Signaled | None = None
    sibling: str | None = None


class Lost(NamedTuple):
    """The end of the process is not known; `detail` says why."""

    detail: str


ProcessEnd = (
    Exited
    | Signaled
    | TimedOut
    | WentQuiet
    | OutputExceeded
    | LimitExceeded
    | BudgetEnded
    | NotSpawned
    | Interrupted
    | Lost
)


class ProtectedChanged(NamedTuple):
    """The process exited as it should, but paths that it must not change have changed."""

    summary: str
    code: int = 0


class ArtifactsWrong(NamedTuple):
    """The process exited as it should, but not all of its expected artifacts are good."""

    summary: str
    code: int = 0


class ContractViolated(NamedTuple):
    """The process exited as it should, but its artifacts do not meet their contracts."""

    summary: str
    code: int = 0


class ByExitCode(NamedTuple):
    """The process exited with a code to which the lifecycle gives a meaning."""

    meaning: ExitMeaning
    code: int


class Leaked(NamedTuple):
    """The process exited and left `others` running, and that counts as a failure here."""

    others: int
    code: int = 0


StageResult = (
    ProcessEnd
    | ProtectedChanged
    | ArtifactsWrong
    | ContractViolated
    | ByExitCode
    | Leaked
    | VerificationResult
)


_LEFT: Final[Mapping[type, tuple[Ending, StageStatus]]] = {
    ProtectedChanged: (Ending.PROTECTED_CHANGED, StageStatus.FAILED),
    ArtifactsWrong: (Ending.ARTIFACTS_WRONG, StageStatus.ARTIFACT_MISSING),
    ContractViolated: (Ending.CONTRACT_VIOLATED, StageStatus.FAILED),
}
"""The endings and statuses for what is wrong with what a process has left."""


class Failings(NamedTuple):
    """The descriptions of what is wrong with what a process has left; empty where nothing is."""

    protected: str = ""
    artifacts: str = ""
    contracts: str = ""


def stage_result(
    end: ProcessEnd,
    failings: Failings,
    failing_leaks: int = 0,
    exit_codes: Mapping[int, ExitMeaning] = MappingProxyType({}),
) -> StageResult:
    """Return the meaning of `end`, given what is wrong with what the process has left.

    `failing_leaks` is the number of processes left behind, if that makes a stage fail. A stage that
    says by one of its `exit_codes` that it did not do its work does not have to write artifacts.
    """
    if not isinstance(end, Exited) or end.code not in {0, *exit_codes}:
        return end
    if failings.protected:
        return ProtectedChanged(failings.protected, end.code)
    meaning = exit_codes.get(end.code)
    if meaning in {None, ExitMeaning.REWORK}:
        if failings.artifacts:
            return ArtifactsWrong(failings.artifacts, end.code)
        if failings.contracts:
            return ContractViolated(failings.contracts, end.code)
    if failing_leaks:
        return Leaked(failing_leaks, end.code)
    return end if meaning is None else ByExitCode(meaning, end.code)


def kind_of(result: StageResult) -> tuple[Ending, StageStatus]:
    """Return the kind of a result as a record names it, and the status that reports show."""
    match result:
        case Exited(code=code):
            return Ending.EXITED, StageStatus.FAILED if code else StageStatus.SUCCESS
        case Signaled():
            return Ending.SIGNALED, StageStatus.FAILED
        case TimedOut():
            return Ending.TIMED_OUT, StageStatus.TIMEOUT
        case WentQuiet():
            return Ending.WENT_QUIET, StageStatus.TIMEOUT
        case OutputExceeded() | LimitExceeded() | BudgetEnded() | VerificationFailed():
            return _FAILED[type(result)], StageStatus.FAILED
        case NotSpawned():
            return Ending.NOT_SPAWNED, StageStatus.SPAWN_FAILED
        case Interrupted() | VerificationCutShort():
            return interrupted_ending(result.signum, result.sibling), StageStatus.INTERRUPTED
        case Lost():
            return Ending.LOST, StageStatus.FAILED
        case ProtectedChanged() | ArtifactsWrong() | ContractViolated():
            return _LEFT[type(result)]
        case ByExitCode(meaning=meaning):
            return meaning.ending, StageStatus.FAILED
        case Leaked():
            return Ending.LEAKED, StageStatus.FAILED
        case _:
            assert_never(result)


def interrupted_ending(signum: int, sibling: str | None = None) -> Ending:
    """Return the ending of an attempt that a request ended, or the failure of a sibling."""
    if sibling is not None:
        return Ending.SIBLING_FAILED
    return Ending.LEASE_LOST if stop_reason_of(signum).is_lost else Ending.INTERRUPTED


_FAILED = {
    OutputExceeded: Ending.OUTPUT_LIMIT,
    LimitExceeded: Ending.LIMIT_EXCEEDED,
    BudgetEnded: Ending.BUDGET_EXHAUSTED,
    VerificationFailed: Ending.VERIFICATION_FAILED,
}
"""The endings for a stage that took more than allowed, or whose work is not good."""


def trigger_of(status: StageStatus) -> Trigger:
    """Return the trigger that a stage's status is for the machine."""
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


def signal_name(signum: int) -> str:
    """Return `SIGTERM` for 15, `signal 42` for a number without a name."""
    return _SIGNAL_NAMES.get(signum, f"signal {signum}")


class AskedFor(int):
    """A request to end that no signal delivered, as the number of the signal that it stands for."""

    reason: StopReason

    def __new__(cls, signum: int, reason: StopReason = StopReason.REQUESTED) -> Self:
        """Make a request with its reason."""
        asked = super().__new__(cls, signum)
        asked.reason = reason
        return asked


def stop_reason_of(signum: int) -> StopReason:
    """Return the reason why a run was asked to end, from the request."""
    return signum.reason if isinstance(signum, AskedFor) else StopReason.SIGNAL
