"""The common result of stages that ran side by side."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from fsm_orchestrator.vocabulary import Trigger

_FROM_WORST: Final = (
    Trigger.RUN_ABORTED,
    Trigger.RUN_TIMED_OUT,
    Trigger.STAGE_FAILED,
    Trigger.STAGE_TIMED_OUT,
    Trigger.STAGE_BLOCKED,
    Trigger.REWORK_REQUESTED,
    Trigger.STAGE_DECLINED,
    Trigger.STAGE_SUCCEEDED,
)
"""The order for the result of several stages: the first of these that any of them has."""


def why_interrupted(signum: int, sibling: str | None) -> str:
    """Return why a stage was ended: by a request to the run, or because a sibling failed."""
    if sibling is None:
        from fsm_orchestrator.model.stop_words import asked_words  # noqa: PLC0415 - rare

        return f"interrupted: the run {asked_words(signum)}"
    return f"interrupted: {sibling}, which ran alongside it, did not succeed"


def worst_of(triggers: Collection[Trigger]) -> Trigger:
    """Return the common result of stages that ran together; there must be at least one."""
    return min(triggers, key=_FROM_WORST.index)
