"""The record of an attempt that has begun and has not ended, and the key of its piece of work.

Annotations are evaluated at once, as in all modules of models.
"""

import re
from typing import TYPE_CHECKING

from fsm_orchestrator.model.base import Ordinal, StateName, StrictModel, Timestamp
from fsm_orchestrator.model.declared import Field, left_out
from fsm_orchestrator.model.execution import StageExecution
from fsm_orchestrator.model.lazily import lazily

if TYPE_CHECKING:
    from fsm_orchestrator.model.contracts import Protection
else:
    Protection = lazily("fsm_orchestrator.model.contracts", "Protection")


class AttemptRecord(StrictModel):
    """An attempt that has begun and has not ended: durable before its process starts."""

    stage: StateName = Field(description="Name of the stage.")
    cycle: Ordinal = Field(
        description="Number of the loop cycle that the attempt belongs to, from 1."
    )
    attempt: Ordinal = Field(
        description="Number of the attempt, from 1 over all invocations of the run."
    )
    reason: str = Field(description="Why the stage is run.")
    token: str = Field(
        description=(
            "Value of ORCHESTRATOR_ATTEMPT_TOKEN in the environment of every process of the"
            " attempt."
        )
    )
    started_at: Timestamp = Field(description="When the attempt began, in UTC.")
    pid: Ordinal | None = Field(
        description="Process id of the attempt's first process; null until it is known."
    )
    pid_identity: str | None = Field(
        description=(
            "Which process with that pid it is, so that a later one is never taken for it; null"
            " until it is known, or when the process was gone before it could be read."
        )
    )
    keeper_pid: Ordinal | None = Field(
        description=(
            "Process id of the subreaper that every process of the attempt stays below; null"
            " where there is none."
        )
    )
    keeper_identity: str | None = Field(
        description="Which process with that pid it is; null where there is none."
    )
    work: StageExecution | None = left_out(
        None,
        "The record of what it did, once that is being verified; left out before, and without"
        " verifications.",
    )
    protection: Protection | None = left_out(
        None, "What its protected paths are before it; left out where none is protected."
    )


def idempotency_key(run_id: str, stage: str, cycle: int) -> str:
    """Return the name of a piece of work over all its attempts: run, stage and loop cycle."""
    return f"{run_id}:{stage}:{cycle}"


def cycle_in(execution: StageExecution) -> int:
    """Return the loop cycle of an execution, from its idempotency key; 0 if the key does not say.

    The execution may come from a file that is not trusted yet.
    """
    number = execution.idempotency_key.rpartition(":")[2]
    return int(number) if re.fullmatch(r"[1-9][0-9]{0,8}", number) else 0
