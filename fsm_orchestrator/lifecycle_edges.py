"""Refuses edges that make no sense where they stand, and states that lack an edge.

Assumes what lifecycle_rules.py checks first: names that are known and states that are right.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from fsm_orchestrator.lifecycle_model import Edge, Lifecycle, State, Transition
from fsm_orchestrator.lifecycle_wording import state_label, transition_label
from fsm_orchestrator.vocabulary import GatesGuard, Guard, Outcome, StateKind, Trigger

_MET_IN: Final[Mapping[StateKind, tuple[Trigger, ...]]] = {
    StateKind.INITIAL: (Trigger.START, Trigger.RUN_ABORTED, Trigger.RESUME),
    StateKind.GATE: (
        Trigger.GATES_PASSED,
        Trigger.GATES_REFUSED,
        Trigger.RUN_ABORTED,
        Trigger.RESUME,
    ),
    StateKind.STAGE: (
        Trigger.STAGE_SUCCEEDED,
        Trigger.STAGE_FAILED,
        Trigger.STAGE_TIMED_OUT,
        Trigger.RUN_ABORTED,
        Trigger.RESUME,
    ),
    StateKind.TERMINAL: (Trigger.RESUME,),
}
"""What can happen in a state: it needs an edge for each, and may have edges for no other."""

_OUTCOMES: Final[Mapping[Trigger, tuple[Outcome, ...]]] = {
    Trigger.GATES_REFUSED: (Outcome.BLOCKED,),
    Trigger.STAGE_FAILED: (Outcome.FAILED,),
    Trigger.STAGE_TIMED_OUT: (Outcome.TIMEOUT, Outcome.FAILED),
    Trigger.RUN_ABORTED: (Outcome.FAILED,),
}
"""The triggers that end the run, and as what they may end it."""

_CONDITIONAL: Final = (Trigger.STAGE_SUCCEEDED, Trigger.GATES_PASSED)
"""The triggers whose edges may have a condition: a fact that ends a run always ends it."""


@dataclass(frozen=True, slots=True)
class _Numbered:
    """An edge and the place of its transition in the file, from 1."""

    number: int
    edge: Edge

    @property
    def label(self) -> str:
        return transition_label(self.number, self.edge.trigger, [self.edge.source])


_Relation = Mapping[tuple[str, Trigger], Sequence[_Numbered]]
"""The edges tried, in this order, when a trigger happens in a state."""


def edge_problems(lifecycle: Lifecycle) -> Iterator[str]:
    """One line for each rule an edge breaks or a missing edge leaves unmet, naming it."""
    relation = _relation(lifecycle)
    for number, transition in enumerate(lifecycle.transition, start=1):
        yield from _transition_problems(lifecycle, relation, number, transition)
    for (source, trigger), tried in relation.items():
        if trigger in _met_in(lifecycle.states[source]):
            yield from _order_problems(lifecycle, tried)
    for state in lifecycle.state:
        for trigger in _met_in(state):
            if (state.name, trigger) not in relation:
                yield f"{state_label(state.name)}: lacks an edge for {trigger}"


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
    return () if state.outcome is Outcome.DONE else _MET_IN[state.kind]


def _transition_problems(
    lifecycle: Lifecycle, relation: _Relation, number: int, transition: Transition
) -> Iterator[str]:
    trigger = transition.trigger
    placed = []
    for source in transition.source:
        if trigger in _met_in(lifecycle.states[source]):
            placed.append(source)
        else:
            label = transition_label(number, trigger, [source])
            yield f"{label}: {_misplaced(lifecycle.states[source], trigger)}"
    if not placed:
        return
    label = transition_label(number, trigger, placed)
    dest = lifecycle.states[transition.dest]
    for fault in (
        _condition_fault(transition),
        _outcome_fault(trigger, dest),
        _start_fault(lifecycle, trigger, dest),
        _resume_fault(lifecycle, relation, transition),
    ):
        if fault:
            yield f"{label}: {fault}"


def _misplaced(source: State, trigger: Trigger) -> str:
    if source.outcome is Outcome.DONE:
        return "a state with outcome done has no exit"
    if source.kind is StateKind.TERMINAL:
        return "a terminal state has no exit other than resume"
    met = ", ".join(_met_in(source))
    return f"{trigger} cannot happen in a state of kind {source.kind}; what can is {met}"


def _condition_fault(transition: Transition) -> str:
    if transition.is_guarded and transition.trigger not in _CONDITIONAL:
        return f"has a condition; only edges for {' and '.join(_CONDITIONAL)} may have one"
    if transition.guard is not None and transition.unless is not None:
        return "has both guard and unless; an edge has one condition"
    return ""


def _outcome_fault(trigger: Trigger, dest: State) -> str:
    outcomes = _OUTCOMES.get(trigger)
    if outcomes is None or dest.outcome in outcomes:
        return ""
    wanted = " or ".join(outcomes)
    return f"leads to {_phrase(dest)}, not to a terminal state with outcome {wanted}"


def _start_fault(lifecycle: Lifecycle, trigger: Trigger, dest: State) -> str:
    kinds = _first_kinds(lifecycle)
    if trigger is not Trigger.START or dest.kind in kinds:
        return ""
    wanted = " or ".join(kinds)
    return (
        f"leads to {_phrase(dest)}, not to a state of kind {wanted}"
        f" (gates_guard is {lifecycle.gates_guard})"
    )


def _resume_fault(lifecycle: Lifecycle, relation: _Relation, transition: Transition) -> str:
    if transition.trigger is not Trigger.RESUME:
        return ""
    start = relation.get((lifecycle.initial, Trigger.START), ())
    dests = [numbered.edge.dest for numbered in start]
    if not dests or transition.dest in dests:
        return ""
    return f"leads to {transition.dest!r}, not where start leads, to {dests[0]!r}"


def _first_kinds(lifecycle: Lifecycle) -> tuple[StateKind, ...]:
    if lifecycle.gates_guard is GatesGuard.STAGES:
        return (StateKind.GATE,)
    return (StateKind.GATE, StateKind.STAGE)


def _order_problems(lifecycle: Lifecycle, tried: Sequence[_Numbered]) -> Iterator[str]:
    """What is wrong between the edges for one trigger from one state."""
    first, last = tried[0], tried[-1]
    if first.edge.trigger not in _CONDITIONAL:
        for numbered in tried[1:]:
            yield f"{numbered.label}: is a second edge; only transition {first.number} may be one"
        return
    if last.edge.is_guarded:
        yield f"{last.label}: is the last one tried, so it may have no condition"
    for numbered in tried[:-1]:
        if not numbered.edge.is_guarded:
            yield f"{numbered.label}: has no condition, so transition {last.number} is never tried"
    yield from _repeated_conditions(tried)
    yield from _inverted_closures(lifecycle, tried)


def _repeated_conditions(tried: Sequence[_Numbered]) -> Iterator[str]:
    seen: dict[tuple[str | None, str | None], int] = {}
    for numbered in tried:
        if not numbered.edge.is_guarded:
            continue
        condition = (numbered.edge.guard, numbered.edge.unless)
        if condition in seen:
            yield f"{numbered.label}: has the condition of transition {seen[condition]}"
        seen.setdefault(condition, numbered.number)


def _inverted_closures(lifecycle: Lifecycle, tried: Sequence[_Numbered]) -> Iterator[str]:
    """Edges to done that are taken because a condition does not hold."""
    failed_guard: Guard | None = None
    for numbered in tried:
        edge = numbered.edge
        unmet = edge.unless or failed_guard
        if unmet and lifecycle.states[edge.dest].outcome is Outcome.DONE:
            yield f"{numbered.label}: leads to {edge.dest!r} only where {unmet} does not hold"
        if edge.unless is None:
            failed_guard = failed_guard or edge.guard


def _phrase(state: State) -> str:
    if state.outcome is not None:
        return f"{state.name!r}, a terminal state with outcome {state.outcome}"
    return f"{state.name!r}, a state of kind {state.kind}"
