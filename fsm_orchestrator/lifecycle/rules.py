"""Refuses lifecycles whose names, states or edges do not fit together.

proof.py proves, walk by walk, what the edges allow a run to do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import TypeVar

from fsm_orchestrator.lifecycle.edge_rules import edge_problems
from fsm_orchestrator.lifecycle.findings import (
    Finding,
    FindingKind,
    TransitionPlace,
    of_state,
    of_transition,
)
from fsm_orchestrator.lifecycle.model import Edge, Lifecycle, State
from fsm_orchestrator.lifecycle.walks import edges_by_source, reachable, shortest_walks
from fsm_orchestrator.model.limits import LIMIT_FIELDS
from fsm_orchestrator.model.stage_options import RUN_TIME_OPTIONS, STAGE_OPTIONS
from fsm_orchestrator.text.phrases import option_prefix, suggestion
from fsm_orchestrator.vocabulary import Outcome, StateKind, Trigger


def rule_problems(lifecycle: Lifecycle) -> Iterator[Finding]:
    """Yield a finding for each broken rule.

    Edges are judged only if names and states are right; otherwise their findings would only repeat
    the faults of the states that they join.
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
        yield of_state(FindingKind.DUPLICATE_STATE, name)
    for state in lifecycle.state:
        yield from _state_problems(lifecycle, state)
    if lifecycle.gate:
        from fsm_orchestrator.lifecycle.gate_declarations import gate_problems  # noqa: PLC0415 - rare

        yield from gate_problems(lifecycle)
    if any(_is_about_groups(state) for state in lifecycle.state):
        from fsm_orchestrator.lifecycle.group_rules import group_problems  # noqa: PLC0415 - rare

        yield from group_problems(lifecycle)
    yield from _name_problems(lifecycle)
    yield from _option_problems(lifecycle)
    yield from _initial_problems(lifecycle)
    yield from _done_problems(lifecycle)


def _is_about_groups(state: State) -> bool:
    return state.kind is StateKind.GROUP or state.stages is not None or not state.fail_fast


def _stage_key_problems(state: State) -> Iterator[Finding]:
    """Refuse the keys of a stage in a state of another kind."""
    if state.kind is not StateKind.STAGE:
        given = [
            key
            for key in (*LIMIT_FIELDS, "retry", "exit_codes", "on_finally_failure", "task_queue")
            if getattr(state, key) is not None
        ]
        given += () if state.effects else ("effects",)
        given += ("finally",) if state.is_finally else ()
        for key in given:
            yield of_state(FindingKind.KEY_OUT_OF_PLACE, state.name, key=key, kind=state.kind)


def _state_problems(lifecycle: Lifecycle, state: State) -> Iterator[Finding]:
    name, kind = state.name, state.kind
    if state.gates is not None:
        if kind is not StateKind.GATE:
            yield of_state(FindingKind.GATES_OUT_OF_PLACE, name, kind=kind)
        elif not state.gates:
            yield of_state(FindingKind.NO_GATES, name)
        for gate in _repeated(state.gates):
            yield of_state(FindingKind.DUPLICATE_GATE, name, gate=gate)
    for gate in dict.fromkeys(state.gates or ()):
        if gate not in lifecycle.gates:
            known, hint = tuple(lifecycle.gates), suggestion(gate, lifecycle.gates)
            yield of_state(FindingKind.UNKNOWN_GATE, name, gate=gate, known=known, hint=hint)
    if state.outcome is None and kind is StateKind.TERMINAL:
        yield of_state(FindingKind.NO_OUTCOME, name)
    if state.outcome is not None and kind is not StateKind.TERMINAL:
        yield of_state(FindingKind.OUTCOME_OUT_OF_PLACE, name, kind=kind)
    if state.evidence is not None and kind is not StateKind.GATE:
        yield of_state(FindingKind.EVIDENCE_OUT_OF_PLACE, name, kind=kind)
    yield from _stage_key_problems(state)
    if state.retry is not None and state.retry.names_nothing:
        yield of_state(FindingKind.RETRY_AFTER_NOTHING, name)
    if state.exit_codes:
        yield from _exit_code_problems(state)
    if kind is StateKind.STAGE:
        yield from _finally_problems(lifecycle, state)


def _finally_problems(lifecycle: Lifecycle, state: State) -> Iterator[Finding]:
    """Refuse a second stage that always runs, and keys that do not fit such a stage or another."""
    if not state.is_finally:
        if state.on_finally_failure is not None:
            yield of_state(FindingKind.NOT_FINALLY, state.name)
        return
    if lifecycle.finally_stage != state.name:
        first = lifecycle.finally_stage
        yield of_state(FindingKind.SECOND_FINALLY, state.name, first=first)
    if state.exit_codes:
        yield of_state(FindingKind.SAID_AFTER_THE_END, state.name)
    if state.task_queue is not None:
        yield of_state(FindingKind.ELSEWHERE_AFTER_THE_END, state.name)


def _exit_code_problems(state: State) -> Iterator[Finding]:
    """Refuse meanings of codes that are retried, or that already mean something to a shell."""
    from fsm_orchestrator.model.exit_words import shell_words  # noqa: PLC0415 - rare

    retried = () if state.retry is None else state.retry.exit_codes or ()
    for code, meaning in state.meanings.items():
        if code in retried:
            yield of_state(
                FindingKind.RETRY_OF_MEANING, state.name, code=code, meaning=meaning.value
            )
        for why in shell_words(code):
            yield of_state(FindingKind.CODE_OF_SHELL, state.name, code=code, why=why)


