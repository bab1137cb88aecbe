"""The closed sets of the program, each member named once. Imports nothing from the package."""

from __future__ import annotations

import signal
from enum import IntEnum, StrEnum


class StateKind(StrEnum):
    """The purpose of a state of a lifecycle."""

    INITIAL = "initial"
    GATE = "gate"
    STAGE = "stage"
    GROUP = "group"
    TERMINAL = "terminal"


class Trigger(StrEnum):
    """A fact that happened. The machine reacts to facts, never to commands."""

    START = "start"
    GATES_PASSED = "gates_passed"
    GATES_REFUSED = "gates_refused"
    STAGE_SUCCEEDED = "stage_succeeded"
    STAGE_FAILED = "stage_failed"
    STAGE_TIMED_OUT = "stage_timed_out"
    STAGE_DECLINED = "stage_declined"
    STAGE_BLOCKED = "stage_blocked"
    REWORK_REQUESTED = "rework_requested"
    RUN_ABORTED = "run_aborted"
    RUN_TIMED_OUT = "run_timed_out"
    RESUME = "resume"


class Guard(StrEnum):
    """A condition that an edge may name. The driver has the functions behind it."""

    ARTIFACTS_INTACT = "artifacts_intact"
    GATES_HOLD = "gates_hold"
    NOTHING_OWED = "nothing_owed"


class Outcome(StrEnum):
    """The outcome of a run; the report's `terminal_state`."""

    DONE = "done"
    BLOCKED = "blocked"
    FAILED = "failed"
    TIMEOUT = "timeout"


class Standing(StrEnum):
    """The standing of a run, for people who look at it: its outcome, or why it has none."""

    WORKING = "working"
    SUSPENDED = "suspended"
    """Its orchestrator exists, but is stopped (Ctrl-Z, SIGSTOP)."""
    INTERRUPTED = "interrupted"
    """Its orchestrator is gone and left no outcome."""
    WAITING = "waiting"
    BLOCKED = "blocked"
    FAILED = "failed"
    TIMEOUT = "timeout"
    DONE = "done"
    NOT_CLOSABLE = "not_closable"
    """Done, but must not be closed: something that it must have is no longer there."""

    @property
    def is_held(self) -> bool:
        """True while an orchestrator holds the run."""
        return self in {Standing.WORKING, Standing.SUSPENDED}

    @property
    def words(self) -> str:
        """The standing as text for people, the same on every screen and page."""
        return "done, but not ready to close" if self is Standing.NOT_CLOSABLE else self.value


class Gate(StrEnum):
    """The mandatory gates, in the order in which they are judged."""

    POLICY = "policy"
    CI = "ci"
    REVIEW = "review"


class GateSource(StrEnum):
    """The source of a gate's signal."""

    FLAG = "flag"
    CONFIG = "config"
    CHECKPOINT = "checkpoint"
    DEFAULT = "default"
    EVIDENCE = "evidence"


class SettingSource(StrEnum):
    """The source of a setting that was given; any other setting is the lifecycle's or a default."""

    FLAG = "flag"
    """An option, or the calling program."""
    CONFIG = "config"


class ExecutionMode(StrEnum):
    """The mode of an invocation: it began a run or continued one."""

    RUN = "run"
    RESUME = "resume"


class StageStatus(StrEnum):
    """The status of a stage execution in the report."""

    SUCCESS = "success"
    SKIPPED = "skipped"
    FAILED = "failed"
    TIMEOUT = "timeout"
    SPAWN_FAILED = "spawn_failed"
    ARTIFACT_MISSING = "artifact_missing"
    INTERRUPTED = "interrupted"

    @property
    def is_good(self) -> bool:
        """True if the stage is complete, by this execution or by an earlier one."""
        return self in {StageStatus.SUCCESS, StageStatus.SKIPPED}


class Ending(StrEnum):
    """The ending of an attempt, for programs; the status says what it means for the stage."""

    EXITED = "exited"
    SIGNALED = "signaled"
    TIMED_OUT = "timed_out"
    WENT_QUIET = "went_quiet"
    OUTPUT_LIMIT = "output_limit"
    LIMIT_EXCEEDED = "limit_exceeded"
    BUDGET_EXHAUSTED = "budget_exhausted"
    CONTROL_TAMPERED = "control_tampered"
    LEAKED = "leaked"
    REWORK_REQUESTED = "rework_requested"
    DECLINED = "declined"
    BLOCKED = "blocked"
    PROTECTED_CHANGED = "protected_changed"
    ARTIFACTS_WRONG = "artifacts_wrong"
    CONTRACT_VIOLATED = "contract_violated"
    VERIFICATION_FAILED = "verification_failed"
    NOT_SPAWNED = "not_spawned"
    INTERRUPTED = "interrupted"
    SIBLING_FAILED = "sibling_failed"
    LEASE_LOST = "lease_lost"
    LOST = "lost"


class Operation(StrEnum):
    """The program's own work, as its failures are recorded; the first part stands for the stage."""

    CHECKPOINT_LOAD = "checkpoint.load"
    CHECKPOINT_PERSIST = "checkpoint.persist"
    REPORT_PERSIST = "report.persist"
    EVENTS_VERIFY = "events.verify"
    EVENTS_PERSIST = "events.persist"
    LOGS_PERSIST = "logs.persist"
    EVIDENCE_PERSIST = "evidence.persist"
    APPROVAL_PERSIST = "approval.persist"
    LOCK_ACQUIRE = "lock.acquire"
    CONTROL_VERIFY = "control.verify"
    RECORD_VERIFY = "record.verify"
    ARCHIVE_MOVE = "archive.move"
    EPOCH_CLAIM = "epoch.claim"
    ATTEMPT_END = "attempt.end"
    CLOSURE_VERIFY = "closure.verify"
    BUDGET_VERIFY = "budget.verify"
    RUN_TIMEOUT = "run.timeout"
    DESCRIPTORS_RESERVE = "descriptors.reserve"
    ORCHESTRATOR_RUN = "orchestrator.run"

    @property
    def stage(self) -> str:
        """The word that a stage execution has in place of the name of a stage."""
        return self.value.partition(".")[0]


