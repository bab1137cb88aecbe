"""The settings in a run's record: all that does not follow from what happened in it."""

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
"""The fields that follow from what happened in a run; all others are its settings."""


def settings_since(before: Checkpoint, now: Checkpoint) -> dict[str, Any]:
    """Return the settings of a run that are not what they were, as a checkpoint has them."""
    changed = {
        name
        for name in Checkpoint.model_fields.keys() - HISTORY
        if getattr(before, name) != getattr(now, name)
    }
    written = now.model_dump(mode="json", include=changed)
    # One that is left out where it says nothing is said here: it has said something before.
    left_out = {name: getattr(now, name) for name in changed - written.keys()}
    return {**written, **left_out}
