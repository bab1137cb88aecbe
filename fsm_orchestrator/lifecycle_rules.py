"""Refuses lifecycles whose names, states or edges do not fit together.

What the edges allow a run to do, walk by walk, is proved in lifecycle_proof.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator
from typing import TypeVar

from fsm_orchestrator.lifecycle_edges import edge_problems
from fsm_orchestrator.lifecycle_model import Edge, Lifecycle, State
from fsm_orchestrator.lifecycle_walks import edges_by_source, reachable, shortest_walks
from fsm_orchestrator.lifecycle_wording import state_label, trace, transition_label
from fsm_orchestrator.limits import LIMIT_FIELDS
from fsm_orchestrator.vocabulary import Outcome, StateKind, Trigger
from fsm_orchestrator.wording import suggestion


def rule_problems(lifecycle: Lifecycle) -> Iterator[str]:
    """One line for each rule a part of the lifecycle breaks, naming the part.

    Edges are judged only where names and states are right: what would be said of them before
    would be an echo of what is wrong with the states they join.
    """
    is_sound = True
    for problem in _declaration_problems(lifecycle):
        is_sound = False
        yield problem
    if is_sound:
        yield from edge_problems(lifecycle)
        yield from _reach_problems(lifecycle)


def _declaration_problems(lifecycle: Lifecycle) -> Iterator[str]:
    for name in _repeated(state.name for state in lifecycle.state):
        yield f"{state_label(name)}: duplicate name, declared more than once"
    for state in lifecycle.state:
        for reason in _state_faults(state):
            yield f"{state_label(state.name)}: {reason}"
    yield from _name_problems(lifecycle)
    yield from _initial_problems(lifecycle)
    yield from _done_problems(lifecycle)


def _state_faults(state: State) -> Iterator[str]:
    if state.gates is not None:
        if state.kind is not StateKind.GATE:
            yield f"key 'gates' is for states of kind gate, not {state.kind}"
        elif not state.gates:
            yield "key 'gates' is empty; leave it out to judge all of them"
        for gate in _repeated(state.gates):
            yield f"duplicate {gate.value!r} in key 'gates'"
    if state.outcome is None and state.kind is StateKind.TERMINAL:
        yield "key 'outcome' is missing; a terminal state says how the run ended"
    if state.outcome is not None and state.kind is not StateKind.TERMINAL:
        yield f"key 'outcome' is for states of kind terminal, not {state.kind}"
    for field in LIMIT_FIELDS:
        if getattr(state, field) is not None and state.kind is not StateKind.STAGE:
            yield f"key {field!r} is for states of kind stage, not {state.kind}"


def _name_problems(lifecycle: Lifecycle) -> Iterator[str]:
    known = lifecycle.states
    for number, transition in enumerate(lifecycle.transition, start=1):
        label = transition_label(number, transition.trigger, transition.source)
        if not transition.source:
            yield f"{label}: key 'source' is empty"
        for name in _repeated(transition.source):
            yield f"{label}: duplicate {name!r} in key 'source'"
        for name in dict.fromkeys(transition.source):
            if name not in known:
                yield f"{label}: unknown source {name!r}{suggestion(name, known)}"
        if transition.dest not in known:
            name = transition.dest
            yield f"{label}: unknown dest {name!r}{suggestion(name, known)}"


def _initial_problems(lifecycle: Lifecycle) -> Iterator[str]:
    named = lifecycle.states.get(lifecycle.initial)
    if named is None:
        hint = suggestion(lifecycle.initial, lifecycle.states)
        yield f"key 'initial' names an unknown state {lifecycle.initial!r}{hint}"
        return
    if named.kind is not StateKind.INITIAL:
        yield f"key 'initial' names {named.name!r}, which is of kind {named.kind}, not initial"
        return
    for state in lifecycle.states.values():
        if state.kind is StateKind.INITIAL and state is not named:
            yield f"{state_label(state.name)}: is of kind initial beside {named.name!r}"


def _done_problems(lifecycle: Lifecycle) -> Iterator[str]:
    done = [state.name for state in lifecycle.state if state.outcome is Outcome.DONE]
    if not done:
        yield "no terminal state has outcome done"
    for name in done[1:]:
        yield f"{state_label(name)}: has outcome done, as {done[0]!r} has; only one state may"


def _reach_problems(lifecycle: Lifecycle) -> Iterator[str]:
    """What a single invocation cannot do: resumes are left out of every search here."""
    edges = [edge for edge in lifecycle.edges if edge.trigger is not Trigger.RESUME]
    onward: dict[str, list[str]] = {}
    backward: dict[str, list[str]] = {}
    for edge in edges:
        onward.setdefault(edge.source, []).append(edge.dest)
        backward.setdefault(edge.dest, []).append(edge.source)
    entered = reachable([lifecycle.initial], onward)
    terminals = [state.name for state in lifecycle.state if state.kind is StateKind.TERMINAL]
    ending = reachable(terminals, backward)
    for state in lifecycle.state:
        # What only an unreachable state leads to is an echo of that state, and is not listed.
        if state.name not in entered and entered.issuperset(backward.get(state.name, ())):
            yield f"{state_label(state.name)}: unreachable from {lifecycle.initial!r}"
        if state.name not in ending:
            yield f"{state_label(state.name)}: has no way to a terminal state"
    yield from _loop_problems(lifecycle, edges)


def _loop_problems(lifecycle: Lifecycle, edges: Iterable[Edge]) -> Iterator[str]:
    exits = edges_by_source(edges)
    shown: set[str] = set()
    for state in lifecycle.state:
        if state.name in shown:
            continue
        walks = shortest_walks(
            state.name,
            lambda place: ((edge, edge.dest) for edge in exits.get(place, ())),
            state.name.__eq__,
        )
        for _, walk in walks:
            shown.update(edge.dest for edge in walk)
            yield f"{state_label(state.name)}: is on an unbounded loop: {trace(walk)}"


Value = TypeVar("Value", bound=Hashable)


def _repeated(values: Iterable[Value]) -> list[Value]:
    return [value for value, count in Counter(values).items() if count > 1]