class HeldBy(StrEnum):
    """The kind of program that holds an output directory: command, library or engine's worker."""

    COMMAND = "command"
    LIBRARY = "library"
    ENGINE = "engine"


class StopReason(StrEnum):
    """The reason why a run was asked to end early, for programs."""

    SIGNAL = "signal"
    """A signal arrived: Ctrl-C, SIGTERM, …"""
    REQUESTED = "requested"
    """Somebody asked: `stop`, or the program that called this one."""
    CANCELLED = "cancelled"
    """The task or the workflow that it belongs to was cancelled."""
    SHUTDOWN = "shutdown"
    """Its worker shuts down; the run continues elsewhere."""
    LEASE_LOST = "lease_lost"
    """Its lease ran out: another process may have the run by now."""
    FENCED = "fenced"
    """A later epoch holds the run."""
    HANDED_OVER = "handed_over"
    """Its next stage needs another task queue; the run continues there."""

    @property
    def is_lost(self) -> bool:
        """True if another process has the run by now, or may have it."""
        return self in {StopReason.LEASE_LOST, StopReason.FENCED}

    @property
    def goes_on_elsewhere(self) -> bool:
        """True if this invocation must not end the run: another one continues it."""
        return self.is_lost or self is StopReason.HANDED_OVER


class Containment(StrEnum):
    """The reach of ending a stage's processes."""

    SUBREAPER = "subreaper"
    PROCESS_GROUP = "process_group"


class OnLeak(StrEnum):
    """The consequence for a stage that exits and leaves processes running."""

    WARN = "warn"
    FAIL = "fail"


class OnChangedStage(StrEnum):
    """The response of a resume to a completed stage whose settings or artifacts have changed."""

    REFUSE = "refuse"
    KEEP = "keep"
    RERUN = "rerun"


class Compared(StrEnum):
    """The properties by which a completed stage is compared, in the order of a plan's list."""

    COMMAND = "command"
    ARGS = "args"
    CWD = "cwd"
    ENVIRONMENT = "environment"
    EXPECTED_ARTIFACTS = "expected artifacts"
    CONTRACTS = "contracts"
    PROTECTED = "protected paths"
    INPUTS = "inputs"
    VERIFICATION = "verification"
    ARTIFACTS = "artifacts"


class LogFormat(StrEnum):
    """The format of the log on stderr."""

    AUTO = "auto"
    JSON = "json"
    TEXT = "text"


class LogLevel(StrEnum):
    """The least severe events shown on stderr, from all to few."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class OutputStream(StrEnum):
    """A stream that a stage writes to."""

    STDOUT = "stdout"
    STDERR = "stderr"


class EventName(StrEnum):
    """The events of the structured log."""

    RUN_STARTED = "run.started"
    RECORD_BEGUN = "record.begun"
    RECORD_KEPT = "record.kept"
    CHAIN_GAP = "chain.gap"
    TRANSITION = "transition"
    GATE_WAITING = "gate.waiting"
    GATE_DECIDED = "gate.decided"
    ATTEMPT_BEGUN = "attempt.begun"
    STAGE_STARTED = "stage.started"
    STAGE_OUTPUT = "stage.output"
    STAGE_SLOW = "stage.slow"
    ARTIFACT_SLOW = "artifact.slow"
    VERIFICATION_STARTED = "verification.started"
    VERIFICATION_ENDED = "verification.ended"
    STAGE_ENDED = "stage.ended"
    STAGE_RETRYING = "stage.retrying"
    STAGE_SKIPPED = "stage.skipped"
    PROCESS_LEAKED = "process.leaked"
    WARNING = "run.warning"
    ATTEMPT_INTERRUPTED = "attempt.interrupted"
    INVOCATIONS_MOVED = "invocations.moved"
    CLOSURE_REFUSED = "closure.refused"
    BUDGET_SPENT = "budget.spent"
    RECORDING_FAILED = "recording.failed"
    RUN_REFUSED = "run.refused"
    RUN_ENDED = "run.ended"
    REPORT_UNPLACED = "report.unplaced"
    RUN_CRASHED = "run.crashed"


class SchemaName(StrEnum):
    """The shapes that have a published JSON Schema."""

    REPORT = "report"
    CHECKPOINT = "checkpoint"
    INVOCATION = "invocation"
    LIFECYCLE = "lifecycle"
    CONFIG = "config"
    EVENT = "event"
    POSTMORTEM = "postmortem"
    APPROVAL_REQUEST = "approval-request"
    APPROVAL_DECISION = "approval-decision"
    GATE_SIGNAL = "gate-signal"
    POLICY_INPUT = "policy-input"
    FLEET = "fleet"
    COMPARISON = "comparison"
    RUN_STATEMENT = "run-statement"
    NOTICE = "notice"
    VERIFICATION = "verification"


class ExitCode(IntEnum):
    """Every exit code of the command. 124 is that of timeout(1); 70 and 75 are from sysexits.h."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    BLOCKED = 3
    INTERNAL = 70
    BUSY = 75
    TIMEOUT = 124
    HANGUP = 128 + signal.SIGHUP
    INTERRUPTED = 128 + signal.SIGINT
    QUIT = 128 + signal.SIGQUIT
    TERMINATED = 128 + signal.SIGTERM
