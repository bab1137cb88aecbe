"""A stage's failure as text, by the way in which the stage ended."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, assert_never

from fsm_orchestrator.model.endings import (
    ArtifactsWrong,
    BudgetEnded,
    ByExitCode,
    ContractViolated,
    Exited,
    Interrupted,
    Leaked,
    LimitExceeded,
    Lost,
    NotSpawned,
    OutputExceeded,
    ProtectedChanged,
    Signaled,
    StageResult,
    TimedOut,
    WentQuiet,
    signal_name,
    stop_reason_of,
)
from fsm_orchestrator.model.exceeded import exceeded_words
from fsm_orchestrator.model.exit_words import shell_words
from fsm_orchestrator.model.limit_words import rest_of_time
from fsm_orchestrator.model.problem import Problem
from fsm_orchestrator.model.promises import TimeLimit
from fsm_orchestrator.model.together import why_interrupted
from fsm_orchestrator.model.verified import (
    VerificationCutShort,
    VerificationFailed,
    VerificationResult,
)
from fsm_orchestrator.text.phrases import counted
from fsm_orchestrator.text.units import exact_size, exact_span

_LEFT: Final[Mapping[type, str]] = {
    ProtectedChanged: "changed what is protected",
    ArtifactsWrong: "its expected artifacts are wrong",
    ContractViolated: "broke its contract",
}
"""The texts for what is wrong with what a process has left."""


def problem_of(result: StageResult) -> Problem | None:
    """Return what went wrong; None for success."""
    if isinstance(result, VerificationResult):
        return _problem_of_verified(result)
    details: tuple[str, ...] = ()
    match result:
        case Exited(code=code):
            return _exited(code) if code else None
        case Signaled(signum=signum):
            cause = f"killed by {signal_name(signum)} (signal {signum})"
        case TimedOut():
            cause, details = _timed_out(result), (_how(result),)
        case WentQuiet(idle_timeout_ms=idle_timeout_ms):
            cause = f"printed nothing for {exact_span(idle_timeout_ms)}, its idle timeout"
            details = (_how(result),)
        case OutputExceeded(limit_bytes=limit_bytes):
            cause = f"printed more than {exact_size(limit_bytes)}, its output limit, and was ended"
        case LimitExceeded() | BudgetEnded():
            cause = _beyond(result)
        case NotSpawned(failure=failure, detail=detail):
            cause = f"could not be started: {failure.value}: {detail}"
        case Interrupted(by_then=by_then):
            cause = why_interrupted(result.signum, result.sibling)
            details = () if by_then is None else (_by_then(by_then, result.signum),)
        case Lost(detail=detail):
            cause = f"how it ended is not known: {detail}"
        case ByExitCode(meaning=meaning, code=code):
            cause = f"{meaning.words}, by exit code {code}"
        case Leaked(others=others, code=code):
            left = counted(others, "process")
            cause = f"exited with code {code}, but left {left} running (--on-leak fail)"
        case ProtectedChanged() | ArtifactsWrong() | ContractViolated():
            cause = f"exited with code {result.code}, but {_LEFT[type(result)]}: {result.summary}"
        case _:
            assert_never(result)
    return Problem(cause=cause, details=details)


def _exited(code: int) -> Problem:
    return Problem(cause=f"exited with code {code}", details=shell_words(code))


def _beyond(result: LimitExceeded | BudgetEnded) -> str:
    if isinstance(result, BudgetEnded):
        return result.stop.words
    return exceeded_words(result)


def _timed_out(result: TimedOut) -> str:
    cause = f"timed out after {exact_span(result.timeout_ms)}"
    if result.limit is TimeLimit.STAGE:
        return cause
    return f"{cause}, {rest_of_time(result.limit, result.allowed_ms)}"


def _how(stopped: TimedOut | WentQuiet) -> str:
    if stopped.was_late:
        return "ended on its own, which was seen only after that"
    return "ignored SIGTERM and was killed" if stopped.was_killed else "ended on SIGTERM"


def _by_then(end: Exited | Signaled, signum: int) -> str:
    match end:
        case Exited(code=code):
            how = f"had exited with code {code}"
        case Signaled(signum=signum):
            how = f"had been killed by {signal_name(signum)}"
        case _:
            assert_never(end)
    told = f"its process {how} by then, which does not count"
    return told if stop_reason_of(signum).is_lost else f"{told}: it may have been asked to end too"


def _problem_of_verified(result: VerificationResult) -> Problem:
    """Return what went wrong."""
    match result:
        case VerificationFailed(command=command, problem=problem, words=words):
            said = (f"its last output: {' / '.join(words)}",) if words else ()
            return Problem(
                cause=f"exited with code 0, but its verification `{command}` {problem.cause}",
                details=(*problem.details, *said),
            )
        case VerificationCutShort(command=command):
            return Problem(
                cause=why_interrupted(result.signum, result.sibling),
                details=(f"its verification `{command}` was running, or had not started",),
            )
        case _:
            assert_never(result)
