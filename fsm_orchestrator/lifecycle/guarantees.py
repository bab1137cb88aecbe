"""Finds the facts that are certain on entering a state: they hold on every walk to it.

A start or resume clears all facts. Conditions count as possibly true and possibly false, as in
proof.py. Takes any lifecycle of the right shape, even one that breaks the rules; diff.py judges
which facts are needed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

from fsm_orchestrator.lifecycle.model import Edge, Lifecycle, State
from fsm_orchestrator.lifecycle.walks import Walk, edges_by_source, shortest_walks
from fsm_orchestrator.model.gate_rules import MANDATORY_RULES
from fsm_orchestrator.vocabulary import Guard, StateKind, Trigger


class FactKind(StrEnum):
    """The subject of a fact, as the phrase that names it."""

    GATE_PASSED = "gate {} passed"
    GATE_BY_EVIDENCE = "gate {} passed by evidence"
    STAGE_SUCCEEDED = "{!r} succeeded"
    CONDITION_HOLDS = "{} holds"


_GATE_KINDS: Final = (FactKind.GATE_PASSED, FactKind.GATE_BY_EVIDENCE)


class Fact(NamedTuple):
    """A statement that is certain on entering a state.

    A gate passed. A stage succeeded (or was passed over) since it was last entered. A condition
    held when it was tried for an edge, and no stage has run since.
    """

    kind: FactKind
    name: str

    @property
    def rank(self) -> tuple[int, int, str]:
        """The sort key for display: gates in judging order, then stages, then conditions.

        Gates that a lifecycle declares come last among gates, by name, as two lifecycles may differ
        there.
        """
        gates = list(MANDATORY_RULES)
        is_mandatory = self.kind in _GATE_KINDS and self.name in gates
        place = gates.index(self.name) if is_mandatory else len(gates)
        return list(FactKind).index(self.kind), place, self.name

    def __str__(self) -> str:
        return self.kind.value.format(self.name)


Facts = frozenset[Fact]

GATE_FACTS: Final[Facts] = frozenset(Fact(FactKind.GATE_PASSED, gate) for gate in MANDATORY_RULES)
_CONDITION_FACTS: Final[Facts] = frozenset(
    Fact(FactKind.CONDITION_HOLDS, guard.value) for guard in Guard
)
_RESETS: Final = (Trigger.START, Trigger.RESUME)


@dataclass(frozen=True, slots=True)
class _Step:
    """An edge, and the facts gained and lost by taking it."""

    edge: Edge
    gained: Facts
    lost: Facts

    def after(self, facts: Facts) -> Facts:
        """Return the facts that are certain at the end of the edge."""
        if self.edge.trigger in _RESETS:
            return frozenset()
        return (facts - self.lost) | self.gained


class Guarantees:
    """The facts that a lifecycle makes certain.

    Attributes:
        certain: the facts certain on entering each state; states that no walk enters are absent.
    """

    def __init__(self, lifecycle: Lifecycle) -> None:
        self._initial = lifecycle.initial
        self._exits = _exits(lifecycle)
        self._places = lifecycle.group_of
        self.certain: Mapping[str, Facts] = self._with_members(self._fixpoint())

    def walk_without(self, states: frozenset[str], fact: Fact) -> Walk | None:
        """Find a shortest walk that enters one of `states` without the fact."""
        states = frozenset(self._places.get(name, name) for name in states)

        def following(place: tuple[str, bool]) -> Iterator[tuple[Edge, tuple[str, bool]]]:
            state, has_fact = place
            facts = frozenset([fact]) if has_fact else frozenset()
            for step in self._exits.get(state, ()):
                yield step.edge, (step.edge.dest, fact in step.after(facts))

        def is_goal(place: tuple[str, bool]) -> bool:
            return place[0] in states and not place[1]

        walks = shortest_walks((self._initial, False), following, is_goal)
        return next((walk for _, walk in walks), None)

    def _with_members(self, certain: Mapping[str, Facts]) -> Mapping[str, Facts]:
        """Return also the facts that are certain when a group starts its stages."""
        members = {name: certain[group] for name, group in self._places.items() if group in certain}
        return {**certain, **members}

    def _fixpoint(self) -> Mapping[str, Facts]:
        """Return the largest set of facts that every edge preserves, by removing all others."""
        certain: dict[str, Facts] = {self._initial: frozenset()}
        frontier = deque([self._initial])
        while frontier:
            source = frontier.popleft()
            for step in self._exits.get(source, ()):
                dest = step.edge.dest
                before = certain.get(dest)
                facts = step.after(certain[source])
                if before is not None:
                    facts &= before
                if facts != before:
                    certain[dest] = facts
                    frontier.append(dest)
        return certain


def _exits(lifecycle: Lifecycle) -> Mapping[str, list[_Step]]:
    exits: dict[str, list[_Step]] = {}
    for source, edges in edges_by_source(lifecycle.edges).items():
        tried: dict[Trigger, list[Edge]] = {}
        for edge in edges:
            earlier = tried.setdefault(edge.trigger, [])
            exits.setdefault(source, []).append(_step(lifecycle, edge, earlier))
            earlier.append(edge)
    return exits


def _step(lifecycle: Lifecycle, edge: Edge, earlier: list[Edge]) -> _Step:
    """Return the step over an edge that is tried after the `earlier` ones."""
    held, unmet = _judged(edge, earlier)
    gained = {_condition(guard) for guard in held}
    lost = {_condition(guard) for guard in unmet}
    source = lifecycle.states.get(edge.source)
    match (source.kind if source else None, edge.trigger):
        case (StateKind.GATE, Trigger.GATES_PASSED) if source:
            kinds = _GATE_KINDS if source.evidence else (FactKind.GATE_PASSED,)
            gained |= {Fact(kind, gate) for kind in kinds for gate in lifecycle.judged_in(source)}
        case (StateKind.STAGE | StateKind.GROUP, trigger) if source:
            lost |= _CONDITION_FACTS  # the stage has run and may have changed anything
            if trigger is Trigger.STAGE_SUCCEEDED:
                gained |= _successes(source, edge.source)
        case _:
            pass
    entered = _successes(lifecycle.states.get(edge.dest), edge.dest)
    gained -= {*entered, *(_condition(guard) for guard in unmet)}
    return _Step(edge, frozenset(gained), frozenset({*lost, *entered}))


def _judged(edge: Edge, earlier: list[Edge]) -> tuple[set[Guard], set[Guard]]:
    """Return the conditions that held, and those that did not, when the edge is taken."""
    held = {edge.guard} if edge.guard is not None else set()
    unmet = {edge.unless} if edge.unless is not None else set()
    for other in earlier:
        match (other.guard, other.unless, other.at_most):
            case (Guard() as guard, None, None):
                unmet.add(guard)
            case (None, Guard() as guard, None):
                held.add(guard)
            case _:
                pass  # a used-up bound, or several conditions: unknown which one failed
    return held, unmet


def _condition(guard: Guard) -> Fact:
    return Fact(FactKind.CONDITION_HOLDS, guard.value)


def _successes(state: State | None, name: str) -> set[Fact]:
    """Return the success of a stage, or of every stage of a group."""
    stages = (name,) if state is None or not state.stages else state.stages
    return {Fact(FactKind.STAGE_SUCCEEDED, stage) for stage in stages}
