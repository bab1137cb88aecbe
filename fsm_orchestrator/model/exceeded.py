"""The text for a usage limit of a stage that was exceeded."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from fsm_orchestrator.model.promises import StageLimit
from fsm_orchestrator.text.phrases import counted
from fsm_orchestrator.text.units import exact_size

if TYPE_CHECKING:
    from fsm_orchestrator.model.endings import LimitExceeded


def exceeded_words(result: LimitExceeded) -> str:
    """Return which limit was exceeded, by how much, and what happened then."""
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
