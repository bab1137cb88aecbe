"""The closed sets of the program, each member named once. Imports nothing of the package."""

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
    """A fact that happened. The machine moves on facts, never on commands."""

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
    """A condition an edge may name. The functions behind it are the driver's."""

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
    """Where a run stands for those who look at it: its outcome, or why it has none."""

    WORKING = "working"
    SUSPENDED = "suspended"
    """Its orchestrator is there, but stopped (Ctrl-Z, SIGSTOP)."""
    INTERRUPTED = "interrupted"
    """Its orchestrator is gone and left no outcome."""
    WAITING = "waiting"
    BLOCKED = "blocked"
    FAILED = "failed"
    TIMEOUT = "timeout"
    DONE = "done"
    NOT_CLOSABLE = "not_closable"
    """Done, and yet not to be closed: what it must have is not there any more."""

    @property
    def is_held(self) -> bool:
        """Whether an orchestrator is there."""
        return self in {Standing.WORKING, Standing.SUSPENDED}

    @property
    def words(self) -> str:
        """The standing as people read it, on every screen and page."""
        return "done, but not ready to close" if self is Standing.NOT_CLOSABLE else self.value


class Gate(StrEnum):
    """The mandatory gates, in the order in which they are judged."""

    POLICY = "policy"
    CI = "ci"
    REVIEW = "review"


class GateSource(StrEnum):
    """Where a gate's signal came from."""

    FLAG = "flag"
    CONFIG = "config"
    CHECKPOINT = "checkpoint"
    DEFAULT = "default"
    EVIDENCE = "evidence"


class SettingSource(StrEnum):
    """Where a setting that was given came from; any other is the lifecycle's or a default."""

    FLAG = "flag"
    """An option, or the program that called."""
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
        """Whether the stage is complete, by this execution or by an earlier one."""
        return self in {StageStatus.SUCCESS, StageStatus.SKIPPED}


class Ending(StrEnum):
    """The ending of an attempt, for programs; its meaning for the stage is the status."""

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
    """The program's own work, as its failures are recorded: the first part is the stage."""

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
        """The word that stands where a stage execution names its stage."""
        return self.value.partition(".")[0]


class HeldBy(StrEnum):
    """The program that holds an output directory: the command, a library's, an engine's worker."""

    COMMAND = "command"
    LIBRARY = "library"
    ENGINE = "engine"


class StopReason(StrEnum):
    """Why a run was asked to end before its own end, for programs."""

    SIGNAL = "signal"
    """A signal came: Ctrl-C, SIGTERM, …"""
    REQUESTED = "requested"
    """Somebody asked: `stop`, or the program that runs it."""
    CANCELLED = "cancelled"
    """The task or the workflow that it belongs to was cancelled."""
    SHUTDOWN = "shutdown"
    """Its worker ends; the run goes on elsewhere."""
    LEASE_LOST = "lease_lost"
    """Its lease ran out: somebody else may have the run by now."""
    FENCED = "fenced"
    """A later epoch holds the run."""
    HANDED_OVER = "handed_over"
    """Its next stage belongs to another task queue, and goes on there."""

    @property
    def is_lost(self) -> bool:
        """Whether somebody else has the run by now, or may have it."""
        return self in {StopReason.LEASE_LOST, StopReason.FENCED}

    @property
    def goes_on_elsewhere(self) -> bool:
        """Whether the run is not this invocation's to end: another one goes on with it."""
        return self.is_lost or self is StopReason.HANDED_OVER


class Containment(StrEnum):
    """The reach of ending a stage's processes."""

    SUBREAPER = "subreaper"
    PROCESS_GROUP = "process_group"


class OnLeak(StrEnum):
    """The consequence for a stage that exited and left processes running."""

    WARN = "warn"
    FAIL = "fail"


class OnChangedStage(StrEnum):
    """The answer of a resume to a completed stage whose settings or artifacts have changed."""

    REFUSE = "refuse"
    KEEP = "keep"
    RERUN = "rerun"


class Compared(StrEnum):
    """What a completed stage is compared by, in the order in which a plan lists it."""

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
    """The least severe events that are shown on stderr, from all to few."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class OutputStream(StrEnum):
    """A stream that a stage prints to."""

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
    """Every exit code of the command. 124 is timeout(1)'s, 70 and 75 are sysexits.h's."""

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
