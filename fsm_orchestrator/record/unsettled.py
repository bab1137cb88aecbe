"""A success that is not settled yet: the run is still in the state of its stage."""

from __future__ import annotations

from fsm_orchestrator.model.execution import StageExecution
from fsm_orchestrator.record.checkpoint import Checkpoint
from fsm_orchestrator.vocabulary import StageStatus


def unsettled_success(checkpoint: Checkpoint) -> StageExecution | None:
    """Return the attempt that succeeded in the state that the run is still in, or None."""
    here = checkpoint.completion_of(checkpoint.current_state)
    if here is None:
        return None
    last = (one for one in reversed(checkpoint.invocation.stage_executions) if one.attempt)
    return next(
        (
            one
            for one in last
            if (one.stage, one.attempt) == (here.stage, here.attempt)
            and one.status is StageStatus.SUCCESS
        ),
        None,
    )


def success_taken_back(
    checkpoint: Checkpoint, success: StageExecution, taken_back: StageExecution
) -> Checkpoint:
    """Replace an unsettled success with another record, so that it completes nothing."""
    executions = checkpoint.invocation.stage_executions
    changed = tuple(taken_back if one is success else one for one in executions)
    draft = checkpoint.with_invocation(stage_executions=changed)
    return draft.model_copy(update={"completions": draft.in_force_without((success.stage,))})
