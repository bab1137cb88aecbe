"""Proves what a lifecycle promises of every run, by searching all walks a run can take.

The search is over states, gates passed in this invocation, and stages that did not succeed. It
takes the lifecycle as it is and excuses nothing: an edge with a condition is an edge that can be
taken. Whether names and edges make sense one by one is checked in lifecycle_rules.py.
"""

from __future__ import annotations

from collections.abc import Iterator

from fsm_orchestrator.lifecycle.findings import Finding, of_state
from fsm_orchestrator.lifecycle.model import Edge, Lifecycle
from fsm_orchestrator.lifecycle.walks import Walk, edges_by_source, shortest_walks
from fsm_orchestrator.vocabulary import (
    MANDATORY_GATES,
    Gate,
    GatesGuard,
    Outcome,
    StateKind,
    Trigger,
)

Passed = frozenset[Gate]


def violations(lifecycle: Lifecycle) -> list[Finding]:
    """Every promise that some walk breaks, each with a shortest walk that does; none: proved.

    Whatever the rules say of it: a lifecycle with names that lead nowhere is searched as it is.
    """
    return [
        *stages_without_gates(lifecycle),
        *done_without_gates(lifecycle),
        *done_without_stages(lifecycle),
    ]


def stages_without_gates(lifecycle: Lifecycle) -> list[Finding]:
    """The stages that can be entered before every mandatory gate has passed in this invocation.

    None where the gates guard only the closure. A stage that is entered so only by way of
    another one is not listed: mending that one mends it.
    """
    if lifecycle.gates_guard is GatesGuard.CLOSURE:
        return []
    found: dict[str, Finding] = {}
    for (state, passed), walk in _ungated_walks(lifecycle, frozenset(lifecycle.stages)):
        reason = f"can be entered before {_missing(passed)} in this invocation"
        found.setdefault(state, of_state(state, reason, walk))
    return list(found.values())


def done_without_gates(lifecycle: Lifecycle) -> list[Finding]:
    """At most one: the run can end as done without every mandatory gate passed since resumed."""
    for (state, passed), walk in _ungated_walks(lifecycle, _done_states(lifecycle)):
        reason = f"can be reached before {_missing(passed)} in this invocation"
        return [of_state(state, reason, walk)]
    return []


def done_without_stages(lifecycle: Lifecycle) -> list[Finding]:
    """The stages that a run can enter and still end as done without their success.

    Stages are searched one by one: which others succeeded closes no way to a run, so the search
    stays small however many stages there are. A success lasts over a resume, until the stage is
    entered again; as the way from there on is open from the first entry too, the verdict is the
    same as if it lasted for ever.
    """
    found = []
    for stage in lifecycle.stages:
        for (state, _), walk in _walks_past(lifecycle, stage):
            reason = f"can be reached although {stage!r} was entered and did not succeed"
            found.append(of_state(state, reason, walk))
            break
    return found


def _walks_past(lifecycle: Lifecycle, stage: str) -> Iterator[tuple[tuple[str, bool], Walk]]:
    """The shortest walks that end as done while the success of `stage`, entered, is owed."""
    exits = edges_by_source(lifecycle.edges)
    done = _done_states(lifecycle)

    def following(place: tuple[str, bool]) -> Iterator[tuple[Edge, tuple[str, bool]]]:
        state, is_owed = place
        for edge in exits.get(state, ()):
            yield edge, (edge.dest, _is_owed_after(edge, stage, is_owed=is_owed))

    def is_goal(place: tuple[str, bool]) -> bool:
        state, is_owed = place
        return is_owed and state in done

    return shortest_walks((lifecycle.initial, False), following, is_goal)


def _ungated_walks(
    lifecycle: Lifecycle, goals: frozenset[str]
) -> Iterator[tuple[tuple[str, Passed], Walk]]:
    """The shortest walks that end in one of `goals` with a mandatory gate missing."""
    exits = edges_by_source(lifecycle.edges)

    def following(place: tuple[str, Passed]) -> Iterator[tuple[Edge, tuple[str, Passed]]]:
        state, passed = place
        for edge in exits.get(state, ()):
            yield edge, (edge.dest, _passed_after(lifecycle, edge, passed))

    def is_goal(place: tuple[str, Passed]) -> bool:
        state, passed = place
        return state in goals and len(passed) < len(MANDATORY_GATES)

    start: tuple[str, Passed] = (lifecycle.initial, frozenset())
    return shortest_walks(start, following, is_goal)


def _passed_after(lifecycle: Lifecycle, edge: Edge, passed: Passed) -> Passed:
    source = lifecycle.states.get(edge.source)
    if edge.trigger is Trigger.RESUME:
        return frozenset()
    if edge.trigger is Trigger.GATES_PASSED and source and source.kind is StateKind.GATE:
        return passed.union(source.judged_gates)
    return passed


def _is_owed_after(edge: Edge, stage: str, *, is_owed: bool) -> bool:
    """Whether the success of `stage`, once entered, is outstanding after `edge`."""
    if edge.dest == stage:
        return True
    if edge.source == stage and edge.trigger is Trigger.STAGE_SUCCEEDED:
        return False
    return is_owed


def _done_states(lifecycle: Lifecycle) -> frozenset[str]:
    return frozenset(state.name for state in lifecycle.state if state.outcome is Outcome.DONE)


def _missing(passed: Passed) -> str:
    names = [gate.value for gate in MANDATORY_GATES if gate not in passed]
    return f"{'gate' if len(names) == 1 else 'gates'} {', '.join(names)} passed"
