"""A picture as rows of words, for a terminal: one row for each state, or for several alike."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from fsm_orchestrator.rendering.diagram.picture import Line, Mark, Node, Picture, Shape
from fsm_orchestrator.rendering.diagram.simple import simple
from fsm_orchestrator.vocabulary import Outcome


class Row(NamedTuple):
    """One state, or several consecutive stages with the same description.

    Attributes:
        names: the names of the states, in order.
        shape: the kind of the states.
        details: the description of the states.
        exits: the exits other than onward: `refused → blocked`, word and state apart.
        mark: the mark that an overlay puts on them.
        outcome: the outcome, if it is a state that ends a run.
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
        """The values that rows have in common if they can be shown as one."""
        own = self.names if self.shape is not Shape.STAGE else ()
        return (own, self.shape, self.details, self.exits, self.mark)


def outline(full: Picture, notes: Mapping[str, str] | None = None) -> tuple[Row, ...]:
    """Return the rows of a picture in the order in which its states are entered.

    Conditions, resumes and aborts are left out, as in the simple picture. `notes`, by the name of a
    state, replace the descriptions in the picture.
    """
    picture = simple(full)
    details = {node.key: _declared(node) for node in full.nodes}
    if notes is not None:
        details = {node.key: tuple(_noted(node, notes)) for node in full.nodes}
    rows = (_row(picture, node, details[node.key]) for node in picture.nodes)
    groups = itertools.groupby(rows, lambda row: row.alike)
    return tuple(_joined(list(group)) for _, group in groups)


def _declared(node: Node) -> tuple[str, ...]:
    """Return the declarations of a state; those of stages side by side as one string."""
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
