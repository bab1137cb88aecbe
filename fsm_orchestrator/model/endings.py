"""The ways in which a stage can end: tagged values, never exceptions.

`ProcessEnd` is what the process runner saw; `StageResult` is what it means for the stage once what
it left has been judged. Consumers match, and end in `assert_never`. Tuples: quickly defined.
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
    number: name  # the first of its names; the enumeration of `signal` may still have to be made
    for name, number in sorted(vars(signal).items(), reverse=True)
    if name[:3] == "SIG" and name[3:4] != "_"
}


class PostmortemGap(StrEnum):
    """Why there is no black box of an attempt that should have one."""

    ENDED_BY_KEEPER = "ended_by_keeper"
    ENDED_BY_ITSELF = "ended_by_itself"
    ORCHESTRATOR_DIED = "orchestrator_died"

    @property
    def words(self) -> str:
        """The reason as people read it."""
        match self:
            case PostmortemGap.ENDED_BY_KEEPER:
                return "the keeper ended it, for the orchestrator stood still: nobody looked"
            case PostmortemGap.ENDED_BY_ITSELF:
                return "its processes had ended by the time they were to be looked at"
            case PostmortemGap.ORCHESTRATOR_DIED:
                return "the orchestrator died before it, and with it who would have looked"
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
    """The process ended by itself with `code`, 0 to 255."""

    code: int


class Signaled(NamedTuple):
    """A signal that this program did not send ended the process."""

    signum: int

    @property
    def name(self) -> str:
        """`SIGSEGV`, or `signal 42` where it has no name."""
        return signal_name(self.signum)


class TimedOut(NamedTuple):
    """The process outlived `timeout_ms` and was ended; `was_killed` when SIGTERM was not enough.

    `was_late` when it ended by itself, and that was seen only after that time. `limit` is whose
    time that was, and `allowed_ms` all of it, where it is the run's.
    """

    timeout_ms: int
    was_killed: bool
    was_late: bool = False
    limit: TimeLimit = TimeLimit.STAGE
    allowed_ms: int = 0


class WentQuiet(NamedTuple):
    """The process printed nothing for `idle_timeout_ms` and was ended; the others as above."""

    idle_timeout_ms: int
    was_killed: bool
    was_late: bool = False


class OutputExceeded(NamedTuple):
    """The process printed more than `limit_bytes`, and was ended if it had not ended itself."""

    limit_bytes: int


class LimitExceeded(NamedTuple):
    """The process, or all of a stage together, used more of something than it may.

    `used` is how much was used, as far as that is known.
    """

    limit: StageLimit
    allowed: int
    used: int


class BudgetEnded(NamedTuple):
    """The run's budget was exceeded, or what the attempt metered cannot be relied on.

    Attributes:
        stop: which of it, for the record.
        by_then: how the process had ended before that was seen; None if this program ended it.
    """

    stop: UnitStop | MeterStop
    by_then: Exited | Signaled | None = None


class NotSpawned(NamedTuple):
    """No process was started. `detail` names the path and the cause."""

    failure: SpawnFailure
    detail: str


class Interrupted(NamedTuple):
    """The run was asked to end (`signum`): it ended the process, or found it ended already.

    Attributes:
        by_then: how the process had ended before it was signalled; None if this program ended it.
            Whoever asked may have asked the process as well, so that is no success.
        sibling: the stage that ran side by side with it and failed, by which it was ended; None
            where the run was asked to end.
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
    """The process exited as it should, but paths that it must leave alone are others now."""

    summary: str
    code: int = 0


class ArtifactsWrong(NamedTuple):
    """The process exited as it should, but its expected artifacts are not all good."""

    summary: str
    code: int = 0


class ContractViolated(NamedTuple):
    """The process exited as it should, but its artifacts are not what they have to be."""

    summary: str
    code: int = 0


class ByExitCode(NamedTuple):
    """The process exited with a code by which its stage says something, as the lifecycle has it."""

    meaning: ExitMeaning
    code: int


class Leaked(NamedTuple):
    """The process exited and left `others` running, which counts as failed here."""

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
"""What a process has left can be wrong: the ending and the status of that."""


class Failings(NamedTuple):
    """What is wrong with what a process has left, as said; empty where nothing is."""

    protected: str = ""
    artifacts: str = ""
    contracts: str = ""


def stage_result(
    end: ProcessEnd,
    failings: Failings,
    failing_leaks: int = 0,
    exit_codes: Mapping[int, ExitMeaning] = MappingProxyType({}),
) -> StageResult:
    """Return what `end` means where so much is wrong with what the process has left.

    `failing_leaks` is how many processes were left behind, where that makes a stage fail. One that
    says by its `exit_codes` that it did not do its work owes no artifacts.
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
    """Return the kind of a result as a record names it, and the status that it is reported as."""
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
    """Return the ending of what a request has ended, or the failure of one beside it."""
    if sibling is not None:
        return Ending.SIBLING_FAILED
    return Ending.LEASE_LOST if stop_reason_of(signum).is_lost else Ending.INTERRUPTED


_FAILED = {
    OutputExceeded: Ending.OUTPUT_LIMIT,
    LimitExceeded: Ending.LIMIT_EXCEEDED,
    BudgetEnded: Ending.BUDGET_EXHAUSTED,
    VerificationFailed: Ending.VERIFICATION_FAILED,
}
"""The endings of those who took more than they may, or whose work is not good."""


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
    """A request to end that no signal has brought, by the number of the one it stands for."""

    reason: StopReason

    def __new__(cls, signum: int, reason: StopReason = StopReason.REQUESTED) -> Self:
        """Make one with its reason."""
        asked = super().__new__(cls, signum)
        asked.reason = reason
        return asked


def stop_reason_of(signum: int) -> StopReason:
    """Return why a run was asked to end, by its request."""
    return signum.reason if isinstance(signum, AskedFor) else StopReason.SIGNAL
