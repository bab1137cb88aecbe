"""What is kept of a run: the shapes shared by checkpoint, report and log.

One record, three renderings: a transition, a gate decision or a stage execution has one model
here, and checkpoint, report and event carry that same model. Frozen; unknown keys are refused.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from fsm_orchestrator.vocabulary import (
    RUN_ID_PATTERN,
    STATE_NAME_PATTERN,
    ExecutionMode,
    Gate,
    GateSource,
    StageStatus,
    Trigger,
)

Timestamp = Annotated[
    str, StringConstraints(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$", max_length=24)
]
StateName = Annotated[str, StringConstraints(pattern=f"^{STATE_NAME_PATTERN}$", max_length=64)]
RunId = Annotated[str, StringConstraints(pattern=f"^{RUN_ID_PATTERN}$")]
Count = Annotated[int, Field(ge=0)]
Ordinal = Annotated[int, Field(ge=1)]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class Record(BaseModel):
    """Base of everything kept: frozen, strict, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class TransitionRecord(Record):
    """One edge taken. `seq` runs from 1 over all invocations of the run; `cause` is for people."""

    seq: Ordinal
    trigger: Trigger
    source: StateName
    dest: StateName
    at: Timestamp
    cause: str


class GateDecision(Record):
    """What one gate said. `status` is the signal judged; `reason_code` is null when it passed."""

    gate: Gate
    status: str
    passed: bool
    reason_code: str | None
    source: GateSource


class Artifact(Record):
    """An expected artifact that was good when it was judged."""

    path: str
    sha256: Sha256
    size_bytes: Count


class LeakedProcess(Record):
    """A process that a stage left behind and that was ended with it."""

    pid: Ordinal
    command: str
    age_seconds: float
    rss_bytes: Count


class Resources(Record):
    """What the stage's leader and the children it waited for used: getrusage(2), RUSAGE_CHILDREN.

    `rss_bytes_max` is an upper bound: Linux counts the size of the process that spawned it.
    """

    user_seconds: float
    system_seconds: float
    rss_bytes_max: Count


class StageExecution(Record):
    """What this program did about a stage once: ran an attempt of it, or skipped it.

    Also used, under the names `checkpoint.persist`, `report.persist`, `events.persist`,
    `checkpoint.load` and `closure.verify` as `command`, for what the program itself failed to
    do, so that `error` is found where the runbook says to look.
    """

    stage: str
    attempt: Count
    idempotency_key: str
    status: StageStatus
    reason: str
    error: str | None
    command: str
    args: tuple[str, ...]
    env_keys: tuple[str, ...]
    cwd: str
    started_at: Timestamp
    duration_ms: Count
    exit_code: int | None
    signal: str | None
    missing_artifacts: tuple[str, ...]
    malformed_artifacts: tuple[str, ...]
    stale_artifacts: tuple[str, ...]
    artifacts: tuple[Artifact, ...]
    stdout_log: str | None
    stderr_log: str | None
    stderr_tail: str
    leaked_processes: tuple[LeakedProcess, ...]
    resources: Resources | None


class AttemptRecord(Record):
    """An attempt that has begun and has not ended: durable before its process starts.

    `token` is in the environment of every process of the attempt; `pid` and `pid_identity` (which
    process of that pid it is, see process_table.identity) are known once the process exists.
    """

    stage: StateName
    cycle: Ordinal
    attempt: Ordinal
    reason: str
    token: str
    started_at: Timestamp
    pid: Ordinal | None
    pid_identity: str | None


class InvocationRecord(Record):
    """What one start of the command did to the run.

    `finished_at` and `exit_code` are null while it works, and for ever if it was killed.
    `passed_over` names stages that had no binary; `rerun` names completed stages this invocation
    was told to run again.
    """

    number: Ordinal
    execution_mode: ExecutionMode
    version: str
    started_at: Timestamp
    finished_at: Timestamp | None
    exit_code: int | None
    gate_decisions: tuple[GateDecision, ...]
    transitions: tuple[TransitionRecord, ...]
    stage_executions: tuple[StageExecution, ...]
    passed_over: tuple[StateName, ...]
    rerun: tuple[StateName, ...]
    warnings: tuple[str, ...]
