"""The facts of an invocation, an attempt and a process, as attributes of their spans."""

from __future__ import annotations

import os

from fsm_orchestrator.model.execution import StageExecution
from fsm_orchestrator.model.open_attempt import cycle_in
from fsm_orchestrator.model.trace import span_below
from fsm_orchestrator.record.events import RunEnded
from fsm_orchestrator.telemetry.names import Key, SpanKind, WaitFor
from fsm_orchestrator.telemetry.reading import Told
from fsm_orchestrator.telemetry.results import (
    TEXT_CHARACTERS_MAX,
    result_of_attempt,
    result_of_run,
)
from fsm_orchestrator.telemetry.spans import Span, Value


def facts_of_invocation(told: Told, error_kind: str | None) -> dict[str, Value]:
    """Return the attributes of an invocation."""
    started, ended = told.started, told.ended
    said: dict[str, Value | None] = {
        Key.PIPELINE_NAME: started.lifecycle,
        Key.PIPELINE_ACTION: SpanKind.INVOCATION,
        Key.PIPELINE_RUN_ID: started.run_id,
        Key.PIPELINE_RESULT: result_of_run(told),
        Key.INVOCATION: told.number,
        Key.EXECUTION_MODE: started.execution_mode.value,
        Key.LIFECYCLE_SHA256: started.lifecycle_sha256,
        Key.ERROR_TYPE: error_kind,
        Key.EXIT_CODE: None if ended is None else ended.exit_code,
        Key.GATES: told.gates_awaited or None,
    }
    if told.outcome is not None:
        said[Key.OUTCOME] = told.outcome.value
        said[Key.CLOSURE_READY] = isinstance(ended, RunEnded) and ended.closure_ready
    if started.origin is not None:
        said[Key.HOST_NAME] = started.origin.host
        said[Key.REVISION] = started.origin.displayed_commit
        said[Key.BRANCH] = started.origin.displayed_branch
    return {key: value for key, value in said.items() if value is not None}


def facts_of_process(command: str, args: int, exit_code: int | None) -> dict[str, Value]:
    """Return the attributes of a process: never its arguments."""
    path = command[:TEXT_CHARACTERS_MAX]
    said: dict[str, Value] = {
        Key.EXECUTABLE_PATH: path,
        Key.EXECUTABLE_NAME: os.path.basename(path),
        Key.ARGS_COUNT: 1 + args,
    }
    return said if exit_code is None else {**said, Key.EXIT_CODE: exit_code}


def facts_of_attempt(execution: StageExecution) -> dict[str, Value]:
    """Return the attributes of an attempt that has ended."""
    said: dict[str, Value | None] = {
        Key.TASK_RUN_ID: execution.idempotency_key,
        Key.TASK_RUN_RESULT: result_of_attempt(execution),
        Key.STATUS: execution.status.value,
        Key.ENDING: None if execution.ending is None else execution.ending.value,
        Key.EXIT_CODE: execution.exit_code,
        Key.SIGNAL: execution.signal,
        Key.CYCLE: cycle_in(execution),
        Key.FLAKY: execution.flaky or None,
        Key.LEAKED: execution.leaked_count or None,
        Key.VERIFIED_ATTEMPT: execution.verified_attempt,
    }
    used = execution.resources
    if used is not None:
        said[Key.CPU_SECONDS] = used.user_seconds + used.system_seconds
        said[Key.MEMORY_MAX] = used.rss_bytes_max
    return {key: value for key, value in said.items() if value is not None}


def wait_between(before: Told, now: Told) -> Span:
    """Return the span of a run's wait between two invocations; it belongs to the earlier one."""
    attributes: dict[str, Value] = {Key.WAIT_FOR: WaitFor.SIGNALS, Key.GATES: before.gates_awaited}
    span_id = span_below(before.span, SpanKind.WAIT, WaitFor.SIGNALS)
    name = f"{SpanKind.WAIT} {WaitFor.SIGNALS}"
    over = max(before.over, now.began)
    return Span(before.trace, span_id, before.span, name, before.over, over, attributes)
