"""Turns DOT text into SVG and PNG with Graphviz, which comes in the wheels of pygraphviz.

The only user of `pygraphviz`, an optional extra. The same text gives the same bytes with the same
Graphviz and fonts; what another one would draw alike is compared with `drawn`.
"""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from collections.abc import Iterator
from typing import Any, Final
from xml.etree import ElementTree as ET

from fsm_orchestrator.errors import InternalError, UsageError

_PROLOGUE: Final = re.compile(r"\A.*?(?=<svg\b)", re.DOTALL)
_COMMENT: Final = re.compile(r"<!--.*?-->\n?", re.DOTALL)
_SVG: Final = "{http://www.w3.org/2000/svg}"
_TITLE: Final = "{http://www.w3.org/1999/xlink}title"

Drawn = tuple[str, str, str, tuple[str, ...]]
"""What a person sees of a part of an SVG: what it is, whose, its tooltip, its words."""


def svg_text(dot: str) -> str:
    """The picture as SVG, newline at the end: no version, date or path in it.

    Raises:
        UsageError: pygraphviz is not installed.
    """
    svg = _drawn_by_graphviz(dot, "svg").decode()
    return _COMMENT.sub("", _PROLOGUE.sub("", svg)).rstrip("\n") + "\n"


def png_bytes(dot: str) -> bytes:
    """The picture as PNG.

    Raises:
        UsageError: pygraphviz is not installed.
    """
    return _drawn_by_graphviz(dot, "png")


def drawn(svg: str) -> list[Drawn]:
    """What an SVG of ours shows, without where: equal for two versions of Graphviz.

    Raises:
        ValueError: it is not XML.
    """
    try:
        root = ET.fromstring(svg)  # noqa: S314 - a file of the project's own repository
    except ET.ParseError as error:
        raise ValueError(str(error)) from error
    return [_part(group) for group in root.iter(f"{_SVG}g") if group.get("class")]


def _part(group: ET.Element) -> Drawn:
    inside = [one for one in group.iter() if one.tag != f"{_SVG}g"]
    if group.get("class") == "graph":
        inside = [one for child in group if child.tag != f"{_SVG}g" for one in child.iter()]
    title = next((one.text or "" for one in inside if one.tag == f"{_SVG}title"), "")
    tip = next((one.get(_TITLE, "") for one in inside if one.tag == f"{_SVG}a"), "")
    words = tuple((one.text or "").strip() for one in inside if one.tag == f"{_SVG}text")
    return (group.get("class", ""), title, tip, words)


def _drawn_by_graphviz(dot: str, form: str) -> bytes:
    try:
        import pygraphviz  # type: ignore[import-untyped]  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise UsageError(
            f"drawing {form.upper()} needs pygraphviz, which is not installed",
            remedy="pip install 'fsm-orchestrator[diagrams]', or take --format mermaid or dot",
        ) from error
    with _quiet():
        image: Any = pygraphviz.AGraph(string=dot).draw(format=form, prog="dot")
    if not isinstance(image, bytes) or not image:
        raise InternalError(f"Graphviz drew no {form}")
    return image


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep what C libraries say about fonts from the operator's stderr."""
    with tempfile.TemporaryFile() as unheard:
        kept = os.dup(2)
        try:
            os.dup2(unheard.fileno(), 2)
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
