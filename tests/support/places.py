"""Places in JSON documents, and which of them stand for others."""

from __future__ import annotations

from collections.abc import Iterable

from tests.support.soak import SOAK

Place = tuple[str | int, ...]
"""The keys and indices that lead to a value."""


def of_each_kind(found: Iterable[Place]) -> list[Place]:
    """Return the first and the last place of each kind, in order; with `SOAK=1` every place.

    Entries of a list are of one kind: one declaration and one reader are behind all of them.
    """
    every = list(found)
    if SOAK:
        return every
    first: dict[Place, Place] = {}
    last: dict[Place, Place] = {}
    for place in every:
        kind = tuple("*" if isinstance(key, int) else key for key in place)
        first.setdefault(kind, place)
        last[kind] = place
    kept = {*first.values(), *last.values()}
    return [place for place in every if place in kept]