def _name_problems(lifecycle: Lifecycle) -> Iterator[Finding]:
    known = lifecycle.states
    for number, transition in enumerate(lifecycle.transition, start=1):
        place = TransitionPlace(number, transition.trigger, transition.source)
        if not transition.source:
            yield of_transition(FindingKind.NO_SOURCE, place)
        for name in _repeated(transition.source):
            yield of_transition(FindingKind.DUPLICATE_SOURCE, place, name=name)
        for name in dict.fromkeys(transition.source):
            if name not in known:
                hint = suggestion(name, known)
                yield of_transition(FindingKind.UNKNOWN_SOURCE, place, name=name, hint=hint)
        if transition.dest not in known:
            name, hint = transition.dest, suggestion(transition.dest, known)
            yield of_transition(FindingKind.UNKNOWN_DEST, place, name=name, hint=hint)


def _option_problems(lifecycle: Lifecycle) -> Iterator[Finding]:
    """Refuse stages that share the name of an option on the command line."""
    owners = dict.fromkeys(RUN_TIME_OPTIONS, "the command run")
    for stage in lifecycle.stages:
        for row in STAGE_OPTIONS:
            names = [f"{option_prefix(stage)}-{suffix}" for suffix in row.suffixes]
            owned = {option: owners.setdefault(option, stage) for option in names}
            shared = next((one for one in owned.items() if one[1] != stage), None)
            if shared is not None:
                option, owner = shared
                yield of_state(FindingKind.SHARED_OPTION, stage, option=option, owner=owner)


def _initial_problems(lifecycle: Lifecycle) -> Iterator[Finding]:
    named = lifecycle.states.get(lifecycle.initial)
    if named is None:
        hint = suggestion(lifecycle.initial, lifecycle.states)
        values = {"name": lifecycle.initial, "hint": hint}
        yield Finding(FindingKind.UNKNOWN_INITIAL, values=values)
        return
    if named.kind is not StateKind.INITIAL:
        yield of_state(FindingKind.INITIAL_OF_OTHER_KIND, named.name, kind=named.kind)
        return
    for state in lifecycle.states.values():
        if state.kind is StateKind.INITIAL and state is not named:
            yield of_state(FindingKind.SECOND_INITIAL, state.name, name=named.name)


def _done_problems(lifecycle: Lifecycle) -> Iterator[Finding]:
    done = [state.name for state in lifecycle.state if state.outcome is Outcome.DONE]
    if not done:
        yield Finding(FindingKind.NO_DONE)
    for name in done[1:]:
        yield of_state(FindingKind.SECOND_DONE, name, first=done[0])


def _reach_problems(lifecycle: Lifecycle) -> Iterator[Finding]:
    """Check what a single invocation can reach: no search here follows a resume."""
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
        # A state that only unreachable states lead to is a repeated finding, and is not listed.
        if state.is_finally or state.name in lifecycle.group_of:
            continue  # no edge enters or leaves it: see proof.py, group_rules.py
        if state.name not in entered and entered.issuperset(backward.get(state.name, ())):
            yield of_state(FindingKind.UNREACHABLE, state.name, initial=lifecycle.initial)
        if state.name not in ending:
            yield of_state(FindingKind.TRAP, state.name)
    yield from _loop_problems(lifecycle, [edge for edge in edges if edge.at_most is None])
    yield from _bound_problems(lifecycle, onward)
    yield from _exhausted_problems(lifecycle)


def _bound_problems(lifecycle: Lifecycle, onward: Mapping[str, list[str]]) -> Iterator[Finding]:
    """Refuse bounds outside of loops: they would close a way that a resumed run must repeat."""
    for number, transition in enumerate(lifecycle.transition, start=1):
        if transition.at_most is None:
            continue
        ways = {transition.dest, *reachable([transition.dest], onward)}
        for source in transition.source:
            if source not in ways:
                place = TransitionPlace(number, transition.trigger, (source,))
                yield of_transition(FindingKind.BOUND_WITHOUT_LOOP, place)


def _exhausted_problems(lifecycle: Lifecycle) -> Iterator[Finding]:
    """Refuse edges that are never taken, because no run uses up the bounds before them."""
    onward: dict[str, list[str]] = {}
    for edge in lifecycle.edges:
        if edge.at_most is None and edge.trigger is not Trigger.RESUME:
            onward.setdefault(edge.source, []).append(edge.dest)
    resumed = (edge.dest for edge in lifecycle.edges if edge.trigger is Trigger.RESUME)
    free = reachable([lifecycle.initial, *resumed], onward)
    behind = [(edge.at_most or 0, reachable([edge.dest], onward)) for edge in lifecycle.loops]
    used: Counter[tuple[str, Trigger]] = Counter()
    for number, transition in enumerate(lifecycle.transition, start=1):
        for source in transition.source:
            # Without a bound on the way, resumes enter a state any number of times. Otherwise it is
            # entered once each time that a bounded edge is taken, as nothing repeats between two of
            # them.
            entries = sum(count for count, states in behind if source in states)
            if source not in free and used[source, transition.trigger] >= entries > 0:
                place = TransitionPlace(number, transition.trigger, (source,))
                yield of_transition(FindingKind.EXHAUSTED, place, source=source, entries=entries)
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
            yield of_state(FindingKind.UNBOUNDED_LOOP, state.name, walk)


Value = TypeVar("Value", bound=Hashable)


def _repeated(values: Iterable[Value]) -> list[Value]:
    return [value for value, count in Counter(values).items() if count > 1]
