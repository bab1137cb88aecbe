"""Proves the promises of a lifecycle by searching all walks that a run can take.

The search covers states, gates passed in this invocation, and stages that did not succeed. An edge
with a condition counts as possible, except for `nothing_owed`, which is about exactly that.
rules.py checks names and single edges.
"""

from __future__ import annotations

from collections.abc import Iterator

from fsm_orchestrator.lifecycle.findings import Finding, FindingKind, of_state
from fsm_orchestrator.lifecycle.model import Edge, GatesGuard, Lifecycle
from fsm_orchestrator.lifecycle.walks import Walk, edges_by_source, shortest_walks
from fsm_orchestrator.model.gate_rules import MANDATORY_RULES
from fsm_orchestrator.vocabulary import (
    Guard,
    Outcome,
    StateKind,
    Trigger,
)

Passed = frozenset[str]


def violations(lifecycle: Lifecycle) -> list[Finding]:
    """Return each broken promise with a shortest walk that breaks it; none means proved.

    A lifecycle that breaks rules is searched too, unchanged.
    """
    return [
        *walks_by_finally(lifecycle),
        *stages_without_gates(lifecycle),
        *unbound_gates(lifecycle),
        *done_without_gates(lifecycle),
        *done_without_stages(lifecycle),
    ]


def stages_without_gates(lifecycle: Lifecycle) -> list[Finding]:
    """Return the guarded stages that can be entered before policy, ci and review have passed.

    This means passed in this invocation; a gate that the lifecycle declares may come later. A stage
    that is only reached through another such stage is not listed: fixing that one fixes it.
    """
    found: dict[str, Finding] = {}
    owed = tuple(MANDATORY_RULES)
    for (state, passed), walk in _ungated_walks(lifecycle, _guarded(lifecycle), owed):
        kind, missing = FindingKind.STAGE_WITHOUT_GATES, _missing(passed, owed)
        found.setdefault(state, of_state(kind, state, walk, missing=missing))
    return list(found.values())


def unbound_gates(lifecycle: Lifecycle) -> list[Finding]:
    """Return the places where stages with effects can run on work that no gate has judged.

    Applies only if the gates guard effects. A gate state after a stage judges the work of that
    stage, so its verdict ends when a loop begins that work again; and a signal typed before there
    was any work is no verdict on it.
    """
    if lifecycle.gates_guard is not GatesGuard.EFFECTS:
        return []
    early = _early_gates(lifecycle) if lifecycle.accepts_early_signals else []
    known = {finding.state for finding in stages_without_gates(lifecycle)}
    late = frozenset(
        gate
        for name in lifecycle.gates_after_stages
        for gate in lifecycle.judged_in(lifecycle.states[name])
    )
    repeated: dict[str, Finding] = {}
    owed = tuple(MANDATORY_RULES)
    for (state, passed), walk in _ungated_walks(lifecycle, _guarded(lifecycle), owed, late):
        if state not in known:
            kind, missing = FindingKind.REPEATED_WITHOUT_GATES, _missing(passed, owed)
            repeated.setdefault(state, of_state(kind, state, walk, missing=missing))
    return [*early, *repeated.values()]


def _early_gates(lifecycle: Lifecycle) -> list[Finding]:
    """Return each gate state after a stage, with a shortest walk through a stage to it."""
    exits = edges_by_source(lifecycle.edges)
    found: dict[str, Finding] = {}

    def following(place: tuple[str, str]) -> Iterator[tuple[Edge, tuple[str, str]]]:
        state, stage = place
        for edge in exits.get(state, ()):
            if edge.trigger is not Trigger.RESUME:
                is_stage = edge.source in lifecycle.places
                yield edge, (edge.dest, edge.source if is_stage else stage)

    def is_goal(place: tuple[str, str]) -> bool:
        return place[0] in lifecycle.gates_after_stages and place[1] != ""

    for (state, stage), walk in shortest_walks((lifecycle.initial, ""), following, is_goal):
        kind = FindingKind.GATE_BEFORE_WORK
        found.setdefault(state, of_state(kind, state, walk, stage=stage))
    return list(found.values())


def walks_by_finally(lifecycle: Lifecycle) -> list[Finding]:
    """Return at most one finding: an edge enters or leaves the stage that always runs.

    Without such an edge, the states and edges are those of the lifecycle without that stage: a
    proof of one is a proof of the other, and the outcome is fixed before the stage is entered.
    """
    stage = lifecycle.finally_stage
    if stage is None or not any(stage in (edge.source, edge.dest) for edge in lifecycle.edges):
        return []
    exits = edges_by_source(lifecycle.edges)
    ends = {stage} if stage not in exits else {edge.dest for edge in exits[stage]}

    def following(place: tuple[str, bool]) -> Iterator[tuple[Edge, tuple[str, bool]]]:
        state, was_there = place
        for edge in exits.get(state, ()):
            yield edge, (edge.dest, was_there or stage in (edge.source, edge.dest))

    def is_goal(place: tuple[str, bool]) -> bool:
        return place[1] and place[0] in ends

    walks = shortest_walks((lifecycle.initial, False), following, is_goal)
    walk = next((walk for _, walk in walks), None)
    return [of_state(FindingKind.FINALLY_ON_A_WALK, stage, walk)]


