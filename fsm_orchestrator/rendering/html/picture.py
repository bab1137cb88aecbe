"""Cleans Graphviz' drawing of a lifecycle and a run's path for the page.

Shapes, words, colors and tooltips are kept. The style sheet turns the colors into those of the
page, light or dark. No identifier, link or namespace of the drawing is kept.
"""

from __future__ import annotations

import re
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
from fsm_orchestrator.text.hidden import printable

_SVG: Final = "{http://www.w3.org/2000/svg}"
_TIP: Final = "{http://www.w3.org/1999/xlink}title"
_SHAPES: Final = ("path", "polygon", "polyline", "ellipse", "text")
_KEPT: Final = (
    *("points", "d", "cx", "cy", "rx", "ry", "x", "y", "fill", "stroke", "stroke-width"),
    *("stroke-dasharray", "text-anchor", "font-weight", "font-style", "font-size"),
)
_HEADING_DEPTH: Final = 4
_HEADING_SIZE: Final = "12.00"
"""The depth and size of the drawing's heading, left out: the page has it. A warning is smaller."""


def picture_of_run(lifecycle: Lifecycle, report: Report) -> str:
    """Return the picture as an SVG element that has a name.

    Raises:
        UsageError: pygraphviz is not installed.
        InternalError: the drawing cannot be read.
    """
    marks = replace(marks_of_run(lifecycle, report), captions=())  # the page has them around it
    svg = image.svg_text(dot_text(picture_of(lifecycle, marks)))
    try:
        drawn = ET.fromstring(svg)  # noqa: S314 - Graphviz wrote it just now, without a DTD
    except ET.ParseError as error:
        raise InternalError(f"Graphviz did not draw XML: {error}") from error
    box = drawn.get("viewBox", "")
    numbers = re.fullmatch(r"[-\d.]+ [-\d.]+ ([\d.]+) ([\d.]+)", box)
    if numbers is None:
        raise InternalError(f"Graphviz drew in a box without a size: {box}")
    shown = {
        "viewBox": box,
        "class": "drawing",
        "role": "img",
        "aria-label": f"the lifecycle {lifecycle.name} as a graph, with the path of this run in"
        " bold",
        "style": f"max-width:{float(numbers[1]) * 4 / 3:.0f}px",
    }
    root = ET.Element("svg", shown)
    _append_parts(root, drawn, depth=1)
    return ET.tostring(root, encoding="unicode", short_empty_elements=False)


def _append_parts(to: ET.Element, drawn: ET.Element, depth: int) -> None:
    """Append the children of an element of the drawing, without the parts to be hidden."""
    for child in drawn:
        tag = child.tag.removeprefix(_SVG)
        if tag == "g":
            _append_parts(ET.SubElement(to, "g", _kept(child, "transform")), child, depth + 1)
        elif tag == "a":
            group = ET.SubElement(to, "g")
            ET.SubElement(group, "title").text = printable(child.get(_TIP, ""))
            _append_parts(group, child, depth + 1)
        elif tag in _SHAPES and not _is_heading(child, depth):
            ET.SubElement(to, tag, _kept(child, *_KEPT)).text = printable(child.text or "")


def _is_heading(drawn: ET.Element, depth: int) -> bool:
    return depth == _HEADING_DEPTH and drawn.get("font-size") == _HEADING_SIZE


def _kept(drawn: ET.Element, *names: str) -> dict[str, str]:
    return {name: printable(value) for name in names if (value := drawn.get(name)) is not None}
