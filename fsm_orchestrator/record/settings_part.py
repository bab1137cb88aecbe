"""The settings in a run's record: everything that does not follow from its history."""

from __future__ import annotations

from typing import Any, Final

from fsm_orchestrator.record.checkpoint import Checkpoint

HISTORY: Final = frozenset(
    {
        *(
            "current_state",
            "completions",
            "open_attempts",
            "last_event_seq",
            "last_event_sha256",
            "events",
            "mac",
        ),
        *("earlier", "invocations"),
    }
)
"""The fields that follow from a run's history; all others are its settings."""


def settings_since(before: Checkpoint, now: Checkpoint) -> dict[str, Any]:
    """Return the settings of a run that have changed, as a checkpoint has them."""
    changed = {
        name
        for name in Checkpoint.model_fields.keys() - HISTORY
        if getattr(before, name) != getattr(now, name)
    }
    written = now.model_dump(mode="json", include=changed)
    # A setting that is left out when it says nothing is included here: it said something before.
    left_out = {name: getattr(now, name) for name in changed - written.keys()}
    return {**written, **left_out}
