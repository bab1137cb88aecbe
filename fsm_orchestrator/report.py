"""The run report, the supervision artifact: a pure rendering of the checkpoint."""

from __future__ import annotations

from typing import Final, Literal

from fsm_orchestrator.checkpoint import Checkpoint
from fsm_orchestrator.gates import have_passed, reason_codes
from fsm_orchestrator.records import (
    GateDecision,
    InvocationRecord,
    Record,
    RunId,
    Sha256,
    StageExecution,
    StateName,
    Timestamp,
    TransitionRecord,
)
from fsm_orchestrator.vocabulary import PRODUCT, ExecutionMode, Gate, Outcome

REPORT_BYTES_MAX: Final = 64 * 1024 * 1024


class LifecycleName(Record):
    """Which lifecycle a run followed: its name, and the digest of its relation."""

    name: StateName
    sha256: Sha256


class Report(Record):
    """The report. Key order is fixed by the order of the fields.

    `terminal_state` is null while the run works. `stage_executions`, `transitions` and
    `warnings` are this invocation's; earlier ones are whole in `earlier_invocations`.
    `gate_decisions` are those in force. `closure_ready` is true only for a done run whose gates
    all passed and whose expected artifacts were all good when this was written.
    """

    schema_version: Literal[1]
    product: Literal["fsm-orchestrator"]
    version: str
    run_id: RunId
    lifecycle: LifecycleName | None
    execution_mode: ExecutionMode
    terminal_state: Outcome | None
    closure_ready: bool
    exit_code: int | None
    current_state: StateName | None
    blocked_reason_codes: tuple[str, ...]
    gate_decisions: tuple[GateDecision, ...]
    stage_executions: tuple[StageExecution, ...]
    transitions: tuple[TransitionRecord, ...]
    warnings: tuple[str, ...]
    started_at: Timestamp
    finished_at: Timestamp | None
    earlier_invocations: tuple[InvocationRecord, ...]

    def to_json(self) -> bytes:
        """The file's bytes: indented, fixed key order, newline at the end."""
        return self.model_dump_json(indent=2).encode() + b"\n"


def build_report(
    checkpoint: Checkpoint, *, artifacts_intact: bool, outcome: Outcome | None = None
) -> Report:
    """The report that a checkpoint implies.

    `artifacts_intact`: whether all expected artifacts are good now. `outcome` overrides what the
    current state says, for a run that failed because a state could not be made durable.
    """
    invocation = checkpoint.invocation
    terminal = outcome or checkpoint.lifecycle.states[checkpoint.current_state].outcome
    decisions = decisions_in_force(checkpoint, terminal)
    is_done = terminal is Outcome.DONE
    return Report(
        schema_version=1,
        product=PRODUCT,
        version=invocation.version,
        run_id=checkpoint.run_id,
        lifecycle=LifecycleName(name=checkpoint.lifecycle.name, sha256=checkpoint.lifecycle_sha256),
        execution_mode=invocation.execution_mode,
        terminal_state=terminal,
        closure_ready=is_done and artifacts_intact and have_passed(decisions, Gate),
        exit_code=invocation.exit_code,
        current_state=checkpoint.current_state,
        blocked_reason_codes=reason_codes(decisions) if terminal is Outcome.BLOCKED else (),
        gate_decisions=decisions,
        stage_executions=invocation.stage_executions,
        transitions=invocation.transitions,
        warnings=invocation.warnings,
        started_at=invocation.started_at,
        finished_at=invocation.finished_at,
        earlier_invocations=checkpoint.invocations[:-1],
    )


def decisions_in_force(
    checkpoint: Checkpoint, terminal: Outcome | None
) -> tuple[GateDecision, ...]:
    """This invocation's decisions; for a resumed done run, those that closed it."""
    if checkpoint.invocation.gate_decisions or terminal is not Outcome.DONE:
        return checkpoint.invocation.gate_decisions
    return next(
        (one.gate_decisions for one in reversed(checkpoint.invocations) if one.gate_decisions),
        (),
    )
