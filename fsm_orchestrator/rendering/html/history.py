"""What happened over time: invocations, warnings and transitions with their causes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from fsm_orchestrator.inspection.inspected_run import InspectedRun
from fsm_orchestrator.model.invocation import InvocationRecord
from fsm_orchestrator.rendering.html.components import (
    bullets,
    code,
    left_out,
    look_of,
    section,
    table,
    time_of,
)
from fsm_orchestrator.rendering.html.elements import Child, Markup, element
from fsm_orchestrator.vocabulary import StageStatus, Trigger

TRANSITIONS_SHOWN_MAX: Final = 200
INVOCATIONS_SHOWN_MAX: Final = 50
DEEDS_SHOWN_MAX: Final = 12
WARNINGS_SHOWN_MAX: Final = 100


def history_section(view: InspectedRun) -> Markup:
    """All three, the latest last."""
    return section("history", "History", _invocations(view), _warnings(view), _transitions(view))


def _invocations(view: InspectedRun) -> Child:
    numbered = list(enumerate(view.invocations, start=1))
    shown = numbered[-INVOCATIONS_SHOWN_MAX:]
    return [
        element("h3", "Invocations"),
        left_out(len(numbered) - len(shown), "invocations"),
        table(
            "Every start of the command for this run",
            ("invocation", "mode", "began", "ended", "exit code", "what it did"),
            (
                (
                    f"{number}, the latest" if number == len(numbered) else str(number),
                    one.execution_mode.value,
                    time_of(one.started_at),
                    "not recorded" if one.finished_at is None else time_of(one.finished_at),
                    "\u2013" if one.exit_code is None else str(one.exit_code),
                    bullets(_deeds(one)) or "no transition, no stage",
                )
                for number, one in shown
            ),
        ),
    ]


def _deeds(visit: InvocationRecord) -> list[Child]:
    deeds = list(_all_deeds(visit))
    rest = len(deeds) - DEEDS_SHOWN_MAX
    return deeds if rest <= 0 else [f"{rest} more before", *deeds[-DEEDS_SHOWN_MAX:]]


def _all_deeds(visit: InvocationRecord) -> Iterator[Child]:
    refused = [one.gate.value for one in visit.gate_decisions if not one.passed]
    if refused:
        yield f"refused by {', '.join(refused)}"
    elif any(one.trigger is Trigger.GATES_PASSED for one in visit.transitions):
        yield "the gates passed"
    yield from (f"told to run {stage} again" for stage in visit.rerun)
    yield from (f"passed over {stage}" for stage in visit.passed_over)
    for one in visit.stage_executions:
        if one.attempt == 0:
            yield f"{one.command} failed"
        elif one.status is StageStatus.SKIPPED:
            yield f"skipped {one.stage}"
        else:
            yield f"{one.stage}, attempt {one.attempt}: {look_of(one.status, one.ending).word}"
    if visit.transitions:
        yield ["came to ", code(visit.transitions[-1].dest)]


def _warnings(view: InspectedRun) -> Child:
    several = len(view.invocations) > 1
    found = [
        f"invocation {number}: {warning}" if several else warning
        for number, one in enumerate(view.invocations, start=1)
        for warning in one.warnings
    ]
    shown = found[-WARNINGS_SHOWN_MAX:]
    return [
        element("h3", "Warnings"),
        left_out(len(found) - len(shown), "warnings"),
        bullets(shown, class_="warnings") or element("p", "None.", class_="note"),
    ]


def _transitions(view: InspectedRun) -> Child:
    rows = list(_transition_rows(view))
    shown = rows[-TRANSITIONS_SHOWN_MAX:]
    if not rows:
        return None
    return [
        element("h3", "Transitions"),
        left_out(len(rows) - len(shown), "transitions"),
        table(
            "Transitions, each durable before it was taken",
            ("number", "from", "trigger", "to", "at", "cause"),
            shown,
        ),
    ]


def _transition_rows(view: InspectedRun) -> Iterable[tuple[Child, ...]]:
    for visit in view.invocations:
        for one in visit.transitions:
            yield (
                f"#{one.seq}",
                one.source,
                code(one.trigger.value),
                one.dest,
                time_of(one.at),
                one.cause,
            )
