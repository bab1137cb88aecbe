"""What is said of limits that were broken, where it takes more than a few words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, assert_never

from fsm_orchestrator.model.promises import StageLimit, TimeLimit
from fsm_orchestrator.text.phrases import counted
from fsm_orchestrator.text.units import exact_size, exact_span

if TYPE_CHECKING:
    from fsm_orchestrator.model.endings import LimitExceeded, OutputExceeded

_TIME_WORDS: Final = {
    TimeLimit.STAGE: "time (--timeout",
    TimeLimit.RUN: "time of this invocation (--run-timeout",
    TimeLimit.TOTAL: "time of the whole run (--total-timeout",
}


def time_words(limit: TimeLimit, allowed_ms: int) -> str:
    """Return `time of this invocation (--run-timeout 5s)`."""
    return f"{_TIME_WORDS[limit]} {exact_span(allowed_ms)})"


def rest_of_time(limit: TimeLimit, allowed_ms: int) -> str:
    """Return why a stage had less time than its own."""
    return f"the rest of the {time_words(limit, allowed_ms)}"


def printed(result: OutputExceeded) -> str:
    """Return that too much was printed, as a sentence."""
    limit = exact_size(result.limit_bytes)
    return f"printed more than {limit}, its output limit, and was ended"


def exceeded(result: LimitExceeded) -> str:
    """Return what was used beyond a limit, as a sentence."""
    allowed = result.allowed
    match result.limit:
        case StageLimit.MEMORY:
            return (
                f"its processes had {exact_size(result.used)} of memory together, more than its"
                f" limit of {exact_size(allowed)}, and were ended"
            )
        case StageLimit.PROCESSES:
            return (
                f"it had {counted(result.used, 'process')} at once, more than its limit of"
                f" {allowed}, and was ended"
            )
        case StageLimit.PROCESSOR:
            return (
                f"its processes used {counted(result.used, 'second')} of processor time together,"
                f" more than its limit of {allowed}, and were ended"
            )
        case StageLimit.FILE:
            return f"it wrote a file beyond its limit of {exact_size(allowed)}, and was killed"
        case _:
            assert_never(result.limit)
