"""The checkpoint's shape: a run's whole record, its lifecycle embedded, and questions about it.

Reading a file without believing it is checkpoint_file.py's duty, writing it recorder.py's.
"""

from typing import Annotated, Literal

from pydantic import Field

from fsm_orchestrator.config.stage_record import StageRecord
from fsm_orchestrator.gates.judging import GateSignal
from fsm_orchestrator.lifecycle.model import Edge, Lifecycle
from fsm_orchestrator.model.base import (
    Many,
    Ordinal,
    RunId,
    SchemaVersion,
    Sha256,
    StateName,
    StrictModel,
)
from fsm_orchestrator.model.execution import (
    Artifact,
    AttemptRecord,
    StageExecution,
    blank,
    gone_wrong,
    idempotency_key,
)
from fsm_orchestrator.model.invocation import InvocationRecord
from fsm_orchestrator.model.limits import GraceMilliseconds, Milliseconds
from fsm_orchestrator.model.problem import Problem
from fsm_orchestrator.secrets.private_file import PrivateRef
from fsm_orchestrator.stages.output_files import log_names
from fsm_orchestrator.vocabulary import OnLeak, StageStatus


class Completion(StrictModel):
    """A stage that succeeded: by which attempt, with which settings, leaving which artifacts."""

    stage: StateName = Field(description="Name of the stage.")
    cycle: Ordinal = Field(description="Number of the loop cycle in which it succeeded, from 1.")
    attempt: Ordinal = Field(description="Number of the attempt that succeeded.")
    invocation: Ordinal = Field(description="Number of the invocation in which it succeeded.")
    settings: StageRecord = Field(description="The settings it succeeded with.")
    artifacts: Annotated[tuple[Artifact, ...], Many] = Field(
        description="The expected artifacts it left."
    )


class Checkpoint(StrictModel):
    """Everything a resume needs to know, and everything that ever happened in the run."""

    schema_version: SchemaVersion = Field(description="Version of this format.")
    product: Literal["fsm-orchestrator"] = Field(
        description="The program that wrote the checkpoint."
    )
    version: str = Field(description="Version of the program that wrote the checkpoint.")
    run_id: RunId = Field(description="Identifies the run, over all its invocations.")
    private_ref: PrivateRef | None = Field(
        description=(
            "Name of the run's private file, which holds what may not be in the output directory;"
            " null when the run has no such values."
        )
    )
    current_state: StateName = Field(description="The state that the run is in.")
    lifecycle_sha256: Sha256 = Field(
        description="SHA-256 of the relation that `lifecycle` says, in hexadecimal."
    )
    lifecycle: Lifecycle = Field(description="The lifecycle that the run follows, whole.")
    gate_signals: Annotated[tuple[GateSignal, ...], Many] = Field(
        description="The signal of each gate, in judging order."
    )
    timeout_ms: Milliseconds | None = Field(
        description=(
            "How long each stage may run, in milliseconds, where its own settings do not say;"
            " null when it was not given."
        )
    )
    kill_grace_ms: GraceMilliseconds | None = Field(
        description=(
            "How long each stage may take to end after SIGTERM, in milliseconds, where its own"
            " settings do not say; null when it was not given."
        )
    )
    on_leak: OnLeak = Field(
        description="What it means for a stage that it exits with 0 and leaves processes running."
    )
    stages: Annotated[dict[StateName, StageRecord], Field(max_length=200)] = Field(
        description="The settings of every stage that has a binary, by stage name."
    )
    completions: Annotated[tuple[Completion, ...], Many] = Field(
        description="The stages that are complete, in the order in which they succeeded."
    )
    open_attempt: AttemptRecord | None = Field(
        description=(
            "The attempt that has begun and whose end is not recorded yet; null when there is none."
        )
    )
    invocations: Annotated[tuple[InvocationRecord, ...], Many, Field(min_length=1)] = Field(
        description="All invocations of the run, in order; the last is the latest."
    )

    @property
    def invocation(self) -> InvocationRecord:
        """The latest invocation."""
        return self.invocations[-1]

    @property
    def last_seq(self) -> int:
        """The number of the last transition; 0 before the first."""
        return sum(len(invocation.transitions) for invocation in self.invocations)

    def times_taken(self, edge: Edge) -> int:
        """How often an edge was taken in the run, over all invocations."""
        return sum(
            (one.source, one.trigger, one.dest) == (edge.source, edge.trigger, edge.dest)
            for invocation in self.invocations
            for one in invocation.transitions
        )

    def cycle_of(self, stage: str) -> int:
        """The loop cycle that a stage is in, from 1: one more each time a loop led back to it."""
        return 1 + sum(
            self.times_taken(edge)
            for edge in self.lifecycle.loops
            if stage in self.lifecycle.stages_from(edge.dest)
        )

    def completion_of(self, stage: str) -> Completion | None:
        """The completion of a stage that is in force."""
        return next((one for one in reversed(self.completions) if one.stage == stage), None)

    def interrupted(self, attempt: AttemptRecord, *, error: str) -> StageExecution:
        """The record of an attempt that began and whose end nobody saw."""
        settings = self.stages.get(attempt.stage)
        stdout_log, stderr_log = log_names(attempt.stage, attempt.attempt)
        return blank(
            stage=attempt.stage,
            attempt=attempt.attempt,
            key=idempotency_key(self.run_id, attempt.stage, attempt.cycle),
            at=attempt.started_at,
        ).model_copy(
            update={
                "status": StageStatus.INTERRUPTED,
                "reason": attempt.reason,
                **gone_wrong(Problem(cause=error, details=())),
                "command": "" if settings is None else settings.command,
                "args": () if settings is None else settings.args,
                "env_keys": () if settings is None else tuple(settings.env_digests),
                "cwd": "" if settings is None else settings.cwd,
                "stdout_log": stdout_log,
                "stderr_log": stderr_log,
            }
        )

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
