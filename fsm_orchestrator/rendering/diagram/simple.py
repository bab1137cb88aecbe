"""Makes a picture for a meeting: states and outcomes, legible at a glance. Pure.

It leaves out edges that only a condition, an abort or a resume takes, and the declarations of a
state; a caption says that they are left out. Edges that a run took are shown all the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from fsm_orchestrator.lifecycle.model import Edge
from fsm_orchestrator.rendering.diagram.labels import Label
from fsm_orchestrator.rendering.diagram.picture import ENDS, Arrow, Mark, Node, Picture, Shape
from fsm_orchestrator.vocabulary import Trigger

CAPTION: Final = "simple: conditions, resumes and aborts are left out"
_WORDS: Final[Mapping[Trigger, str]] = {
    Trigger.START: "",
    Trigger.GATES_PASSED: "passed",
    Trigger.GATES_REFUSED: "refused",
    Trigger.STAGE_SUCCEEDED: "",
    Trigger.STAGE_FAILED: "failed",
    Trigger.STAGE_TIMED_OUT: "timed out",
    Trigger.STAGE_DECLINED: "nothing to do",
    Trigger.STAGE_BLOCKED: "blocked",
    Trigger.REWORK_REQUESTED: "rework",
    Trigger.RUN_ABORTED: "aborted",
    Trigger.RUN_TIMED_OUT: "time is up",
    Trigger.RESUME: "resumed",
}
"""The word for each trigger; where all goes well, none is needed."""


def simple(picture: Picture) -> Picture:
    """Return the same picture with fewer details."""
    arrows = tuple(_arrow(one) for one in picture.arrows if _kept(one))
    drawn = {key for arrow in arrows for key in (arrow.source, arrow.dest)}
    nodes = (
        _node(one) for one in picture.nodes if one.shape is not Shape.GROUP or one.key in drawn
    )
    return replace(
        picture, nodes=tuple(nodes), arrows=arrows, captions=(*picture.captions, CAPTION)
    )


def _kept(arrow: Arrow) -> tuple[Edge, ...]:
    """Return the edges of an arrow that are shown."""
    if arrow.mark is Mark.TAKEN:
        return tuple(one for one in arrow.edges if one.trigger is not Trigger.RESUME)
    hidden = {Trigger.RESUME, Trigger.RUN_ABORTED}
    return tuple(one for one in arrow.edges if one.trigger not in hidden and one.unless is None)


def _arrow(arrow: Arrow) -> Arrow:
    edges = _kept(arrow)
    words = dict.fromkeys(map(_word, edges))
    return replace(arrow, edges=edges, labels=tuple(Label(word) for word in words if word))


def _word(edge: Edge) -> str:
    if edge.trigger is Trigger.REWORK_REQUESTED and edge.at_most is None:
        return "too much rework"
    if edge.unless is not None:
        return f"not {edge.unless.value}"
    return _WORDS[edge.trigger]


def _node(node: Node) -> Node:
    return node if node.shape in ENDS else replace(node, details=node.members)
