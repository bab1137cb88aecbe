"""The spans of an invocation, made from its events alone: the same whenever they are made.

No attribute holds a stage's output or an argument of a command.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from fsm_orchestrator.gates.judging import is_awaited
from fsm_orchestrator.lifecycle.model import Lifecycle
from fsm_orchestrator.model.execution import StageExecution
from fsm_orchestrator.model.trace import span_below, span_of_attempt
from fsm_orchestrator.record.budget_events import BudgetSpent
from fsm_orchestrator.record.events import (
    ClosureRefused,
    EventLine,
    ProcessLeaked,
    StageEnded,
    StageRetrying,
    StageSkipped,
    StageStarted,
    TransitionTaken,
)
from fsm_orchestrator.record.failure_events import RecordingFailed, RunCrashed
from fsm_orchestrator.record.gate_events import GateDecided, GateWaiting
from fsm_orchestrator.record.judging_events import (
    StageSlow,
    VerificationEnded,
    VerificationStarted,
)
from fsm_orchestrator.telemetry.attempt_spans import MARKS_MAX, Attempt
from fsm_orchestrator.telemetry.facts import (
    facts_of_invocation,
    wait_between,
)
from fsm_orchestrator.telemetry.names import PREFIX, Key, Link, SpanKind, WaitFor
from fsm_orchestrator.telemetry.reading import Told, nanoseconds
from fsm_orchestrator.telemetry.results import (
    error_of,
    error_of_run,
    is_bad,
    result_of_attempt,
    result_of_run,
)
from fsm_orchestrator.telemetry.spans import Linked, Mark, Span, Value
from fsm_orchestrator.telemetry.walk import Around, Walk
from fsm_orchestrator.vocabulary import Ending, Outcome

SPANS_MAX: Final = 5_000
_MILLISECOND: Final = 1_000_000


def spans_of(told: Told, before: Told | None, lifecycle: Lifecycle | None) -> list[Span]:
    """Return the spans of an invocation, its own first; `before` is the previous invocation."""
    return _Spans(told, lifecycle).made(before)


class _Spans:
    def __init__(self, told: Told, lifecycle: Lifecycle | None) -> None:
        self._told = told
        self._lifecycle = lifecycle
        self._walk = Walk(told.span, lifecycle, told.began)
        self._attempts: dict[tuple[str, int], Attempt] = {}
        self._made: list[Span] = []
        self._marks: list[Mark] = []
        self._decided: dict[str, int] = {}
        self._reasons: dict[str, str | None] = {}
        self._retries: dict[str, tuple[StageRetrying, int, str]] = {}
        self._asked: tuple[GateWaiting, int] | None = None
        self._failure: str | None = None

    def made(self, before: Told | None) -> list[Span]:
        """Return the spans."""
        for event in self._told.lines:
            self._take(event, nanoseconds(event.at))
        over = self._told.over
        self._end_wait_for_gate(over)
        for stage in tuple(self._retries):
            self._end_retry(stage, over)
        for attempt in self._attempts.values():
            self._made += self._attempt_spans(attempt)
        self._made += map(self._around_span, self._walk.end(over))
        if before is not None and before.ended is not None and before.gates_awaited:
            self._made.append(wait_between(before, self._told))
        root = self._root(before)
        kept = sorted(self._made, key=lambda one: one.began)[: SPANS_MAX - 1]
        left_out = len(self._made) - len(kept) + self._told.left_out
        if left_out:
            root = root._replace(attributes={**root.attributes, Key.SPANS_LEFT_OUT: left_out})
        return [root, *kept]

    # -- one event after another ------------------------------------------------------------

    def _take(self, event: EventLine, at: int) -> None:
        match event:
            case TransitionTaken(transition=taken):
                self._end_wait_for_gate(at)
                self._mark(
                    "transition", at, {Key.TRIGGER: taken.trigger.value, Key.STATE: taken.dest}
                )
                self._walk.take(taken, nanoseconds(taken.at))
            case GateWaiting():
                self._end_wait_for_gate(at)
                self._asked = (event, at)
            case GateDecided():
                self._end_wait_for_gate(at)
                self._decide(event, at)
            case StageStarted():
                self._start(event, at)
            case StageEnded(execution=execution):
                self._end(execution, at)
            case StageRetrying():
                self._retries[event.stage] = (event, at, self._walk.here)
            case VerificationStarted():
                self._of(event.stage, event.attempt, lambda one: setattr(one, "verifying", event))
            case VerificationEnded():
                self._verified(event, at)
            case StageSlow() | ProcessLeaked():
                mark = Mark(f"{PREFIX}{event.event.value}", at, {})
                self._of(event.stage, event.attempt, lambda one: one.marks.append(mark))
            case StageSkipped(execution=execution):
                said: dict[str, Value] = {
                    Key.TASK_NAME: execution.stage,
                    Key.ATTEMPT: execution.attempt,
                }
                self._mark(event.event.value, at, said)
            case ClosureRefused() | BudgetSpent() | RecordingFailed() | RunCrashed():
                self._fail(event, at)
            case _:
                pass

    def _mark(self, name: str, at: int, attributes: dict[str, Value]) -> None:
        self._marks.append(Mark(f"{PREFIX}{name}", at, attributes))

    def _of(self, stage: str, number: int, do: Any) -> None:
        attempt = self._attempts.get((stage, number))
        if attempt is not None:
            do(attempt)

    def _fail(
        self, event: ClosureRefused | BudgetSpent | RecordingFailed | RunCrashed, at: int
    ) -> None:
        operation = None if event.execution is None else event.execution.operation
        said = "" if operation is None else operation.value
        self._failure = said or event.event.value
        self._mark(event.event.value, at, {Key.OPERATION: said} if said else {})

    def _decide(self, event: GateDecided, at: int) -> None:
        decision = event.decision
        count = self._decided[decision.gate] = 1 + self._decided.get(decision.gate, 0)
        attributes: dict[str, Value] = {
            Key.GATE: decision.gate,
            Key.GATE_STATUS: decision.status,
            Key.GATE_PASSED: decision.passed,
            Key.GATE_SOURCE: decision.source.value,
            Key.STATE: event.state,
        }
        error = None
        if decision.reason_code is not None:
            attributes[Key.GATE_REASON] = attributes[Key.ERROR_TYPE] = decision.reason_code
            error = None if is_awaited(decision) else decision.reason_code
        counts = event.is_judged_elsewhere is None
        self._reasons[decision.gate] = decision.reason_code if counts else None
        began, self._walk.entered_at = min(self._walk.entered_at, at), at
        span_id = span_below(self._told.span, SpanKind.GATE, decision.gate, count)
        name = f"{SpanKind.GATE} {decision.gate}"
        self._add(span_id, self._walk.here, name, (began, at), attributes, error)

    def _end_wait_for_gate(self, at: int) -> None:
        if self._asked is None:
            return
        (event, began), self._asked = self._asked, None
        count = 1 + self._decided.get(event.gate, 0)
        gate = span_below(self._told.span, SpanKind.GATE, event.gate, count)
        span_id = span_below(gate, SpanKind.WAIT, event.seq)
        over = min(at, began + event.wait_ms * _MILLISECOND)
        attributes: dict[str, Value] = {
            Key.WAIT_FOR: WaitFor.GATE,
            Key.GATE: event.gate,
            Key.WAIT_MS: event.wait_ms,
        }
        self._add(span_id, gate, f"{SpanKind.WAIT} {WaitFor.GATE}", (began, over), attributes)

    def _start(self, event: StageStarted, at: int) -> None:
        self._end_retry(event.stage, at)
        told, key = self._told, (event.stage, event.attempt)
        span_id = span_of_attempt(event.run_id, told.number, *key)
        self._attempts[key] = Attempt(event, at, self._walk.here, span_id)

    def _end_retry(self, stage: str, at: int) -> None:
        event, began, parent = self._retries.pop(stage, (None, 0, ""))
        if event is None:
            return
        span_id = span_below(self._told.span, SpanKind.WAIT, stage, event.attempt)
        attributes: dict[str, Value] = {
            Key.WAIT_FOR: WaitFor.RETRY,
            Key.TASK_NAME: stage,
            Key.ATTEMPT: event.attempt,
            Key.WAIT_MS: event.wait_ms,
        }
        self._add(span_id, parent, f"{SpanKind.WAIT} {WaitFor.RETRY}", (began, at), attributes)

    def _end(self, execution: StageExecution, at: int) -> None:
        attempt = self._attempts.get((execution.stage, execution.attempt))
        if attempt is not None:
            attempt.execution, attempt.over = execution, at

    def _verified(self, event: VerificationEnded, at: int) -> None:
        attempt = self._attempts.get((event.stage, event.attempt))
        if attempt is not None:
            attempt.verifying = None
            when = nanoseconds(event.record.started_at), at
            trace = self._told.trace
            self._made.append(attempt.verified(trace, event.verification, event.record, when))

    def _add(
        self,
        span_id: str,
        parent_id: str,
        name: str,
        when: tuple[int, int],
        attributes: dict[str, Value],
        error: str | None = None,
    ) -> None:
        began, over = when[0], max(when)
        span = Span(self._told.trace, span_id, parent_id, name, began, over, attributes, error)
        self._made.append(span)

    # -- the spans that they make ------------------------------------------------------------

    def _attempt_spans(self, attempt: Attempt) -> Iterator[Span]:
        """Yield the span of an attempt, and of the verification in which it was cut short."""
        told, key = self._told, (attempt.started.stage, attempt.started.attempt)
        execution = attempt.execution or told.interrupted.get(key)
        over = told.over if attempt.over is None else attempt.over
        if attempt.verifying is not None:
            when = nanoseconds(attempt.verifying.at), over
            yield attempt.verified(told.trace, attempt.verifying.verification, None, when)
        is_last = self._lifecycle is not None and key[0] == self._lifecycle.finally_stage
        span = attempt.span(told.trace, execution, over, is_finally=is_last)
        yield span._replace(links=self._earlier_attempt(*key))

    def _earlier_attempt(self, stage: str, number: int) -> tuple[Linked, ...]:
        earlier = self._attempts.get((stage, number - 1))
        if earlier is None:
            return ()
        said: dict[str, Value] = {Key.LINK: Link.EARLIER_ATTEMPT}
        return (Linked(self._told.trace, earlier.span_id, said),)

    def _around_span(self, one: Around) -> Span:
        attributes: dict[str, Value] = {Key.STATE: one.state}
        if one.kind is SpanKind.REWORK:
            attributes[Key.CYCLE] = 1 + one.number
        over = one.began if one.over is None else one.over
        name = f"{one.kind} {one.state}"
        return Span(self._told.trace, one.span_id, one.parent_id, name, one.began, over, attributes)

    def _root(self, before: Told | None) -> Span:
        told = self._told
        kind = self._error_kind()
        attributes = facts_of_invocation(told, kind)
        said: dict[str, Value] = {Key.LINK: Link.EARLIER_INVOCATION}
        links = () if before is None else (Linked(before.trace, before.span, said),)
        return Span(
            trace=told.trace,
            span_id=told.span,
            parent_id=told.trace.parent_id,
            name=f"{SpanKind.INVOCATION} {told.started.lifecycle}",
            began=told.began,
            over=told.over,
            attributes=attributes,
            error=kind if is_bad(result_of_run(told)) else None,
            is_entry=True,
            marks=tuple(self._marks[-MARKS_MAX:]),
            links=links,
        )

    def _error_kind(self) -> str | None:
        """Return the kind of problem that kept the invocation from ending well, or None."""
        if self._told.outcome in {Outcome.FAILED, Outcome.TIMEOUT}:
            if self._failure is not None:
                return self._failure
            ended = [one.execution for one in self._attempts.values() if one.execution is not None]
            bad = [one for one in ended if is_bad(result_of_attempt(one))]
            if bad:
                return error_of(bad[-1])
        if self._told.outcome is Outcome.BLOCKED:
            ended = [one.execution for one in self._attempts.values() if one.execution is not None]
            if ended and ended[-1].ending is Ending.BLOCKED:
                return Ending.BLOCKED.value
        refused = tuple(one for one in self._reasons.values() if one is not None)
        return error_of_run(self._told, refused)