def _guarded(lifecycle: Lifecycle) -> frozenset[str]:
    """Return the states in which a guarded stage runs: a group counts if one of its stages does."""
    guarded = (name for name in lifecycle.stages if lifecycle.is_guarded(name))
    return frozenset(map(lifecycle.place_of, guarded))


def done_without_gates(lifecycle: Lifecycle) -> list[Finding]:
    """Return at most one finding: done is reached before every gate passed in this invocation."""
    owed = tuple(lifecycle.gates)
    for (state, passed), walk in _ungated_walks(lifecycle, _done_states(lifecycle), owed):
        kind = FindingKind.DONE_WITHOUT_GATES
        return [of_state(kind, state, walk, missing=_missing(passed, owed))]
    return []


def done_without_stages(lifecycle: Lifecycle) -> list[Finding]:
    """Return the stages that a run can enter, and still end as done without their success.

    Stages are searched one by one, which keeps the search small: the success of one stage closes no
    way for another. A success survives a resume until the stage is entered again; the verdict is
    the same as if it lasted forever, as every way from there is open after the first entry. A group
    succeeds only if all its stages do, so it is searched as one.
    """
    found = []
    for stage in lifecycle.places:
        for (state, _), walk in _walks_past(lifecycle, stage):
            found.append(of_state(FindingKind.DONE_WITHOUT_STAGE, state, walk, stage=stage))
            break
    return found


def _walks_past(lifecycle: Lifecycle, stage: str) -> Iterator[tuple[tuple[str, bool], Walk]]:
    """Return shortest walks to done on which `stage` was entered and did not succeed."""
    exits = edges_by_source(lifecycle.edges)
    done = _done_states(lifecycle)

    def following(place: tuple[str, bool]) -> Iterator[tuple[Edge, tuple[str, bool]]]:
        state, is_owed = place
        closed: set[Trigger] = set()  # triggers with no edge left to take while something is owed
        for edge in exits.get(state, ()):
            is_another = is_owed and state != stage
            is_barred = edge.trigger in closed or edge.guard is Guard.NOTHING_OWED
            if not (is_another and is_barred):
                yield edge, (edge.dest, _is_owed_after(edge, stage, is_owed=is_owed))
            if edge.unless is Guard.NOTHING_OWED:
                closed.add(edge.trigger)

    def is_goal(place: tuple[str, bool]) -> bool:
        state, is_owed = place
        return is_owed and state in done

    return shortest_walks((lifecycle.initial, False), following, is_goal)


def _ungated_walks(
    lifecycle: Lifecycle,
    goals: frozenset[str],
    owed: tuple[str, ...],
    over_by_loops: Passed = frozenset(),
) -> Iterator[tuple[tuple[str, Passed], Walk]]:
    """Return shortest walks to one of `goals` with one of the `owed` gates missing.

    The verdicts of the gates in `over_by_loops` end when a loop is taken.
    """
    exits = edges_by_source(lifecycle.edges)

    def following(place: tuple[str, Passed]) -> Iterator[tuple[Edge, tuple[str, Passed]]]:
        state, passed = place
        for edge in exits.get(state, ()):
            still = passed if edge.at_most is None else passed - over_by_loops
            yield edge, (edge.dest, _passed_after(lifecycle, edge, still))

    def is_goal(place: tuple[str, Passed]) -> bool:
        state, passed = place
        return state in goals and not passed.issuperset(owed)

    start: tuple[str, Passed] = (lifecycle.initial, frozenset())
    return shortest_walks(start, following, is_goal)


def _passed_after(lifecycle: Lifecycle, edge: Edge, passed: Passed) -> Passed:
    source = lifecycle.states.get(edge.source)
    if edge.trigger is Trigger.RESUME:
        return frozenset()
    if edge.trigger is Trigger.GATES_PASSED and source and source.kind is StateKind.GATE:
        return passed.union(lifecycle.judged_in(source))
    return passed


def _is_owed_after(edge: Edge, stage: str, *, is_owed: bool) -> bool:
    """Return whether the success of `stage`, once entered, is outstanding after `edge`.

    A stage that had nothing to do has not succeeded; the lifecycle's edge for that is the only way
    onward without success.
    """
    if edge.dest == stage:
        return True
    if edge.source == stage and edge.trigger in {Trigger.STAGE_SUCCEEDED, Trigger.STAGE_DECLINED}:
        return False
    return is_owed


def _done_states(lifecycle: Lifecycle) -> frozenset[str]:
    return frozenset(state.name for state in lifecycle.state if state.outcome is Outcome.DONE)


def _missing(passed: Passed, owed: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(gate for gate in owed if gate not in passed)
