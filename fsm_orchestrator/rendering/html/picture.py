"""The lifecycle with a run's path as a picture: what Graphviz drew, built anew element by element.

Only shapes, words and tooltips are taken over; colours become classes, so that the page can show
them in light and dark. No identifier, link or namespace of the drawing comes along.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final
from xml.etree import ElementTree as ET

from fsm_orchestrator.errors import InternalError
from fsm_orchestrator.lifecycle.model import Lifecycle
from fsm_orchestrator.record.report import Report
from fsm_orchestrator.rendering.diagram import image
from fsm_orchestrator.rendering.diagram.dot import dot_text
from fsm_orchestrator.rendering.diagram.picture import picture_of
from fsm_orchestrator.rendering.diagram.run_marks import marks_of_run
from fsm_orchestrator.rendering.html.elements import Markup, element

_SVG: Final = "{http://www.w3.org/2000/svg}"
_TIP: Final = "{http://www.w3.org/1999/xlink}title"
_SHAPES: Final = ("path", "polygon", "polyline", "ellipse")
_KEPT: Final = (
    *("points", "d", "cx", "cy", "rx", "ry", "x", "y", "transform", "stroke-width"),
    *("stroke-dasharray", "text-anchor", "font-weight", "font-style", "font-size"),
)
_NUMBERS: Final = re.compile(r"(#\d+, #\d+, #\d+)(?:, #\d+){4,}, (#\d+)")
_HEADING_DEPTH: Final = 4
_HEADING_SIZE: Final = "12.00"
"""Where the drawing has its heading, which the page says itself; a warning there is smaller."""
_COLOURS: Final[Mapping[str, str]] = {
    "black": "ink",
    "#000000": "ink",
    "white": "paper",
    "#ffffff": "paper",
    "#555555": "grey",
    "#fff4d6": "gate",
    "#e8f0fe": "stage",
    "#e3f5e5": "done",
    "#fdeaea": "ended",
    "none": "none",
    "transparent": "none",
}


def picture_of_run(lifecycle: Lifecycle, report: Report) -> Markup:
    """The picture as an SVG element that has a name.

    Raises:
        UsageError: what draws it is not installed.
        InternalError: what was drawn cannot be read.
    """
    marks = marks_of_run(lifecycle, report)
    marks = replace(
        marks,
        captions=(),  # the page says it around the picture
        notes={edge: _cut(note) for edge, note in marks.notes.items()},
        lines={name: [_cut(line) for line in lines] for name, lines in marks.lines.items()},
    )
    svg = image.svg_text(dot_text(picture_of(lifecycle, marks)))
    try:
        root = ET.fromstring(svg)  # noqa: S314 - Graphviz wrote it just now, without a DTD
    except ET.ParseError as error:
        raise InternalError(f"Graphviz drew what is no XML: {error}") from error
    box = root.get("viewBox", "")
    numbers = re.fullmatch(r"[-\d.]+ [-\d.]+ ([\d.]+) ([\d.]+)", box)
    if numbers is None:
        raise InternalError(f"Graphviz drew in a box of no size: {box}")
    return element(
        "svg",
        [_part(child, depth=1) for child in root],
        viewBox=box,
        class_="drawing",
        role="img",
        aria_label=f"the lifecycle {lifecycle.name} as a graph, with the path of this run in bold",
        style=f"max-width:{float(numbers[1]) * 4 / 3:.0f}px",
    )


def _cut(text: str) -> str:
    """A note without most of its numbers, where they would make the picture wider than a wall."""
    return _NUMBERS.sub(lambda found: f"{found[1]}, \u2026, {found[2]}", text)


def _part(drawn: ET.Element, depth: int) -> Markup | None:
    """An element of the drawing as one of the page; None for what is not to be seen."""
    tag = drawn.tag.removeprefix(_SVG)
    parts = [_part(child, depth + 1) for child in drawn]
    if tag == "g":
        return element("g", parts, transform=drawn.get("transform"))
    if tag == "a":
        return element("g", element("title", drawn.get(_TIP, "")), parts)
    is_heading = depth == _HEADING_DEPTH and drawn.get("font-size") == _HEADING_SIZE
    if tag not in (*_SHAPES, "text") or is_heading:
        return None
    kept = {name.replace("-", "_"): drawn.get(name) for name in _KEPT}
    return element(tag, drawn.text if tag == "text" else None, class_=_class(drawn, tag), **kept)


def _class(drawn: ET.Element, tag: str) -> str:
    return " ".join(_classes(drawn, tag))


def _classes(drawn: ET.Element, tag: str) -> Iterator[str]:
    fill = drawn.get("fill", "black" if tag == "text" else "none")
    yield f"fill-{_COLOURS.get(fill, 'ink')}"
    if tag != "text":
        yield f"line-{_COLOURS.get(drawn.get('stroke', 'none'), 'ink')}"
