"""Turns DOT text into SVG and PNG with Graphviz, which comes in the wheels of pygraphviz.

The only user of `pygraphviz`, an optional extra. The same text gives the same bytes with the same
Graphviz and fonts.
"""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from typing import Any, Final

from fsm_orchestrator.errors import InternalError, UsageError

_PROLOGUE: Final = re.compile(r"\A.*?(?=<svg\b)", re.DOTALL)
_GROUP: Final = re.compile(r'<g id="[^"]*" class="(\w+)"')
_SHAPE: Final = re.compile(r'<(?:polygon|path)\b.* (?:points|d)="([^"]*)"')
_X: Final = re.compile(r"(-?[\d.]+),-?[\d.]+")
_STARTED: Final = re.compile(r'text-anchor="start" x="[^"]*"')
_COMMENT: Final = re.compile(r"<!--.*?-->\n?", re.DOTALL)


def svg_text(dot: str) -> str:
    """Return the picture as SVG, with a newline at the end: no version, date or path in it.

    Raises:
        UsageError: pygraphviz is not installed.
    """
    svg = _COMMENT.sub("", _PROLOGUE.sub("", _drawn_by_graphviz(dot, "svg").decode()))
    return "".join(_centered(svg.rstrip("\n").split("\n")))


def _centered(lines: Iterable[str]) -> Iterator[str]:
    """Yield the lines, with the words of nodes and of the heading centered in their shapes.

    Graphviz starts each text where it is centered in the font that it measured, which a reader may
    not have.
    """
    middle, is_in_arrow = None, False
    for line in lines:
        if (group := _GROUP.match(line)) is not None:
            middle, is_in_arrow = None, group[1] == "edge"
        elif middle is None and (shape := _SHAPE.match(line)) is not None:
            xs = [float(x) for x in _X.findall(shape[1])]
            middle = (min(xs) + max(xs)) / 2
        if middle is None or is_in_arrow:
            yield f"{line}\n"
        else:
            yield _STARTED.sub(f'text-anchor="middle" x="{middle:.2f}"', line, count=1) + "\n"


def png_bytes(dot: str) -> bytes:
    """Return the picture as PNG.

    Raises:
        UsageError: pygraphviz is not installed.
    """
    return _drawn_by_graphviz(dot, "png")


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
    """Keep messages of C libraries about fonts away from the operator's stderr."""
    with tempfile.TemporaryFile() as unheard:
        kept = os.dup(2)
        try:
            os.dup2(unheard.fileno(), 2)
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
