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
"""The largest whole number that every JSON reader reads exactly (RFC 8259, 6)."""
PORT_MAX: Final = 65_535
PROCESSES_MAX: Final = 4_194_304
"""The largest number of processes that Linux can have (PID_MAX_LIMIT)."""
SECONDS_MAX: Final = 2_147_483
"""The most whole seconds that fit into MILLISECONDS_MAX."""
VERIFICATIONS_MAX: Final = 50
ATTEMPTS_MAX: Final = 1_000
CYCLES_MAX: Final = 1_000
GROUP_STAGES_MAX: Final = 32
"""The most stages that may run side by side: each has a keeper, two logs and a thread."""
MILLISECONDS_MAX: Final = 2_147_483_647
"""The longest wait that poll(2) takes: a signed 32-bit count of milliseconds, about 24 days."""

REPORT_FILE: Final = "orchestrator_run_report.json"
CHECKPOINT_FILE: Final = "orchestrator_checkpoint.json"
EVENTS_FILE: Final = "orchestrator_events.jsonl"
INVOCATIONS_FILE: Final = "orchestrator_invocations.jsonl"
LOCK_FILE: Final = "orchestrator.lock"
STOP_FILE: Final = "orchestrator.stop"
"""The file by which `stop` asks a run inside another program to end: see `disk/stop_request.py`."""
SENT_FILE: Final = "logs/telemetry.jsonl"
"""The result of exporting a run to OpenTelemetry."""
TAMPERED_DIRECTORY: Final = "tampered"
LOGS_DIRECTORY: Final = "logs"
EVIDENCE_DIRECTORY: Final = "evidence"
APPROVALS_DIRECTORY: Final = "approvals"
EPOCHS_DIRECTORY: Final = "epochs"
EPOCH_VARIABLE: Final = "ORCHESTRATOR_EPOCH"
"""The variable with the claim under which an engine holds the run, so that downstream systems can
refuse a lower one."""
EPOCH_FILE: Final = "orchestrator_epoch.json"
"""The file that says who claimed an epoch, and which epoch it was made from."""
ARCHIVE_DIRECTORY: Final = "archive"
NOTICES_FILE: Final = "orchestrator_notices.jsonl"
NOTICES_MAX: Final = 8
"""The most notices that a run may have: sending one may take a minute."""
IGNORE_FILE: Final = ".gitignore"
ARCHIVED_KEPT_MAX: Final = 100_000

TRACE_PARENT_VARIABLE: Final = "TRACEPARENT"
TRACE_STATE_VARIABLE: Final = "TRACESTATE"
TRACE_VARIABLES: Final = frozenset({TRACE_PARENT_VARIABLE, TRACE_STATE_VARIABLE})
"""The variables that say which trace a process belongs to (W3C). They differ at each start, so
stages are not compared by them."""
BAGGAGE_VARIABLE: Final = "BAGGAGE"

RUN_ID_PATTERN: Final = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
TASK_QUEUE_PATTERN: Final = r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,99}"
STATE_NAME_PATTERN: Final = r"[a-z][a-z0-9_]*"
REASON_CODE_PATTERN: Final = r"GATE_[A-Z_]+"
OWN_GATES_MAX: Final = 50
GATES_NAMED_MAX: Final = 6
"""The most gates named on a screen that does not show all of them."""
GATE_VALUES_MAX: Final = 20
SIGNAL_BASE: Final = 128
"""The number that shells, and this program, add to a signal's number to make an exit code."""
