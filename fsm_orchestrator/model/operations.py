"""How the stage executions that ran no process are recorded: skips, interruptions, our failures."""

from __future__ import annotations

from fsm_orchestrator.model.execution import StageExecution, blank, idempotency_key
from fsm_orchestrator.vocabulary import Operation


def own_failure(run_id: str, operation: Operation, *, error: str, at: str) -> StageExecution:
    """What the program itself failed to do, told where the runbook says to look."""
    stage = operation.stage
    return blank(stage=stage, attempt=0, key=idempotency_key(run_id, stage, 1), at=at).model_copy(
        update={"reason": "the program's own work", "error": error, "command": operation.value}
    )
