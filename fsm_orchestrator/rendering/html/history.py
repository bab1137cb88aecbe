"""The history of a run: invocations, warnings and transitions with their causes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from fsm_orchestrator.inspection.inspected_run import InspectedRun
from fsm_orchestrator.model.invocation import InvocationRecord, TransitionRecord
from fsm_orchestrator.rendering.html.looks import look_of
from fsm_orchestrator.vocabulary import StageStatus, Trigger

TRANSITIONS_SHOWN_MAX: Final = 200
INVOCATIONS_SHOWN_MAX: Final = 50
DEEDS_SHOWN_MAX: Final = 12
WARNINGS_SHOWN_MAX: Final = 100


@dataclass(frozen=True, slots=True)
class Visit:
    """One start of the command.

    Attributes:
        deeds: its latest actions, in order.
        deeds_left_out: the number of actions before those; not positive when there are none.
        came_to: the state that it came to; None when it took no transition.
    """

    record: InvocationRecord
    is_latest: bool
    deeds: Sequence[str]
    deeds_left_out: int
    came_to: str | None


@dataclass(frozen=True, slots=True)
class Warned:
    """A warning. `invocation` is None where there is only one."""

    invocation: int | None
    warning: str


@dataclass(frozen=True, slots=True)
class History:
    """The latest of each kind, and how many earlier ones are left out."""

    visits: Sequence[Visit]
    visits_left_out: int
    warnings: Sequence[Warned]
    warnings_left_out: int
    transitions: Sequence[TransitionRecord]
    transitions_left_out: int


def history_of(view: InspectedRun) -> History:
    """Return the history of a run, the latest last."""
    visits = view.invocations
    is_only = len(visits) == 1
    warnings = [
        Warned(None if is_only else one.number, warning)
        for one in visits
        for warning in one.warnings
    ]
    transitions = [record for one in visits for record in one.transitions]
    return History(
        visits=[
            _visit(one, is_latest=one is visits[-1]) for one in visits[-INVOCATIONS_SHOWN_MAX:]
        ],
        visits_left_out=len(visits) - INVOCATIONS_SHOWN_MAX,
        warnings=warnings[-WARNINGS_SHOWN_MAX:],
        warnings_left_out=len(warnings) - WARNINGS_SHOWN_MAX,
        transitions=transitions[-TRANSITIONS_SHOWN_MAX:],
        transitions_left_out=len(transitions) - TRANSITIONS_SHOWN_MAX,
    )


def _visit(record: InvocationRecord, *, is_latest: bool) -> Visit:
    deeds = list(_deeds(record))
    came_to = record.transitions[-1].dest if record.transitions else None
    shown_max = DEEDS_SHOWN_MAX if came_to is None else DEEDS_SHOWN_MAX - 1
    return Visit(record, is_latest, deeds[-shown_max:], len(deeds) - shown_max, came_to)


def _deeds(record: InvocationRecord) -> Iterator[str]:
    refused = [one.gate.value for one in record.gate_decisions if not one.passed]
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
