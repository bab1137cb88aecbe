"""The metrics of an invocation: sums of it alone, and none by run, so that series stay few."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Final, NamedTuple

from fsm_orchestrator.model.budget import BudgetReport
from fsm_orchestrator.model.execution import StageExecution
from fsm_orchestrator.record.events import RunEnded, StageEnded, StageRetrying, TransitionTaken
from fsm_orchestrator.record.gate_events import GateDecided
from fsm_orchestrator.telemetry.names import Key, Metric
from fsm_orchestrator.telemetry.reading import Told
from fsm_orchestrator.telemetry.results import (
    KILLED,
    error_of,
    is_bad,
    result_of_attempt,
    result_of_run,
)
from fsm_orchestrator.telemetry.spans import Value
from fsm_orchestrator.vocabulary import Outcome, Trigger

_EXECUTING: Final = "executing"
_RUN_TIMEOUT: Final = "run_timeout"
_TOTAL_TIMEOUT: Final = "total_timeout"


class Shape(Enum):
    """The way in which points of a metric are combined."""

    SUM = "sum"
    HISTOGRAM = "histogram"
    GAUGE = "gauge"


class Described(NamedTuple):
    """The description of a metric."""

    shape: Shape
    unit: str
    words: str


DESCRIBED: Final = {
    Metric.RUN_DURATION: Described(Shape.HISTOGRAM, "s", "How long an invocation took."),
    Metric.RUN_ERRORS: Described(Shape.SUM, "{error}", "Invocations that failed, by what failed."),
    Metric.RUNS: Described(Shape.SUM, "{run}", "Invocations, by how the run stood at their end."),
    Metric.STAGE_DURATION: Described(Shape.HISTOGRAM, "s", "How long an attempt of a stage took."),
    Metric.STAGE_RETRIES: Described(Shape.SUM, "{retry}", "Attempts that were tried again."),
    Metric.STAGE_REWORK: Described(Shape.SUM, "{round}", "Rounds of rework."),
    Metric.GATE_DECISIONS: Described(Shape.SUM, "{decision}", "Decisions of gates."),
    Metric.LEAKS: Described(Shape.SUM, "{process}", "Processes left running, which were ended."),
    Metric.BUDGET_SPENT: Described(Shape.SUM, "1", "What attempts metered, in the unit named."),
    Metric.BUDGET_ALLOWED: Described(Shape.GAUGE, "1", "What the run may spend in all."),
    Metric.TIME_WORKED: Described(Shape.SUM, "s", "How long a run with a budget worked."),
    Metric.TIME_ALLOWED: Described(Shape.GAUGE, "s", "How long the run may work."),
}


class Measure(NamedTuple):
    """One measurement."""

    metric: Metric
    value: float
    attributes: Mapping[Key, Value]


def measures_of(told: Told, budget: BudgetReport | None) -> list[Measure]:
    """Return the measurements of an invocation; `budget` is the run's, if it has one."""
    return [
        *_of_run(told),
        *(one for event in told.lines for one in _of_event(told, event)),
        *_of_budget(told, budget),
    ]


def _named(told: Told) -> dict[Key, Value]:
    return {Key.PIPELINE_NAME: told.started.lifecycle}


def _of_run(told: Told) -> Iterator[Measure]:
    result, named = result_of_run(told), _named(told)
    seconds = (told.over - told.began) / 1e9
    about = {**named, Key.PIPELINE_RUN_STATE: _EXECUTING, Key.PIPELINE_RESULT: result.value}
    outcome = KILLED if told.outcome is None else told.outcome.value
    if is_bad(result):
        about[Key.ERROR_TYPE] = outcome
        yield Measure(Metric.RUN_ERRORS, 1, {**named, Key.ERROR_TYPE: outcome})
    yield Measure(Metric.RUN_DURATION, seconds, about)
    is_ready = isinstance(told.ended, RunEnded) and told.ended.closure_ready
    said: dict[Key, Value] = {**named, Key.OUTCOME: outcome}
    if told.outcome is Outcome.DONE:
        said[Key.CLOSURE_READY] = is_ready
    yield Measure(Metric.RUNS, 1, said)
    for execution in told.interrupted.values():
        yield from _of_attempt(told, execution)


def _of_event(told: Told, event: object) -> Iterator[Measure]:
    named = _named(told)
    match event:
        case StageEnded(execution=execution):
            yield from _of_attempt(told, execution)
        case StageRetrying(stage=stage):
            yield Measure(Metric.STAGE_RETRIES, 1, {**named, Key.TASK_NAME: stage})
        case TransitionTaken(transition=taken) if taken.trigger is Trigger.REWORK_REQUESTED:
            yield Measure(Metric.STAGE_REWORK, 1, {**named, Key.TASK_NAME: taken.dest})
        case GateDecided(decision=decision):
            said: dict[Key, Value] = {Key.GATE: decision.gate, Key.GATE_PASSED: decision.passed}
            yield Measure(Metric.GATE_DECISIONS, 1, {**named, **said})
        case _:
            pass


def _of_attempt(told: Told, execution: StageExecution) -> Iterator[Measure]:
    result = result_of_attempt(execution)
    stage: dict[Key, Value] = {**_named(told), Key.TASK_NAME: execution.stage}
    about = {**stage, Key.TASK_RUN_RESULT: result.value}
    if is_bad(result):
        about[Key.ERROR_TYPE] = error_of(execution)
    yield Measure(Metric.STAGE_DURATION, execution.duration_ms / 1000, about)
    if execution.leaked_count:
        yield Measure(Metric.LEAKS, execution.leaked_count, stage)
    if execution.metering is not None:
        for one in execution.metering.metered:
            yield Measure(Metric.BUDGET_SPENT, float(one.amount), {**stage, Key.UNIT: one.unit})


def _of_budget(told: Told, budget: BudgetReport | None) -> Iterator[Measure]:
    if budget is None:
        return
    named = _named(told)
    for unit in budget.units:
        if unit.allowed is not None:
            yield Measure(
                Metric.BUDGET_ALLOWED, float(unit.allowed), {**named, Key.UNIT: unit.unit}
            )
    limits = {_RUN_TIMEOUT: budget.run_timeout_ms, _TOTAL_TIMEOUT: budget.total_timeout_ms}
    for limit, milliseconds in limits.items():
        if milliseconds is not None:
            yield Measure(Metric.TIME_ALLOWED, milliseconds / 1000, {**named, Key.LIMIT: limit})
    worked = told.ended.worked_ms if isinstance(told.ended, RunEnded) else None
    if worked is not None:
        yield Measure(Metric.TIME_WORKED, worked / 1000, named)
