"""Refuses lifecycles whose names, states or edges do not fit together.

What the edges allow a run to do, walk by walk, is proved in lifecycle_proof.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import TypeVar

from fsm_orchestrator.lifecycle.edge_rules import edge_problems
from fsm_orchestrator.lifecycle.findings import Finding, of_state, of_transition
from fsm_orchestrator.lifecycle.model import Edge, Lifecycle, State
from fsm_orchestrator.lifecycle.walks import edges_by_source, reachable, shortest_walks
from fsm_orchestrator.model.limits import LIMIT_FIELDS
from fsm_orchestrator.model.stage_options import STAGE_OPTIONS
from fsm_orchestrator.text.phrases import option_prefix, suggestion
from fsm_orchestrator.vocabulary import Outcome, StateKind, Trigger


def rule_problems(lifecycle: Lifecycle) -> Iterator[Finding]:
    """Each rule that a part of the lifecycle breaks, naming the part.

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


def _declaration_problems(lifecycle: Lifecycle) -> Iterator[Finding]:
    for name in _repeated(state.name for state in lifecycle.state):
        yield of_state(name, "duplicate name, declared more than once")
    for state in lifecycle.state:
        for reason in _state_faults(state):
            yield of_state(state.name, f"{reason}")
    yield from _name_problems(lifecycle)
    yield from _option_problems(lifecycle)
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
    for field in (*LIMIT_FIELDS, "retry", "rework_exit_code"):
        if getattr(state, field) is not None and state.kind is not StateKind.STAGE:
            yield f"key {field!r} is for states of kind stage, not {state.kind}"
    if state.retry is not None and state.retry.names_nothing:
        yield "key 'retry' names nothing to try again after: neither exit_codes nor timeouts"
    if state.retry is not None and state.rework_exit_code in (state.retry.exit_codes or ()):
        yield f"exit code {state.rework_exit_code} asks for rework, so it is not tried again after"


def _name_problems(lifecycle: Lifecycle) -> Iterator[Finding]:
    known = lifecycle.states
    for number, transition in enumerate(lifecycle.transition, start=1):
        part = (number, transition.trigger, transition.source)
        if not transition.source:
            yield of_transition(*part, "key 'source' is empty")
        for name in _repeated(transition.source):
            yield of_transition(*part, f"duplicate {name!r} in key 'source'")
        for name in dict.fromkeys(transition.source):
            if name not in known:
                yield of_transition(*part, f"unknown source {name!r}{suggestion(name, known)}")
        if transition.dest not in known:
            name = transition.dest
            yield of_transition(*part, f"unknown dest {name!r}{suggestion(name, known)}")


def _option_problems(lifecycle: Lifecycle) -> Iterator[Finding]:
    """Two stages whose options have one name could not be told apart on the command line."""
    owners: dict[str, str] = {}
    for stage in lifecycle.stages:
        for row in STAGE_OPTIONS:
            option = f"{option_prefix(stage)}-{row.suffix}"
            owner = owners.setdefault(option, stage)
            if owner != stage:
                yield of_state(stage, f"its option {option} is also one of {owner!r}")


def _initial_problems(lifecycle: Lifecycle) -> Iterator[Finding]:
    named = lifecycle.states.get(lifecycle.initial)
    if named is None:
        hint = suggestion(lifecycle.initial, lifecycle.states)
        yield Finding(f"key 'initial' names an unknown state {lifecycle.initial!r}{hint}")
        return
    if named.kind is not StateKind.INITIAL:
        reason = f"key 'initial' names {named.name!r}, which is of kind {named.kind}, not initial"
        yield Finding(reason, state=named.name)
        return
    for state in lifecycle.states.values():
        if state.kind is StateKind.INITIAL and state is not named:
            yield of_state(state.name, f"is of kind initial beside {named.name!r}")


def _done_problems(lifecycle: Lifecycle) -> Iterator[Finding]:
    done = [state.name for state in lifecycle.state if state.outcome is Outcome.DONE]
    if not done:
        yield Finding("no terminal state has outcome done")
    for name in done[1:]:
        yield of_state(name, f"has outcome done, as {done[0]!r} has; only one state may")


def _reach_problems(lifecycle: Lifecycle) -> Iterator[Finding]:
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
            yield of_state(state.name, f"unreachable from {lifecycle.initial!r}")
        if state.name not in ending:
            yield of_state(state.name, "has no way to a terminal state")
    yield from _loop_problems(lifecycle, [edge for edge in edges if edge.at_most is None])
    yield from _bound_problems(lifecycle, onward)
    yield from _exhausted_problems(lifecycle)


def _bound_problems(lifecycle: Lifecycle, onward: Mapping[str, list[str]]) -> Iterator[Finding]:
    """A bound is for loops: elsewhere it would close a way that a resumed run has to go again."""
    for number, transition in enumerate(lifecycle.transition, start=1):
        if transition.at_most is None:
            continue
        ways = {transition.dest, *reachable([transition.dest], onward)}
        for source in transition.source:
            if source not in ways:
                part = (number, transition.trigger, [source])
                yield of_transition(*part, "has the key 'at_most', but is on no loop")


def _exhausted_problems(lifecycle: Lifecycle) -> Iterator[Finding]:
    """Edges behind ones with `at_most` that a run cannot use up: it never gets to them."""
    onward: dict[str, list[str]] = {}
    for edge in lifecycle.edges:
        if edge.at_most is None and edge.trigger is not Trigger.RESUME:
            onward.setdefault(edge.source, []).append(edge.dest)
    free = reachable([lifecycle.initial], onward)
    behind = [(edge.at_most or 0, reachable([edge.dest], onward)) for edge in lifecycle.loops]
    used: Counter[tuple[str, Trigger]] = Counter()
    for number, transition in enumerate(lifecycle.transition, start=1):
        for source in transition.source:
            # Free of bounds a state is entered as often as the run is resumed. Elsewhere once for
            # each time that an edge with a bound is taken: between two of them nothing repeats.
            entries = sum(count for count, states in behind if source in states)
            if source not in free and used[source, transition.trigger] >= entries > 0:
                reason = (
                    f"can never be taken: {source!r} is entered at most {entries} times in a run,"
                    " and the edges before it take them all"
                )
                yield of_transition(number, transition.trigger, [source], reason)
            used[source, transition.trigger] += transition.at_most or 0


def _loop_problems(lifecycle: Lifecycle, edges: Iterable[Edge]) -> Iterator[Finding]:
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
            yield of_state(state.name, "is on an unbounded loop", walk)


Value = TypeVar("Value", bound=Hashable)


def _repeated(values: Iterable[Value]) -> list[Value]:
    return [value for value, count in Counter(values).items() if count > 1]
