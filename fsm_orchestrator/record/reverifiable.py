"""The test for work that lacks only its verification, and can be verified again."""

from __future__ import annotations

from fsm_orchestrator.model.execution import StageExecution
from fsm_orchestrator.model.open_attempt import cycle_in
from fsm_orchestrator.record.checkpoint import Checkpoint


def unverified(checkpoint: Checkpoint, stage: str) -> StageExecution | None:
    """Return the last attempt of a stage if its work lacks only its verification, else None."""
    last = checkpoint.attempts_of(stage)[-1:]
    return next(
        (
            one
            for one in last
            if one.lacks_verification_only
            and cycle_in(one) == checkpoint.cycle_of(stage)
            and checkpoint.completion_of(stage) is None
        ),
        None,
    )
