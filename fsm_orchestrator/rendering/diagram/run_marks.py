"""Marks on the picture of a lifecycle: where a run went, for how long, and how it ended.

Pure: the report is read elsewhere, and nothing here asks whether the run is still at work.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from typing import Final

from fsm_orchestrator.constants import INVOCATIONS_FILE
from fsm_orchestrator.lifecycle.model import Edge, Lifecycle
from fsm_orchestrator.lifecycle.timing import edges_from
from fsm_orchestrator.model.base import ExitMeaning
from fsm_orchestrator.model.execution import StageExecution
from fsm_orchestrator.model.invocation import InvocationRecord, TransitionRecord
from fsm_orchestrator.record.report import Report
from fsm_orchestrator.rendering.diagram.picture import Mark, Marks
from fsm_orchestrator.text.phrases import span_ms
from fsm_orchestrator.text.units import span_words
from fsm_orchestrator.vocabulary import Ending, Outcome, StageStatus, StateKind, Trigger

ATTEMPTS_SHOWN_MAX: Final = 3
NUMBERS_SHOWN_MAX: Final = 8
_CAPTION_WIDTH: Final = 110
_CAPTION_LINES_MAX: Final = 3


def marks_of_run(lifecycle: Lifecycle, report: Report) -> Marks:
    """Return the marks of a run that follows this lifecycle.

    A transition has the number that the report gives it; a state has the numbers of the transitions
    that entered it. The time is the time spent there while the command was at work.
    """
    invocations = (*report.earlier_invocations, report.latest)
    taken = [record for one in invocations for record in one.transitions]
    numbers: dict[Edge, list[int]] = {}
    for record in taken:
        if (edge := _edge_of(lifecycle, record)) is not None:
            numbers.setdefault(edge, []).append(record.seq)
    entered = [lifecycle.initial, *(record.dest for record in taken)]
    at_end = lifecycle.finally_stage  # entered without a transition
    if at_end is not None and any(_attempts(invocations, at_end)):
        entered.append(at_end)
    return Marks(
        states=dict.fromkeys(entered, Mark.TAKEN),
        lines={
            name: tuple(_state_lines(lifecycle, report, invocations, name))
            for name in lifecycle.states
        },
        edges=dict.fromkeys(numbers, Mark.TAKEN),
        notes={edge: _listed(seqs) for edge, seqs in numbers.items()},
        captions=tuple(_captions(report, taken)),
        others=Mark.UNTAKEN,
    )


def resume_entry(lifecycle: Lifecycle, report: Report) -> str | None:
    """Return the state that a resume would enter; None after done, or if it is not known."""
    if report.terminal_state is Outcome.DONE or report.current_state is None:
        return None
    edges = lifecycle.edges_from(report.current_state, Trigger.RESUME)
    return edges[0].dest if edges else None


def _edge_of(lifecycle: Lifecycle, record: TransitionRecord) -> Edge | None:
    edges = edges_from(lifecycle, record.source, record.trigger)
    return next((edge for edge in edges if edge.dest == record.dest), None)


def _state_lines(
    lifecycle: Lifecycle, report: Report, invocations: Sequence[InvocationRecord], name: str
) -> Iterator[str]:
    records = [record for one in invocations for record in one.transitions]
    entered = [record.seq for record in records if record.dest == name]
    state = lifecycle.states[name]
    where = [_listed(entered)] if entered else []
    spent = _spent_ms(invocations, name, lifecycle.initial)
    if spent is not None and state.kind is not StateKind.TERMINAL:
        where.append(span_words(spent))
    if where:
        yield ", ".join(where)
    if state.kind is StateKind.STAGE:
        yield from _attempts(invocations, name)
    if name == report.current_state:
        yield "not ended: last seen here" if report.terminal_state is None else "ended here"
    if name == resume_entry(lifecycle, report):
        yield "a resume enters here"


def _spent_ms(invocations: Sequence[InvocationRecord], name: str, initial: str) -> int | None:
    """Return the time spent in a state while the command was at work; None if not known."""
    spans: list[int] = []
    for one in invocations:
        stays = [(record.dest, record.at) for record in one.transitions]
        if one.number == 1:
            stays.insert(0, (initial, one.started_at))
        if not stays:  # a done run was resumed: it was in no state
            continue
        ends = [*(since for _, since in stays[1:]), one.finished_at]
        spans += [
            span_ms(since, until)
            for (place, since), until in zip(stays, ends, strict=True)
            if place == name and until is not None
        ]
    return sum(spans) if spans else None


def _attempts(invocations: Sequence[InvocationRecord], name: str) -> Iterator[str]:
    found = [
        execution
        for one in invocations
        for execution in one.stage_executions
        if execution.stage == name
    ]
    attempts = [one for one in found if one.status is not StageStatus.SKIPPED and one.attempt]
    left_out = len(attempts) - ATTEMPTS_SHOWN_MAX
    if left_out > 0:
        yield f"{left_out} earlier attempt{'' if left_out == 1 else 's'}"
    for one in attempts[-ATTEMPTS_SHOWN_MAX:]:
        yield f"attempt {one.attempt}: {_ending(one)}"
    if found and found[-1].status is StageStatus.SKIPPED:
        yield "then skipped" if attempts else "skipped"


def _ending(execution: StageExecution) -> str:
    said = ExitMeaning.of(execution.ending)
    if said is not None:
        return said.words
    if execution.ending is Ending.SIBLING_FAILED:
        return "ended, because another failed"
    words = execution.status.value
    if execution.status is StageStatus.FAILED and execution.exit_code:
        words += f", exit {execution.exit_code}"
    elif execution.signal is not None:
        words += f", {execution.signal}"
    return words


def _captions(report: Report, taken: Sequence[TransitionRecord]) -> Iterator[str]:
    place = report.current_state or "no known state"
    if report.terminal_state is None:
        text = f"run {report.run_id}: not ended, in {place}"
    else:
        text = f"run {report.run_id}: ended {report.terminal_state.value}"
        text += "" if place == report.terminal_state else f" in {place}"
    if taken and report.terminal_state is not None:
        text += f": {taken[-1].cause}"
    yield from textwrap.wrap(
        text, _CAPTION_WIDTH, max_lines=_CAPTION_LINES_MAX, placeholder=" \u2026"
    )
    yield "bold and #: the transitions taken, in order; dashed: not visited"
    if report.invocations_moved:
        yield f"invocations up to {report.invocations_moved} are in {INVOCATIONS_FILE}, not here"


def _listed(numbers: Sequence[int]) -> str:
    if len(numbers) <= NUMBERS_SHOWN_MAX:
        return ", ".join(f"#{number}" for number in numbers)
    first = ", ".join(f"#{number}" for number in numbers[: NUMBERS_SHOWN_MAX - 2])
    return f"{first} ... #{numbers[-1]} ({len(numbers)} times)"
