"""A picture as rows of words, for a terminal: a state each, or several that are alike."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from fsm_orchestrator.rendering.diagram.picture import Line, Mark, Node, Picture, Shape
from fsm_orchestrator.rendering.diagram.simple import simple
from fsm_orchestrator.vocabulary import Outcome


class Row(NamedTuple):
    """One state, or several stages in a row of which the same is to be said.

    Attributes:
        names: of the states, in order.
        shape: what they are.
        details: what is said of them.
        exits: where else they lead than onward: `refused → blocked`, word and state apart.
        mark: what an overlay says of them.
        outcome: of a state that ends a run.
        members: the stages that run side by side in it.
    """

    names: tuple[str, ...]
    shape: Shape
    details: tuple[str, ...]
    exits: tuple[tuple[str, str], ...]
    mark: Mark
    outcome: Outcome | None
    members: tuple[str, ...]

    @property
    def alike(self) -> tuple[object, ...]:
        """What it has in common with a row that it can be shown with."""
        own = self.names if self.shape is not Shape.STAGE else ()
        return (own, self.shape, self.details, self.exits, self.mark)


def outline(full: Picture, notes: Mapping[str, str] | None = None) -> tuple[Row, ...]:
    """Return the rows of a picture in the order in which its states are entered.

    Conditions, resumes and aborts are left out, as in the simple picture. `notes` are what to say
    of states, by name, instead of what the picture does.
    """
    picture = simple(full)
    details = {node.key: _declared(node) for node in full.nodes}
    if notes is not None:
        details = {node.key: tuple(_noted(node, notes)) for node in full.nodes}
    rows = (_row(picture, node, details[node.key]) for node in picture.nodes)
    groups = itertools.groupby(rows, lambda row: row.alike)
    return tuple(_joined(list(group)) for _, group in groups)


def _declared(node: Node) -> tuple[str, ...]:
    """Return what is declared of a state; of stages side by side, all of them in one piece."""
    if not node.members:
        return node.details
    first, *stages = node.details
    return (f"{first} {', '.join(stages)}",)


def _noted(node: Node, notes: Mapping[str, str]) -> Iterator[str]:
    if node.key in notes:
        yield notes[node.key]
    yield from (f"{one}: {notes[one]}" for one in node.members if one in notes)


def _joined(rows: Sequence[Row]) -> Row:
    return rows[0]._replace(names=tuple(name for row in rows for name in row.names))


def _row(picture: Picture, node: Node, details: tuple[str, ...]) -> Row:
    exits = tuple(_exits(picture, node.key))
    return Row((node.title,), node.shape, details, exits, node.mark, node.outcome, node.members)


def _exits(picture: Picture, key: str) -> Iterator[tuple[str, str]]:
    titles = {node.key: node.title for node in picture.nodes}
    for arrow in picture.arrows:
        if arrow.source == key and arrow.line is not Line.HAPPY:
            words = " or ".join(label.trigger for label in arrow.labels)
            yield words, titles[arrow.dest]
