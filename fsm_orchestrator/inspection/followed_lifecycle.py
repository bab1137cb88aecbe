"""Finds the lifecycle that a run follows."""

from __future__ import annotations

from fsm_orchestrator.lifecycle import reading
from fsm_orchestrator.lifecycle.model import Lifecycle
from fsm_orchestrator.record.checkpoint import Checkpoint
from fsm_orchestrator.record.report import Report


def followed_lifecycle(report: Report, checkpoint: Checkpoint | None) -> Lifecycle | None:
    """Return the lifecycle that is kept with a run, or an identical built-in one.

    Return None if neither is the one that the report names.
    """
    wanted = report.lifecycle
    kept = None if checkpoint is None else checkpoint.lifecycle
    if kept is not None and (wanted is None or wanted.sha256 == kept.sha256):
        return kept
    if wanted is None or wanted.name not in reading.shipped_names():
        return None
    found = reading.shipped(wanted.name)
    return found if found.sha256 == wanted.sha256 else None
