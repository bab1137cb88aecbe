"""Refuses edges that make no sense in their place, and states that lack an edge.

Assumes that rules.py has checked the names and the states.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from fsm_orchestrator.lifecycle.findings import (
    Finding,
    FindingKind,
    TransitionPlace,
    of_state,
    of_transition,
)
from fsm_orchestrator.lifecycle.model import Edge, GatesGuard, Lifecycle, State, Transition
from fsm_orchestrator.model.base import ExitMeaning
from fsm_orchestrator.vocabulary import Guard, Outcome, StateKind, Trigger

_ALWAYS: Final = (Trigger.RUN_ABORTED, Trigger.RESUME)
_MET_IN: Final[Mapping[StateKind, tuple[Trigger, ...]]] = {
    StateKind.INITIAL: (Trigger.START, *_ALWAYS),
    StateKind.GATE: (Trigger.GATES_PASSED, Trigger.GATES_REFUSED, *_ALWAYS),
    StateKind.STAGE: (
        Trigger.STAGE_SUCCEEDED,
        Trigger.STAGE_FAILED,
        Trigger.STAGE_TIMED_OUT,
        *(one.trigger for one in ExitMeaning),
        *_ALWAYS,
    ),
    StateKind.GROUP: (
        Trigger.STAGE_SUCCEEDED,
        Trigger.STAGE_FAILED,
        Trigger.STAGE_TIMED_OUT,
        *_ALWAYS,
    ),
    StateKind.TERMINAL: (Trigger.RESUME,),
}
"""The triggers of each kind of state: it needs an edge for each, and may have no others."""

OUTCOMES: Final[Mapping[Trigger, tuple[Outcome, ...]]] = {
    Trigger.GATES_REFUSED: (Outcome.BLOCKED,),
    Trigger.STAGE_FAILED: (Outcome.FAILED,),
    Trigger.STAGE_TIMED_OUT: (Outcome.TIMEOUT, Outcome.FAILED),
    Trigger.STAGE_BLOCKED: (Outcome.BLOCKED,),
    Trigger.RUN_ABORTED: (Outcome.FAILED,),
}
"""The triggers that end the run, and the outcomes that they may end it with."""

_CONDITIONAL: Final = (
    Trigger.STAGE_SUCCEEDED,
    Trigger.STAGE_DECLINED,
    Trigger.GATES_PASSED,
    Trigger.REWORK_REQUESTED,
)
"""The triggers whose edges may have a condition: a fact that ends a run always ends it."""


class _Numbered(NamedTuple):
    """An edge, and the number of its transition in the file, from 1."""

    number: int
    edge: Edge

    def finding(self, kind: FindingKind, other: int | None = None, /, **values: Any) -> Finding:
        place = TransitionPlace(self.number, self.edge.trigger, (self.edge.source,))
        return of_transition(kind, place, other, **values)


_Relation = Mapping[tuple[str, Trigger], Sequence[_Numbered]]
"""The edges for a trigger in a state, in the order in which they are tried."""


def edge_problems(lifecycle: Lifecycle) -> Iterator[Finding]:
    """Yield a finding for each wrong or missing edge."""
    relation = _relation(lifecycle)
    for number, transition in enumerate(lifecycle.transition, start=1):
        yield from _transition_problems(lifecycle, relation, number, transition)
    for (source, trigger), tried in relation.items():
        if trigger in _met_in(lifecycle.states[source]):
            yield from _order_problems(lifecycle, tried)
    for state in lifecycle.state:
        is_apart = state.is_finally or state.name in lifecycle.group_of
        for trigger in () if is_apart else _met_in(state):
            if (state.name, trigger) not in relation:
                yield of_state(FindingKind.MISSING_EDGE, state.name, trigger=trigger)


def _relation(lifecycle: Lifecycle) -> _Relation:
    relation: dict[tuple[str, Trigger], list[_Numbered]] = {}
    numbers = (
        number
        for number, transition in enumerate(lifecycle.transition, start=1)
        for _ in transition.source
    )
    for number, edge in zip(numbers, lifecycle.edges, strict=True):
        relation.setdefault((edge.source, edge.trigger), []).append(_Numbered(number, edge))
    return relation


def _met_in(state: State) -> tuple[Trigger, ...]:
    if state.outcome is Outcome.DONE:
        return ()
    unsaid = {one.trigger for one in ExitMeaning} - {one.trigger for one in state.meanings.values()}
    return tuple(trigger for trigger in _MET_IN[state.kind] if trigger not in unsaid)


def _transition_problems(
    lifecycle: Lifecycle, relation: _Relation, number: int, transition: Transition
) -> Iterator[Finding]:
    trigger = transition.trigger
    placed = []
    for source in transition.source:
        if trigger in _met_in(lifecycle.states[source]):
            placed.append(source)
        else:
            place = TransitionPlace(number, trigger, (source,))
            yield _misplaced(lifecycle.states[source], place)
    if not placed:
        return
    place = TransitionPlace(number, trigger, tuple(placed))
    dest = lifecycle.states[transition.dest]
    yield from _condition_problems(transition, place)
    yield from _outcome_problems(transition, place, dest)
    yield from _start_problems(lifecycle, place, dest)
    yield from _resume_problems(lifecycle, relation, place, dest)


def _misplaced(source: State, place: TransitionPlace) -> Finding:
    if source.outcome is Outcome.DONE:
        return of_transition(FindingKind.EXIT_OF_DONE, place)
    if source.kind is StateKind.TERMINAL:
        return of_transition(FindingKind.EXIT_OF_TERMINAL, place)
    return of_transition(
        FindingKind.TRIGGER_OUT_OF_PLACE,
        place,
        trigger=place.trigger,
        kind=source.kind,
        possible=_met_in(source),
    )


def _condition_problems(transition: Transition, place: TransitionPlace) -> Iterator[Finding]:
    conditions = ("guard", "unless", "at_most")
    given = tuple(name for name in conditions if getattr(transition, name) is not None)
    if given and transition.trigger not in _CONDITIONAL:
        kind = FindingKind.CONDITION_OUT_OF_PLACE
        yield of_transition(kind, place, conditional=_CONDITIONAL)
    elif len(given) > 1:
        yield of_transition(FindingKind.SEVERAL_CONDITIONS, place, conditions=given)


def _outcome_problems(
    transition: Transition, place: TransitionPlace, dest: State
) -> Iterator[Finding]:
    """Check the outcome of edges that end the run, and of rework that does not lead back."""
    found = {"dest": dest.name, "found": dest.outcome or dest.kind}
    outcomes = OUTCOMES.get(transition.trigger)
    if outcomes is not None and dest.outcome not in outcomes:
        yield of_transition(FindingKind.WRONG_OUTCOME, place, **found, outcomes=outcomes)
    is_rework = transition.trigger is Trigger.REWORK_REQUESTED
    if is_rework and transition.at_most is None and dest.outcome is not Outcome.FAILED:
        yield of_transition(FindingKind.UNBOUNDED_REWORK, place, **found)


def _start_problems(lifecycle: Lifecycle, place: TransitionPlace, dest: State) -> Iterator[Finding]:
    is_gated = lifecycle.gates_guard is GatesGuard.STAGES
    kinds: tuple[StateKind, ...] = (StateKind.GATE,)
    if not is_gated:
        kinds = (StateKind.GATE, StateKind.STAGE, StateKind.GROUP)
    if place.trigger == Trigger.START and dest.kind not in kinds:
        found = {"dest": dest.name, "found": dest.outcome or dest.kind, "kinds": kinds}
        guard = lifecycle.gates_guard
        yield of_transition(FindingKind.WRONG_START, place, **found, gates_guard=guard)


def _resume_problems(
    lifecycle: Lifecycle, relation: _Relation, place: TransitionPlace, dest: State
) -> Iterator[Finding]:
    start = relation.get((lifecycle.initial, Trigger.START), ())
    dests = [numbered.edge.dest for numbered in start]
    if place.trigger == Trigger.RESUME and dests and dest.name not in dests:
        yield of_transition(FindingKind.WRONG_RESUME, place, dest=dest.name, start=dests[0])


def _order_problems(lifecycle: Lifecycle, tried: Sequence[_Numbered]) -> Iterator[Finding]:
    """Yield the conflicts between the edges for one trigger from one state."""
    first, last = tried[0], tried[-1]
    if first.edge.trigger not in _CONDITIONAL:
        for numbered in tried[1:]:
            yield numbered.finding(FindingKind.SECOND_EDGE, first.number)
        return
    if last.edge.is_guarded:
        yield last.finding(FindingKind.GUARDED_LAST)
    for numbered in tried[:-1]:
        if not numbered.edge.is_guarded:
            yield numbered.finding(FindingKind.UNGUARDED_EARLY, last.number)
    yield from _repeated_conditions(tried)
    yield from _inverted_closures(lifecycle, tried)


def _repeated_conditions(tried: Sequence[_Numbered]) -> Iterator[Finding]:
    seen: dict[tuple[str | None, str | None], int] = {}
    for numbered in tried:
        if numbered.edge.guard is None and numbered.edge.unless is None:
            continue
        condition = (numbered.edge.guard, numbered.edge.unless)
        if condition[::-1] in seen and numbered is not tried[-1]:
            yield numbered.finding(FindingKind.COMPLEMENT, seen[condition[::-1]])
        if condition in seen:
            yield numbered.finding(FindingKind.SAME_CONDITION, seen[condition])
        seen.setdefault(condition, numbered.number)


def _inverted_closures(lifecycle: Lifecycle, tried: Sequence[_Numbered]) -> Iterator[Finding]:
    """Yield the edges to done that are taken because a condition does not hold."""
    failed_guard: Guard | None = None
    for numbered in tried:
        edge = numbered.edge
        unmet = edge.unless or failed_guard
        if unmet and lifecycle.states[edge.dest].outcome is Outcome.DONE:
            yield numbered.finding(FindingKind.INVERTED_CLOSURE, dest=edge.dest, guard=unmet)
        if edge.unless is None:
            failed_guard = failed_guard or edge.guard
