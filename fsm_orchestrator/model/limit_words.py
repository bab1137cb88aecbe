"""The texts about the time limits of a run over all its stages."""

from __future__ import annotations

from typing import Final

from fsm_orchestrator.model.promises import TimeLimit
from fsm_orchestrator.text.units import exact_span

_TIME_WORDS: Final = {
    TimeLimit.STAGE: "time (--timeout",
    TimeLimit.RUN: "time of this invocation (--run-timeout",
    TimeLimit.TOTAL: "time of the whole run (--total-timeout",
}


def time_words(limit: TimeLimit, allowed_ms: int) -> str:
    """Return `time of this invocation (--run-timeout 5s)`."""
    return f"{_TIME_WORDS[limit]} {exact_span(allowed_ms)})"


def rest_of_time(limit: TimeLimit, allowed_ms: int) -> str:
    """Return the reason why a stage had less than its own time."""
    return f"the rest of the {time_words(limit, allowed_ms)}"
