"""Searches the edges of a lifecycle: shortest walks, reachable states.

The caller decides what a place is and which places are goals.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from typing import TypeVar

from fsm_orchestrator.lifecycle.model import Edge

Walk = tuple[Edge, ...]
"""A sequence of edges, each of which begins where the one before it ended; never empty."""

Place = TypeVar("Place", bound=Hashable)


def edges_by_source(edges: Iterable[Edge]) -> Mapping[str, list[Edge]]:
    """Return the edges out of each state that has any, in file order."""
    exits: dict[str, list[Edge]] = {}
    for edge in edges:
        exits.setdefault(edge.source, []).append(edge)
    return exits


def shortest_walks(
    start: Place,
    exits: Callable[[Place], Iterable[tuple[Edge, Place]]],
    is_goal: Callable[[Place], bool],
) -> Iterator[tuple[Place, Walk]]:
    """Yield each goal that a walk from `start` ends in, with a shortest such walk; nearest first.

    A walk ends at the first goal that it meets. It has at least one edge, so `start` is a goal only
    for a walk that returns to it. Ties go to the edge that `exits` gives first.
    """
    reached: dict[Place, tuple[Place, Edge]] = {}
    frontier = deque([start])
    while frontier:
        place = frontier.popleft()
        for edge, following in exits(place):
            if following in reached:
                continue
            reached[following] = (place, edge)
            if is_goal(following):
                yield following, _walk(start, following, reached)
            else:
                frontier.append(following)


def reachable(starts: Iterable[str], following: Mapping[str, Iterable[str]]) -> set[str]:
    """Return `starts` and every state that `following` leads to from them."""
    reached = set(starts)
    frontier = list(reached)
    while frontier:
        for state in following.get(frontier.pop(), ()):
            if state not in reached:
                reached.add(state)
                frontier.append(state)
    return reached


def _walk(start: Place, goal: Place, reached: Mapping[Place, tuple[Place, Edge]]) -> Walk:
    place, edge = reached[goal]
    walk = [edge]
    while place != start:
        place, edge = reached[place]
        walk.append(edge)
    return tuple(reversed(walk))
