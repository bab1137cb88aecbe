"""The names of everything that is sent. docs/telemetry.md lists them; a test compares."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

SCHEMA_URL: Final = "https://opentelemetry.io/schemas/1.43.0"
SCOPE: Final = "fsm_orchestrator"
PREFIX: Final = "fsm."
"""The prefix of an event's name where that is the name of a record that is sent."""


class SpanKind(StrEnum):
    """The spans, by the first word of their names; that of an attempt is its stage's."""

    INVOCATION = "RUN"
    GATE = "gate"
    ATTEMPT = "stage"
    VERIFICATION = "verify"
    GROUP = "group"
    REWORK = "rework"
    WAIT = "wait for"


class WaitFor(StrEnum):
    """The reasons for a wait."""

    RETRY = "retry"
    GATE = "gate"
    SIGNALS = "signals"


class Key(StrEnum):
    """The keys of attributes."""

    PIPELINE_NAME = "cicd.pipeline.name"
    PIPELINE_ACTION = "cicd.pipeline.action.name"
    PIPELINE_RUN_ID = "cicd.pipeline.run.id"
    PIPELINE_RUN_STATE = "cicd.pipeline.run.state"
    PIPELINE_RESULT = "cicd.pipeline.result"
    TASK_NAME = "cicd.pipeline.task.name"
    TASK_RUN_ID = "cicd.pipeline.task.run.id"
    TASK_RUN_RESULT = "cicd.pipeline.task.run.result"
    ERROR_TYPE = "error.type"
    HOST_NAME = "host.name"
    REVISION = "vcs.ref.head.revision"
    BRANCH = "vcs.ref.head.name"
    EXECUTABLE_PATH = "process.executable.path"
    EXECUTABLE_NAME = "process.executable.name"
    ARGS_COUNT = "process.args_count"
    EXIT_CODE = "process.exit.code"
    OUTCOME = "fsm.outcome"
    CLOSURE_READY = "fsm.closure_ready"
    INVOCATION = "fsm.invocation"
    EXECUTION_MODE = "fsm.execution_mode"
    LIFECYCLE_SHA256 = "fsm.lifecycle.sha256"
    SPANS_LEFT_OUT = "fsm.spans_left_out"
    STATE = "fsm.state"
    TRIGGER = "fsm.trigger"
    OPERATION = "fsm.operation"
    GATE = "fsm.gate"
    GATE_STATUS = "fsm.gate.status"
    GATE_PASSED = "fsm.gate.passed"
    GATE_SOURCE = "fsm.gate.source"
    GATE_REASON = "fsm.gate.reason_code"
    GATES = "fsm.gates"
    ATTEMPT = "fsm.attempt"
    STATUS = "fsm.status"
    ENDING = "fsm.ending"
    SIGNAL = "fsm.signal"
    CYCLE = "fsm.cycle"
    FINALLY = "fsm.finally"
    FLAKY = "fsm.flaky"
    LEAKED = "fsm.leaked_processes"
    VERIFIED_ATTEMPT = "fsm.verified_attempt"
    CPU_SECONDS = "fsm.cpu_seconds"
    MEMORY_MAX = "fsm.memory_max_bytes"
    VERIFICATION = "fsm.verification"
    WAIT_FOR = "fsm.wait_for"
    WAIT_MS = "fsm.wait_ms"
    LINK = "fsm.link"
    UNIT = "fsm.budget.unit"
    LIMIT = "fsm.budget.limit"
    EVENT_SEQ = "fsm.event.seq"


class Link(StrEnum):
    """The relation of another span to the one that links to it."""

    EARLIER_INVOCATION = "earlier_invocation"
    EARLIER_ATTEMPT = "earlier_attempt"


class Metric(StrEnum):
    """The metrics."""

    RUN_DURATION = "cicd.pipeline.run.duration"
    RUN_ERRORS = "cicd.pipeline.run.errors"
    RUNS = "fsm.runs"
    STAGE_DURATION = "fsm.stage.duration"
    STAGE_RETRIES = "fsm.stage.retries"
    STAGE_REWORK = "fsm.stage.rework"
    GATE_DECISIONS = "fsm.gate.decisions"
    LEAKS = "fsm.process.leaks"
    BUDGET_SPENT = "fsm.budget.spent"
    BUDGET_ALLOWED = "fsm.budget.allowed"
    TIME_WORKED = "fsm.budget.time.worked"
    TIME_ALLOWED = "fsm.budget.time.allowed"


class Result(StrEnum):
    """The results of the CI/CD conventions."""

    SUCCESS = "success"
    FAILURE = "failure"
    ERROR = "error"
    TIMEOUT = "timeout"
    CANCELLATION = "cancellation"
    SKIP = "skip"
