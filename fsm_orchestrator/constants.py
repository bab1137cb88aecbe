"""The constants of the program: its name, defaults, bounds, file names and patterns."""

from __future__ import annotations

from typing import Final

PRODUCT: Final = "fsm-orchestrator"
__version__: Final = "0.1.0"
SCHEMA_VERSION: Final = 1
DEFAULT_LIFECYCLE: Final = "governed_run"
DEFAULT_TIMEOUT_MS: Final = 30_000
DEFAULT_KILL_GRACE_MS: Final = 2_000
DEFAULT_OUTPUT_LIMIT_BYTES: Final = 2 * 1024**3
DEFAULT_BACKOFF_MS: Final = 1_000
DEFAULT_BACKOFF_MS_MAX: Final = 60_000
BYTES_MAX: Final = 2**53 - 1
PORT_MAX: Final = 65_535
PROCESSES_MAX: Final = 4_194_304
"""The largest number of processes that Linux can have (PID_MAX_LIMIT)."""
SECONDS_MAX: Final = 2_147_483
"""The largest whole number that every reader of JSON takes for what it is (RFC 8259, 6)."""
VERIFICATIONS_MAX: Final = 50
ATTEMPTS_MAX: Final = 1_000
CYCLES_MAX: Final = 1_000
GROUP_STAGES_MAX: Final = 32
"""How many stages may run side by side: each has a keeper, two logs and a thread."""
MILLISECONDS_MAX: Final = 2_147_483_647
"""The largest wait poll(2) takes: a signed 32-bit count of milliseconds, about 24 days."""

REPORT_FILE: Final = "orchestrator_run_report.json"
CHECKPOINT_FILE: Final = "orchestrator_checkpoint.json"
EVENTS_FILE: Final = "orchestrator_events.jsonl"
INVOCATIONS_FILE: Final = "orchestrator_invocations.jsonl"
LOCK_FILE: Final = "orchestrator.lock"
STOP_FILE: Final = "orchestrator.stop"
"""What `stop` asks a run with that is inside another program: see `disk/stop_request.py`."""
SENT_FILE: Final = "logs/telemetry.jsonl"
"""What came of showing a run to OpenTelemetry."""
TAMPERED_DIRECTORY: Final = "tampered"
LOGS_DIRECTORY: Final = "logs"
EVIDENCE_DIRECTORY: Final = "evidence"
APPROVALS_DIRECTORY: Final = "approvals"
EPOCHS_DIRECTORY: Final = "epochs"
EPOCH_VARIABLE: Final = "ORCHESTRATOR_EPOCH"
"""The claim under which an engine has the run: what is downstream refuses a lower one."""
EPOCH_FILE: Final = "orchestrator_epoch.json"
"""Who has claimed an epoch, and which one it was made from."""
ARCHIVE_DIRECTORY: Final = "archive"
NOTICES_FILE: Final = "orchestrator_notices.jsonl"
NOTICES_MAX: Final = 8
"""How many ways of telling people a run may have: each may take a minute."""
IGNORE_FILE: Final = ".gitignore"
ARCHIVED_KEPT_MAX: Final = 100_000

TRACE_PARENT_VARIABLE: Final = "TRACEPARENT"
TRACE_STATE_VARIABLE: Final = "TRACESTATE"
TRACE_VARIABLES: Final = frozenset({TRACE_PARENT_VARIABLE, TRACE_STATE_VARIABLE})
"""Which trace a process belongs to (W3C): another at each start, and nothing that a stage is
compared by."""
BAGGAGE_VARIABLE: Final = "BAGGAGE"

RUN_ID_PATTERN: Final = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
TASK_QUEUE_PATTERN: Final = r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,99}"
STATE_NAME_PATTERN: Final = r"[a-z][a-z0-9_]*"
REASON_CODE_PATTERN: Final = r"GATE_[A-Z_]+"
OWN_GATES_MAX: Final = 50
GATES_NAMED_MAX: Final = 6
"""How many gates a screen names that does not show all there is."""
GATE_VALUES_MAX: Final = 20
SIGNAL_BASE: Final = 128
"""What shells, and this program, add to the number of a signal for an exit code."""
