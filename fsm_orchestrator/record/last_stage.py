"""The stage that always runs, from a run's record: whether it is due, and whether it has succeeded.

Pure. Loaded only for lifecycles that have one.
"""

from __future__ import annotations

from collections.abc import Collection

from fsm_orchestrator.model.base import OnFinallyFailure
from fsm_orchestrator.record.checkpoint import Checkpoint
from fsm_orchestrator.vocabulary import StageStatus


def due_at_end(checkpoint: Checkpoint) -> str | None:
    """Return the stage that has to run now that the run has ended or is about to; else None.

    It is due once another stage was entered in the run, whatever the result; see `due_in_visit` for
    a run that is done and visited.
    """
    stage = checkpoint.lifecycle.finally_stage
    return stage if stage is not None and _was_any_entered(checkpoint) else None


def due_in_visit(checkpoint: Checkpoint) -> str | None:
    """Return the stage that always runs, if a done run was left before it was over; else None.

    If it counts, it is over when it has succeeded, else when an attempt has ended uninterrupted.
    """
    stage = due_at_end(checkpoint)
    if stage is None or checkpoint.completion_of(stage) is not None:
        return None
    if counts(checkpoint):
        return stage
    made = checkpoint.attempts_of(stage)
    is_over = bool(made) and made[-1].status is not StageStatus.INTERRUPTED
    return None if is_over else stage


def why_not_at_end(checkpoint: Checkpoint, entered: Collection[str] | None) -> str | None:
    """Return why the stage that always runs would not run, or None if it would.

    `entered` are the stages that would be entered before it; None if nothing would happen.
    """
    if entered is None:
        return "it is over" if due_in_visit(checkpoint) is None else None
    if entered or due_at_end(checkpoint) is not None:
        return None
    return "no stage would be entered before the end"


def counts(checkpoint: Checkpoint) -> bool:
    """Return whether closing a run requires that the stage that always runs has succeeded."""
    stage = checkpoint.lifecycle.finally_stage
    mode = None if stage is None else checkpoint.lifecycle.states[stage].on_finally_failure
    return mode is not OnFinallyFailure.WARN


def keeps_from_closing(checkpoint: Checkpoint) -> bool:
    """Return whether a done run may not be closed because of the stage that always runs."""
    stage = due_at_end(checkpoint)
    if stage is None or stage not in checkpoint.stages or not counts(checkpoint):
        return False
    return checkpoint.completion_of(stage) is None


def _was_any_entered(checkpoint: Checkpoint) -> bool:
    """Return whether any stage was entered in the run, or began in an invocation that was moved."""
    stages = set(checkpoint.lifecycle.places)
    if any(one.dest in stages for one in checkpoint.transitions):
        return True
    return checkpoint.earlier is not None and bool(checkpoint.earlier.totals.stages)
