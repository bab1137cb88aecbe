"""What is certain whenever a run enters a state: facts that hold on every walk there.

Since the run was last started or resumed, which forgets them all. Conditions count as open
either way, as in lifecycle_proof.py; whether what is certain is enough is not judged here.
Takes any lifecycle of the right shape, also one that breaks the rules.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

from fsm_orchestrator.lifecycle.model import Edge, Lifecycle
from fsm_orchestrator.lifecycle.walks import Walk, edges_by_source, shortest_walks
from fsm_orchestrator.vocabulary import MANDATORY_GATES, Guard, StateKind, Trigger


class FactKind(StrEnum):
    """What a fact is about."""

    GATE_PASSED = "gate passed"
    STAGE_SUCCEEDED = "stage succeeded"
    CONDITION_HOLDS = "condition holds"


class Fact(NamedTuple):
    """Something that is certain on entering a state.

    A gate passed. A stage succeeded (or was passed over) since it was last entered. A condition
    held when it was tried for an edge, and no stage has run since.
    """

    kind: FactKind
    name: str

    @property
    def rank(self) -> tuple[int, int, str]:
        """Sorts facts for people: gates in judging order, then stages, then conditions."""
        gates = [gate.value for gate in MANDATORY_GATES]
        place = gates.index(self.name) if self.kind is FactKind.GATE_PASSED else 0
        return list(FactKind).index(self.kind), place, self.name

    def __str__(self) -> str:
        match self.kind:
            case FactKind.GATE_PASSED:
                return f"gate {self.name} passed"
            case FactKind.STAGE_SUCCEEDED:
                return f"{self.name!r} succeeded"
            case FactKind.CONDITION_HOLDS:
                return f"{self.name} holds"


Facts = frozenset[Fact]

GATE_FACTS: Final[Facts] = frozenset(
    Fact(FactKind.GATE_PASSED, gate.value) for gate in MANDATORY_GATES
)
_CONDITION_FACTS: Final[Facts] = frozenset(
    Fact(FactKind.CONDITION_HOLDS, guard.value) for guard in Guard
)
_RESETS: Final = (Trigger.START, Trigger.RESUME)


@dataclass(frozen=True, slots=True)
class _Step:
    """An edge and what taking it does to what is certain."""

    edge: Edge
    gained: Facts
    lost: Facts

    def after(self, facts: Facts) -> Facts:
        """What is certain at the end of the edge."""
        if self.edge.trigger in _RESETS:
            return frozenset()
        return (facts - self.lost) | self.gained


class Guarantees:
    """What a lifecycle makes certain.

    Attributes:
        certain: the facts certain on entering each state; one that no walk enters is not there.
    """

    def __init__(self, lifecycle: Lifecycle) -> None:
        self._initial = lifecycle.initial
        self._exits = _exits(lifecycle)
        self.certain: Mapping[str, Facts] = self._fixpoint()

    def walk_without(self, states: frozenset[str], fact: Fact) -> Walk | None:
        """A shortest walk that enters one of `states` without the fact, or None."""

        def following(place: tuple[str, bool]) -> Iterator[tuple[Edge, tuple[str, bool]]]:
            state, has_fact = place
            facts = frozenset([fact]) if has_fact else frozenset()
            for step in self._exits.get(state, ()):
                yield step.edge, (step.edge.dest, fact in step.after(facts))

        def is_goal(place: tuple[str, bool]) -> bool:
            return place[0] in states and not place[1]

        walks = shortest_walks((self._initial, False), following, is_goal)
        return next((walk for _, walk in walks), None)

    def _fixpoint(self) -> Mapping[str, Facts]:
        """The most that every edge upholds: begun with all, less is left with each edge."""
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
    """The step over an edge that is tried when the `earlier` ones were not taken."""
    held, unmet = _judged(edge, earlier)
    gained = {_condition(guard) for guard in held}
    lost = {_condition(guard) for guard in unmet}
    source = lifecycle.states.get(edge.source)
    match (source.kind if source else None, edge.trigger):
        case (StateKind.GATE, Trigger.GATES_PASSED) if source:
            gained |= {Fact(FactKind.GATE_PASSED, gate.value) for gate in source.judged_gates}
        case (StateKind.STAGE, trigger):
            lost |= _CONDITION_FACTS  # the stage has run: what was so before need not be so now
            if trigger is Trigger.STAGE_SUCCEEDED:
                gained.add(_success(edge.source))
        case _:
            pass
    entered = _success(edge.dest)
    gained -= {entered, *(_condition(guard) for guard in unmet)}
    return _Step(edge, frozenset(gained), frozenset({*lost, entered}))


def _judged(edge: Edge, earlier: list[Edge]) -> tuple[set[Guard], set[Guard]]:
    """The conditions that held, and those that did not, when the edge is taken."""
    held = {edge.guard} if edge.guard is not None else set()
    unmet = {edge.unless} if edge.unless is not None else set()
    for other in earlier:
        match (other.guard, other.unless, other.at_most):
            case (Guard() as guard, None, None):
                unmet.add(guard)
            case (None, Guard() as guard, None):
                held.add(guard)
            case _:
                pass  # used up, or which of several conditions was to blame is not known
    return held, unmet


def _condition(guard: Guard) -> Fact:
    return Fact(FactKind.CONDITION_HOLDS, guard.value)


def _success(stage: str) -> Fact:
    return Fact(FactKind.STAGE_SUCCEEDED, stage)
