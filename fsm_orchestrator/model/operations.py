"""The stage execution that records what the program itself failed to do."""

from __future__ import annotations

from fsm_orchestrator.model.execution import StageExecution, blank, gone_wrong, idempotency_key
from fsm_orchestrator.model.problem import Problem
from fsm_orchestrator.vocabulary import Operation


def own_failure(run_id: str, operation: Operation, *, error: str, at: str) -> StageExecution:
    """Return the record of what the program itself failed to do."""
    stage = operation.stage
    return blank(stage=stage, attempt=0, key=idempotency_key(run_id, stage, 1), at=at).model_copy(
        update={
            "reason": "the program's own work",
            "command": operation.value,
            **gone_wrong(Problem(cause=error, details=())),
        }
    )
