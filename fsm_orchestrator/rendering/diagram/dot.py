"""Writes a picture in the DOT language of Graphviz, laid out so that the way to done is straight.

Pure: image.py has Graphviz draw it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Final

from fsm_orchestrator.rendering.diagram.labels import Label
from fsm_orchestrator.rendering.diagram.picture import ENDS, Arrow, Line, Mark, Node, Picture, Shape

_FONT: Final = "Helvetica"
_GREY: Final = "#555555"
_GRAPH: Final = (
    "rankdir=TB nodesep=0.45 ranksep=0.42 labelloc=t bgcolor=white pad=0.2"
    f" fontname={_FONT} fontsize=12"
)
_START: Final = 'shape=circle style=filled fillcolor=black width=0.16 height=0.16 label=""'
_SHAPES: Final[Mapping[Shape, tuple[str, str, str]]] = {
    Shape.INITIAL: ("box", "rounded,filled", 'fillcolor="#ffffff"'),
    Shape.GATE: ("hexagon", "filled", 'fillcolor="#fff4d6" margin="0.02,0.02"'),
    Shape.STAGE: ("box", "filled", 'fillcolor="#e8f0fe"'),
    Shape.BESIDE: ("box3d", "filled", 'fillcolor="#e8f0fe"'),
    Shape.DONE: ("box", "rounded,filled", 'peripheries=2 penwidth=2 fillcolor="#e3f5e5"'),
    Shape.BLOCKED: ("box", "rounded,filled", 'peripheries=2 fillcolor="#fff4d6"'),
    Shape.ENDED: ("box", "rounded,filled", 'peripheries=2 fillcolor="#fdeaea"'),
    Shape.GROUP: ("box", "", 'color="transparent" fontsize=10 height=0.2 margin=0.04'),
}
"""The form, the style and the other attributes of each kind of node."""
_LINES: Final[Mapping[Line, str]] = {
    Line.HAPPY: "penwidth=2.6 weight=100",
    Line.PLAIN: "penwidth=1",
    Line.LOOP: "penwidth=1.6 arrowtail=odot dir=both",
    Line.ABORTED: "penwidth=1 style=dotted",
    Line.RESUME: "penwidth=1 style=dashed",
}
_NODE_MARKS: Final[Mapping[Mark, str]] = {
    Mark.TAKEN: " penwidth=2.6",
    Mark.UNTAKEN: f' color="{_GREY}" fontcolor="{_GREY}" fillcolor="#ffffff" penwidth=1',
    Mark.ADDED: " penwidth=3",
    Mark.REMOVED: f' fontcolor="{_GREY}" fillcolor="#ffffff" penwidth=1',
    Mark.CHANGED: " penwidth=2",
}
_ARROW_MARKS: Final[Mapping[Mark, str]] = {
    Mark.TAKEN: " penwidth=2.6 style=solid",
    Mark.UNTAKEN: f' penwidth=0.8 style=dashed color="{_GREY}" fontcolor="{_GREY}"',
    Mark.ADDED: " penwidth=2.6 style=solid",
    Mark.REMOVED: f' penwidth=1 style=dashed fontcolor="{_GREY}"',
    Mark.CHANGED: " penwidth=2 style=solid",
}
_DASHED: Final = (Mark.UNTAKEN, Mark.REMOVED)
_LABEL_WIDTH: Final = 26
_TITLE_POINTS: Final = 12
_DETAIL_POINTS: Final = 10
_WIDE: Final = 0.6
_WIDE_BOLD: Final = 0.7
"""The width of a character relative to its height, in Verdana and DejaVu Sans."""
_HEXAGON: Final = 1.4
_POINTS_IN_INCH: Final = 72
_MARGIN: Final = 0.2


def dot_text(picture: Picture) -> str:
    """Return the text of a digraph, with a newline at the end."""
    start = 'tooltip="every run begins here"'
    lines = [
        f"digraph {_quoted(picture.name)} {{",
        f"  graph [{_GRAPH} tooltip={_quoted(picture.title)} label=<{_heading(picture)}>]",
        f'  node [fontname={_FONT} fontsize=12 margin="0.16,0.08" height=0.4]',
        f"  edge [fontname={_FONT} fontsize=10 arrowsize=0.8]",
        f"  Start [{_START} {start}]",
        *(f"  {_node(node)}" for node in picture.nodes),
        f"  Start -> {_quoted(picture.initial)} [weight=100 {start}]",
        *(f"  {_arrow(arrow)}" for arrow in picture.arrows),
        *_ranks(picture),
        "}",
    ]
    return "\n".join(lines) + "\n"


def _heading(picture: Picture) -> str:
    legend = "bold: the way to done; hexagon: gates are judged; box: a stage; double border: an end"
    if any(node.shape is Shape.BESIDE for node in picture.nodes):
        legend += "; box with depth: stages side by side"
    if any(node.mark is not Mark.NONE for node in picture.nodes):
        legend = ""
    small = [line for line in (*picture.captions, legend) if line]
    return _lines([f"<B>{escape(picture.name)}</B>", escape(picture.title)], small)


def _node(node: Node) -> str:
    title = escape(node.title)
    title = f"<I>{title}</I>" if node.shape is Shape.GROUP else f"<B>{title}</B>"
    form, style, others = _SHAPES[node.shape]
    others += f" width={_width(node):.2f}"
    if style and node.mark in _DASHED:
        style += ",dashed"
    mark = _NODE_MARKS.get(node.mark, "")
    if node.shape is Shape.GROUP:
        mark += ' color="transparent"'  # it is not a state, whatever became of its arrows
    tip = _quoted(node.tip)
    label = _lines([title], node.details)
    return (
        f'{_quoted(node.key)} [shape={form} style="{style}" {others}{mark} tooltip={tip}'
        f" label=<{label}>]"
    )


def _width(node: Node) -> float:
    """Return the width of a node's words in inches in a wide font, whatever fonts are installed."""
    points = [
        len(node.title) * _TITLE_POINTS * _WIDE_BOLD,
        *(len(line) * _DETAIL_POINTS * _WIDE for line in node.details),
    ]
    slope = _HEXAGON if node.shape is Shape.GATE else 1
    return max(points) * slope / _POINTS_IN_INCH + _MARGIN


