"""The log records of an invocation, one for each event. Only typed facts of an event are sent.

Its sentences may quote commands or a stage's output: a reader who needs them finds the event by its
number in orchestrator_events.jsonl.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from fsm_orchestrator.model.trace import Trace, span_of_attempt
from fsm_orchestrator.record.event_fields import RunEvent, StageEvent
from fsm_orchestrator.record.events import (
    EventLine,
    RunEnded,
    RunWarning,
    StageEnded,
    StageRetrying,
    StageSkipped,
    StageStarted,
    TransitionTaken,
)
from fsm_orchestrator.record.gate_events import GateDecided, GateWaiting
from fsm_orchestrator.record.judging_events import VerificationEnded, VerificationStarted
from fsm_orchestrator.telemetry.names import PREFIX, Key
from fsm_orchestrator.telemetry.reading import Told, nanoseconds
from fsm_orchestrator.telemetry.results import result_of_attempt, words_of
from fsm_orchestrator.telemetry.spans import Value

LINES_MAX: Final = 5_000


class Line(NamedTuple):
    """A log record; `at` in nanoseconds since 1970."""

    trace: Trace
    span_id: str
    name: str
    at: int
    level: str
    body: str
    attributes: Mapping[Key, Value]


def lines_of(told: Told) -> list[Line]:
    """Return the records of an invocation, in order; if there are too many, only the last."""
    events: list[EventLine] = [told.started, *told.lines]
    return [_line_of(told, event) for event in events[-LINES_MAX:]]


def _line_of(told: Told, event: EventLine) -> Line:
    attributes: dict[Key, Value] = {
        Key.PIPELINE_NAME: told.started.lifecycle,
        Key.PIPELINE_RUN_ID: told.started.run_id,
        Key.INVOCATION: told.number,
        Key.EVENT_SEQ: event.seq,
    }
    span_id = told.span
    if isinstance(event, RunEvent):
        attributes[Key.STATE] = event.state
    if isinstance(event, StageEvent):
        attributes |= {Key.TASK_NAME: event.stage, Key.ATTEMPT: event.attempt}
        if not isinstance(event, StageSkipped):
            span_id = span_of_attempt(event.run_id, told.number, event.stage, event.attempt)
    said, more = _said(event)
    return Line(
        trace=told.trace,
        span_id=span_id,
        name=f"{PREFIX}{event.event.value}",
        at=nanoseconds(event.at),
        level=event.level,
        body=f"{event.event.value}: {said}" if said else event.event.value,
        attributes={**attributes, **more},
    )


def _said(event: EventLine) -> tuple[str, dict[Key, Value]]:
    """Return the body of a record after the name of its event, and its additional attributes."""
    match event:
        case TransitionTaken(transition=taken):
            more: dict[Key, Value] = {Key.TRIGGER: taken.trigger.value, Key.STATE: taken.dest}
            return f"{taken.source} to {taken.dest}", more
        case GateDecided(decision=decision):
            more = {
                Key.GATE: decision.gate,
                Key.GATE_STATUS: decision.status,
                Key.GATE_PASSED: decision.passed,
            }
            if decision.reason_code is not None:
                more[Key.GATE_REASON] = decision.reason_code
            how = "passed" if decision.passed else "not passed"
            return f"{decision.gate} is {decision.status}: {how}", more
        case GateWaiting(gate=gate, wait_ms=wait_ms):
            return gate, {Key.GATE: gate, Key.WAIT_MS: wait_ms}
        case StageStarted(stage=stage, attempt=attempt):
            return f"{stage}, attempt {attempt}", {}
        case StageEnded(execution=execution):
            result = result_of_attempt(execution)
            words = "" if execution.problem is None else f": {words_of(execution)}"
            return f"{execution.stage}: {result}{words}", {Key.TASK_RUN_RESULT: result}
        case StageSkipped(stage=stage):
            return f"{stage}, completed before", {}
        case StageRetrying(stage=stage, wait_ms=wait_ms):
            return stage, {Key.WAIT_MS: wait_ms}
        case VerificationStarted(stage=stage, verification=number):
            return f"{number} of {stage}", {Key.VERIFICATION: number}
        case VerificationEnded(stage=stage, verification=number, record=record):
            how = "good" if record.is_good else words_of(record)
            return f"{number} of {stage}: {how}", {Key.VERIFICATION: number}
        case RunWarning(stage=stage):
            return "", {} if stage is None else {Key.TASK_NAME: stage}
        case RunEnded(outcome=outcome, exit_code=exit_code):
            return outcome.value, {Key.OUTCOME: outcome.value, Key.EXIT_CODE: exit_code}
        case _:
            return "", {}
