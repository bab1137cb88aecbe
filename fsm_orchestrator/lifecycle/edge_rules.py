"""Refuses edges that make no sense where they stand, and states that lack an edge.

Assumes what lifecycle_rules.py checks first: names that are known and states that are right.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from fsm_orchestrator.lifecycle.findings import Finding, of_state, of_transition
from fsm_orchestrator.lifecycle.model import Edge, Lifecycle, State, Transition
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
        Trigger.REWORK_REQUESTED,
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

_CONDITIONAL: Final = (
    Trigger.STAGE_SUCCEEDED,
    Trigger.GATES_PASSED,
    Trigger.REWORK_REQUESTED,
)
"""The triggers whose edges may have a condition: a fact that ends a run always ends it."""


class _Numbered(NamedTuple):
    """An edge and the place of its transition in the file, from 1."""

    number: int
    edge: Edge

    def finding(self, reason: str) -> Finding:
        return of_transition(self.number, self.edge.trigger, [self.edge.source], reason)


_Relation = Mapping[tuple[str, Trigger], Sequence[_Numbered]]
"""The edges tried, in this order, when a trigger happens in a state."""


def edge_problems(lifecycle: Lifecycle) -> Iterator[Finding]:
    """Each rule that an edge breaks or a missing edge leaves unmet, naming it."""
    relation = _relation(lifecycle)
    for number, transition in enumerate(lifecycle.transition, start=1):
        yield from _transition_problems(lifecycle, relation, number, transition)
    for (source, trigger), tried in relation.items():
        if trigger in _met_in(lifecycle.states[source]):
            yield from _order_problems(lifecycle, tried)
    for state in lifecycle.state:
        for trigger in _met_in(state):
            if (state.name, trigger) not in relation:
                yield of_state(state.name, f"lacks an edge for {trigger}")


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
    met = _MET_IN[state.kind]
    if state.rework_exit_code is None:
        return tuple(trigger for trigger in met if trigger is not Trigger.REWORK_REQUESTED)
    return met


def _transition_problems(
    lifecycle: Lifecycle, relation: _Relation, number: int, transition: Transition
) -> Iterator[Finding]:
    trigger = transition.trigger
    placed = []
    for source in transition.source:
        if trigger in _met_in(lifecycle.states[source]):
            placed.append(source)
        else:
            reason = _misplaced(lifecycle.states[source], trigger)
            yield of_transition(number, trigger, [source], reason)
    if not placed:
        return
    dest = lifecycle.states[transition.dest]
    for fault in (
        _condition_fault(transition),
        _outcome_fault(trigger, dest),
        _rework_fault(transition, dest),
        _start_fault(lifecycle, trigger, dest),
        _resume_fault(lifecycle, relation, transition),
    ):
        if fault:
            yield of_transition(number, trigger, placed, fault)


def _misplaced(source: State, trigger: Trigger) -> str:
    if source.outcome is Outcome.DONE:
        return "a state with outcome done has no exit"
    if source.kind is StateKind.TERMINAL:
        return "a terminal state has no exit other than resume"
    met = ", ".join(_met_in(source))
    return f"{trigger} cannot happen in a state of kind {source.kind}; what can is {met}"


def _condition_fault(transition: Transition) -> str:
    if transition.is_guarded and transition.trigger not in _CONDITIONAL:
        return f"has a condition; only edges for {', '.join(_CONDITIONAL)} may have one"
    conditions = ("guard", "unless", "at_most")
    given = [name for name in conditions if getattr(transition, name) is not None]
    if len(given) > 1:
        return f"has {' and '.join(given)}; an edge has one condition"
    return ""


def _outcome_fault(trigger: Trigger, dest: State) -> str:
    outcomes = _OUTCOMES.get(trigger)
    if outcomes is None or dest.outcome in outcomes:
        return ""
    wanted = " or ".join(outcomes)
    return f"leads to {_phrase(dest)}, not to a terminal state with outcome {wanted}"


def _rework_fault(transition: Transition, dest: State) -> str:
    """Rework leads back, so many times; when none is left the run has failed."""
    if transition.trigger is not Trigger.REWORK_REQUESTED:
        return ""
    if transition.at_most is None and dest.outcome is not Outcome.FAILED:
        wanted = f"a terminal state with outcome {Outcome.FAILED.value}"
        return f"leads to {_phrase(dest)}, not to {wanted}, and has no key 'at_most'"
    return ""


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


def _order_problems(lifecycle: Lifecycle, tried: Sequence[_Numbered]) -> Iterator[Finding]:
    """What is wrong between the edges for one trigger from one state."""
    first, last = tried[0], tried[-1]
    if first.edge.trigger not in _CONDITIONAL:
        for numbered in tried[1:]:
            yield numbered.finding(f"is a second edge; only transition {first.number} may be one")
        return
    if last.edge.is_guarded:
        yield last.finding("is the last one tried, so it may have no condition")
    for numbered in tried[:-1]:
        if not numbered.edge.is_guarded:
            yield numbered.finding(f"has no condition, so transition {last.number} is never tried")
    yield from _repeated_conditions(tried)
    yield from _inverted_closures(lifecycle, tried)


def _repeated_conditions(tried: Sequence[_Numbered]) -> Iterator[Finding]:
    seen: dict[tuple[str | None, str | None], int] = {}
    for numbered in tried:
        if numbered.edge.guard is None and numbered.edge.unless is None:
            continue
        condition = (numbered.edge.guard, numbered.edge.unless)
        if condition[::-1] in seen and numbered is not tried[-1]:
            other = seen[condition[::-1]]
            yield numbered.finding(f"holds whenever transition {other} does not, so none follows")
        if condition in seen:
            yield numbered.finding(f"has the condition of transition {seen[condition]}")
        seen.setdefault(condition, numbered.number)


def _inverted_closures(lifecycle: Lifecycle, tried: Sequence[_Numbered]) -> Iterator[Finding]:
    """Edges to done that are taken because a condition does not hold."""
    failed_guard: Guard | None = None
    for numbered in tried:
        edge = numbered.edge
        unmet = edge.unless or failed_guard
        if unmet and lifecycle.states[edge.dest].outcome is Outcome.DONE:
            yield numbered.finding(f"leads to {edge.dest!r} only where {unmet} does not hold")
        if edge.unless is None:
            failed_guard = failed_guard or edge.guard


def _phrase(state: State) -> str:
    if state.outcome is not None:
        return f"{state.name!r}, a terminal state with outcome {state.outcome}"
    return f"{state.name!r}, a state of kind {state.kind}"
