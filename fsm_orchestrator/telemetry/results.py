"""The results of a run, a stage and a gate as the conventions name them, and the errors."""

from __future__ import annotations

from typing import Final

from fsm_orchestrator.constants import SIGNAL_BASE
from fsm_orchestrator.model.execution import StageExecution
from fsm_orchestrator.model.verification import Verification
from fsm_orchestrator.record.events import RunEnded
from fsm_orchestrator.telemetry.names import Result
from fsm_orchestrator.telemetry.reading import Told
from fsm_orchestrator.vocabulary import Ending, ExitCode, Outcome, StageStatus

TEXT_CHARACTERS_MAX: Final = 200
KILLED: Final = "killed"
"""The error of an invocation that has no end: nobody was left to record one."""
_OF_ENDING: Final = {
    Ending.REWORK_REQUESTED: Result.SUCCESS,
    Ending.DECLINED: Result.SKIP,
    Ending.BLOCKED: Result.SKIP,
    Ending.SIBLING_FAILED: Result.CANCELLATION,
    Ending.LOST: Result.ERROR,
}
"""The results of attempts that report one by their exit code, or whose end nobody saw."""
_OF_STATUS: Final = {
    StageStatus.SUCCESS: Result.SUCCESS,
    StageStatus.SKIPPED: Result.SKIP,
    StageStatus.FAILED: Result.FAILURE,
    StageStatus.TIMEOUT: Result.TIMEOUT,
    StageStatus.SPAWN_FAILED: Result.ERROR,
    StageStatus.ARTIFACT_MISSING: Result.FAILURE,
    StageStatus.INTERRUPTED: Result.CANCELLATION,
}
_GOOD: Final = frozenset({Result.SUCCESS, Result.SKIP})


def is_bad(result: Result) -> bool:
    """Return whether a span with that result has failed."""
    return result not in _GOOD


def result_of_run(told: Told) -> Result:
    """Return the result of an invocation."""
    match told.outcome:
        case None:
            return Result.ERROR
        case Outcome.DONE:
            return Result.SUCCESS
        case Outcome.BLOCKED:
            return Result.SKIP
        case Outcome.TIMEOUT:
            return Result.TIMEOUT
        case Outcome.FAILED if _is_handed_over(told):
            return Result.SKIP
        case Outcome.FAILED:
            code = 0 if told.ended is None else told.ended.exit_code
            if code > SIGNAL_BASE or code == ExitCode.BUSY:
                return Result.CANCELLATION
            return Result.ERROR if code == ExitCode.INTERNAL else Result.FAILURE


def _is_handed_over(told: Told) -> bool:
    """Return whether the invocation ended so that the run continues on another task queue."""
    return isinstance(told.ended, RunEnded) and told.ended.next_task_queue is not None


def error_of_run(told: Told, reason_codes: tuple[str, ...]) -> str | None:
    """Return the kind of error of an invocation, or None for one that is done."""
    if told.outcome is Outcome.DONE or _is_handed_over(told):
        return None
    if told.outcome is None:
        return KILLED
    return reason_codes[0] if reason_codes else told.outcome.value


def result_of_attempt(execution: StageExecution) -> Result:
    """Return the result of an attempt."""
    ending = execution.ending
    said = None if ending is None else _OF_ENDING.get(ending)
    return _OF_STATUS[execution.status] if said is None else said


def error_of(execution: StageExecution | Verification) -> str:
    """Return the kind of error of an execution."""
    if execution.start_problem is not None:
        return execution.start_problem.value
    if execution.ending is not None:
        return execution.ending.value
    return Ending.LOST.value


def words_of(execution: StageExecution | Verification) -> str:
    """Return the problem of an execution as text without any argument of a command.

    The cause of a failed verification quotes its command.
    """
    problem = execution.problem
    if problem is None or execution.ending is Ending.VERIFICATION_FAILED:
        return error_of(execution)
    return problem.cause[:TEXT_CHARACTERS_MAX]
