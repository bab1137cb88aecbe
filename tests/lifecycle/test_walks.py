"""The searches over edges."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable

import pytest

from fsm_orchestrator.lifecycle.labels import trace
from fsm_orchestrator.lifecycle.model import Edge
from fsm_orchestrator.lifecycle.walks import edges_by_source, reachable, shortest_walks
from fsm_orchestrator.vocabulary import Trigger


def edges(*pairs: str) -> list[Edge]:
    """Return edges from texts such as `ab`, for an edge from a to b."""
    return [
        Edge(Trigger.START, pair[0], pair[1], guard=None, unless=None, at_most=None, why="x")
        for pair in pairs
    ]


def exits(found: Iterable[Edge]) -> Callable[[str], list[tuple[Edge, str]]]:
    """Return the edges in the form that a search asks for."""
    by_source = edges_by_source(found)
    return lambda place: [(edge, edge.dest) for edge in by_source.get(place, ())]


@pytest.mark.parametrize("seed", range(20))
def test_walk_is_a_shortest_one_in_whatever_order_the_edges_stand(seed: int) -> None:
    """The shortest walk is found wherever longer ones are among the edges."""
    ways = edges("ab", "bc", "cd", "dz", "ax", "xz", "ap", "pq", "qx", "qz", "bp", "px")
    random.Random(seed).shuffle(ways)  # noqa: S311 - an order, not a secret
    ((goal, walk),) = shortest_walks("a", exits(ways), "z".__eq__)
    assert goal == "z"
    assert trace(walk) == "a --start--> x --start--> z"


def test_walks_end_at_the_first_goal_and_come_nearest_first() -> None:
    """Goals come in the order of distance, and nothing behind a goal is found."""
    ways = edges("ab", "bc", "ad", "de", "ef", "cg")
    found = shortest_walks("a", exits(ways), lambda place: place in "cfg")
    assert [trace(walk) for _, walk in found] == [
        "a --start--> b --start--> c",
        "a --start--> d --start--> e --start--> f",
    ]


def test_start_is_a_goal_only_when_a_walk_comes_back() -> None:
    """The start is a goal only if a walk leads back to it."""
    assert not list(shortest_walks("a", exits(edges("ab", "bc")), "a".__eq__))
    ((_, walk),) = shortest_walks("a", exits(edges("ab", "bc", "ca", "bb")), "a".__eq__)
    assert trace(walk) == "a --start--> b --start--> c --start--> a"


def test_reachable_is_the_starts_and_all_behind_them() -> None:
    """Everything that edges lead to is found, through loops, and nothing else."""
    following = {"a": ["b"], "b": ["a", "c"], "d": ["a"]}
    assert reachable(["a"], following) == {"a", "b", "c"}
    assert reachable(["c", "d"], following) == {"a", "b", "c", "d"}
    assert reachable([], following) == set()
