"""The checkpoint's shape: a run's whole record, its lifecycle embedded, and questions about it.

Reading a file without believing it is checkpoint_file.py's duty, writing it recorder.py's.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from fsm_orchestrator.config import GraceMilliseconds, Milliseconds
from fsm_orchestrator.gates import GateSignal
from fsm_orchestrator.lifecycle_model import Lifecycle
from fsm_orchestrator.private_state import PrivateRef
from fsm_orchestrator.records import (
    Artifact,
    AttemptRecord,
    InvocationRecord,
    Ordinal,
    Record,
    RunId,
    Sha256,
    StateName,
)
from fsm_orchestrator.settings import StageRecord
from fsm_orchestrator.vocabulary import StageStatus


class Completion(Record):
    """A stage that succeeded: by which attempt, with which settings, leaving which artifacts."""

    stage: StateName
    cycle: Ordinal
    attempt: Ordinal
    invocation: Ordinal
    settings: StageRecord
    artifacts: tuple[Artifact, ...]


class Checkpoint(Record):
    """Everything a resume needs to know, and everything that ever happened in the run."""

    schema_version: Literal[1]
    product: Literal["fsm-orchestrator"]
    version: str
    run_id: RunId
    private_ref: PrivateRef | None
    current_state: StateName
    lifecycle_sha256: Sha256
    lifecycle: Lifecycle
    gate_signals: tuple[GateSignal, ...]
    timeout_ms: Milliseconds | None
    kill_grace_ms: GraceMilliseconds | None
    stages: dict[StateName, StageRecord]
    completions: tuple[Completion, ...]
    open_attempt: AttemptRecord | None
    invocations: Annotated[tuple[InvocationRecord, ...], Field(min_length=1)]

    @property
    def invocation(self) -> InvocationRecord:
        """The latest invocation."""
        return self.invocations[-1]

    @property
    def last_seq(self) -> int:
        """The number of the last transition; 0 before the first."""
        return sum(len(invocation.transitions) for invocation in self.invocations)

    def completion_of(self, stage: str) -> Completion | None:
        """The completion of a stage that is in force."""
        return next((one for one in reversed(self.completions) if one.stage == stage), None)

    def next_attempt(self, stage: str) -> int:
        """The number of the next attempt of a stage, over all invocations, from 1."""
        numbers = [
            execution.attempt
            for invocation in self.invocations
            for execution in invocation.stage_executions
            if execution.stage == stage and execution.status is not StageStatus.SKIPPED
        ]
        if self.open_attempt is not None and self.open_attempt.stage == stage:
            numbers.append(self.open_attempt.attempt)
        return 1 + max(numbers, default=0)
