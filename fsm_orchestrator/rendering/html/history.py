"""The history of a run: invocations, warnings and transitions with their causes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from fsm_orchestrator.inspection.inspected_run import InspectedRun
from fsm_orchestrator.model.invocation import InvocationRecord, TransitionRecord
from fsm_orchestrator.rendering.html.latest import Latest, latest
from fsm_orchestrator.rendering.html.looks import look_of
from fsm_orchestrator.text.phrases import counted
from fsm_orchestrator.vocabulary import StageStatus, Trigger

TRANSITIONS_SHOWN_MAX: Final = 200
INVOCATIONS_SHOWN_MAX: Final = 50
DEEDS_SHOWN_MAX: Final = 12
WARNINGS_SHOWN_MAX: Final = 100


@dataclass(frozen=True, slots=True)
class Visit:
    """One start of the command; `came_to` is None if it took no transition."""

    record: InvocationRecord
    deeds: Latest[str]
    came_to: str | None


@dataclass(frozen=True, slots=True)
class History:
    """The latest of each kind; each warning has the number of its invocation first."""

    visits: Latest[Visit]
    warnings: Latest[tuple[int, str]]
    transitions: Latest[TransitionRecord]


def history_of(view: InspectedRun) -> History:
    """Return the history of a run, the latest last."""
    visits = view.invocations
    warnings = [(one.number, warning) for one in visits for warning in one.warnings]
    transitions = [record for one in visits for record in one.transitions]
    return History(
        visits=latest([_visit(one) for one in visits], INVOCATIONS_SHOWN_MAX),
        warnings=latest(warnings, WARNINGS_SHOWN_MAX),
        transitions=latest(transitions, TRANSITIONS_SHOWN_MAX),
    )


def _visit(record: InvocationRecord) -> Visit:
    came_to = record.transitions[-1].dest if record.transitions else None
    shown_max = DEEDS_SHOWN_MAX if came_to is None else DEEDS_SHOWN_MAX - 1
    return Visit(record, latest(list(_deeds(record)), shown_max), came_to)


def _deeds(record: InvocationRecord) -> Iterator[str]:
    if record.repeats is not None:
        count, last = record.repeats.count, record.repeats.last_started_at
        yield f"repeated {counted(count, 'time')}, up to {record.last_number} at {last}"
    if record.rebuilt is not None:
        yield f"the checkpoint {record.rebuilt.words}"
    refused = [one.gate for one in record.gate_decisions if not one.passed]
    if refused:
        yield f"refused by {', '.join(refused)}"
    elif any(one.trigger is Trigger.GATES_PASSED for one in record.transitions):
        yield "the gates passed"
    yield from (f"asked to run {stage} again" for stage in record.rerun)
    yield from (f"passed over {stage}" for stage in record.passed_over)
    for one in record.stage_executions:
        if one.attempt == 0:
            yield f"{one.command} failed"
        elif one.status is StageStatus.SKIPPED:
            yield f"skipped {one.stage}"
        else:
            yield f"{one.stage}, attempt {one.attempt}: {look_of(one.status, one.ending).word}"
