"""The spans of an attempt of a stage, and of the verifications of its work."""

from __future__ import annotations

from typing import Final

from fsm_orchestrator.model.execution import StageExecution
from fsm_orchestrator.model.trace import Trace, span_of_verification
from fsm_orchestrator.model.verification import Verification
from fsm_orchestrator.record.events import StageStarted
from fsm_orchestrator.record.judging_events import VerificationStarted
from fsm_orchestrator.telemetry.facts import facts_of_attempt, facts_of_process
from fsm_orchestrator.telemetry.names import Key, Result, SpanKind
from fsm_orchestrator.telemetry.reading import nanoseconds
from fsm_orchestrator.telemetry.results import (
    KILLED,
    error_of,
    is_bad,
    result_of_attempt,
    words_of,
)
from fsm_orchestrator.telemetry.spans import Mark, Span, Value

MARKS_MAX: Final = 100
"""The largest number of marks of a span."""


class Attempt:
    """An attempt that began in the invocation."""

    def __init__(self, started: StageStarted, at: int, parent_id: str, span_id: str) -> None:
        self.started = started
        self.began = at
        self.parent_id = parent_id
        self.span_id = span_id
        self.marks: list[Mark] = []
        self.execution: StageExecution | None = None
        self.over: int | None = None
        self.verifying: VerificationStarted | None = None

    def span(
        self, trace: Trace, execution: StageExecution | None, over: int, *, is_finally: bool
    ) -> Span:
        """Return its span; `execution` is how it ended, or None if nobody has seen that."""
        attributes: dict[str, Value] = {
            Key.TASK_NAME: self.started.stage,
            Key.ATTEMPT: self.started.attempt,
            **facts_of_process(self.started.command, len(self.started.args), None),
        }
        if is_finally:
            attributes[Key.FINALLY] = True
        began, error = self.began, None
        if execution is None:
            attributes |= {Key.TASK_RUN_RESULT: Result.ERROR, Key.ERROR_TYPE: KILLED}
            error = KILLED
        else:
            began = min(began, nanoseconds(execution.started_at))
            attributes |= facts_of_attempt(execution)
            if is_bad(result_of_attempt(execution)):
                attributes[Key.ERROR_TYPE] = error_of(execution)
                error = words_of(execution)
        return Span(
            trace=trace,
            span_id=self.span_id,
            parent_id=self.parent_id,
            name=self.started.stage,
            began=began,
            over=max(began, over),
            attributes=attributes,
            error=error,
            marks=tuple(self.marks[:MARKS_MAX]),
        )

    def verified(
        self, trace: Trace, number: int, record: Verification | None, when: tuple[int, int]
    ) -> Span:
        """Return the span of one of its verifications; `record` is None if that was cut short."""
        attributes: dict[str, Value] = {
            Key.TASK_NAME: self.started.stage,
            Key.ATTEMPT: self.started.attempt,
            Key.VERIFICATION: number,
        }
        error: str | None = KILLED
        if record is not None:
            attributes |= facts_of_process(record.command, len(record.args), record.exit_code)
            error = None if record.is_good else words_of(record)
        if error is not None:
            attributes[Key.ERROR_TYPE] = KILLED if record is None else error_of(record)
        return Span(
            trace=trace,
            span_id=span_of_verification(self.span_id, number),
            parent_id=self.span_id,
            name=f"{SpanKind.VERIFICATION} {self.started.stage}",
            began=when[0],
            over=max(when),
            attributes=attributes,
            error=error,
        )