def _arrow(arrow: Arrow) -> str:
    attributes = _LINES[arrow.line] + _ARROW_MARKS.get(arrow.mark, "")
    text = "".join(f"\u00a0{line}\\l" for label in arrow.labels for line in _wrapped(label))
    tip = _quoted(arrow.tip)
    return (
        f"{_quoted(arrow.source)} -> {_quoted(arrow.dest)} [{attributes} tooltip={tip}"
        f' labeltooltip={tip} label="{text}"]'
    )


def _wrapped(label: Label) -> list[str]:
    """Return a label as lines: its condition below its trigger."""
    if not label.condition or len(label.text) <= _LABEL_WIDTH:
        return [label.text]
    return [label.trigger, f"\u00a0\u00a0{label.condition}"]


def _ranks(picture: Picture) -> list[str]:
    """Return the line that puts all ends in one row at the foot of the picture, in node order."""
    ends = [node for node in picture.nodes if node.shape in ENDS]
    names = " ".join(f"{_quoted(node.key)};" for node in ends)
    return [f"  {{ rank=max; {names} }}"] if ends else []


def _lines(titles: Sequence[str], details: Sequence[str]) -> str:
    rows = [*titles, *(f'<FONT POINT-SIZE="10">{escape(line)}</FONT>' for line in details)]
    cells = "".join(f"<TR><TD>{row}</TD></TR>" for row in rows)
    return f'<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="1">{cells}</TABLE>'


def _quoted(text: str) -> str:
    # Graphviz reads entities in tooltips, and takes a backslash as an escape.
    return '"' + text.replace("&", "&amp;").replace("\\", "\\\\").replace('"', '\\"') + '"'
