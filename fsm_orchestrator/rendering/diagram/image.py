"""Turn DOT text into SVG and PNG with Graphviz, which comes in the wheels of pygraphviz.

The only user of `pygraphviz`, an optional extra. The same text gives the same bytes with the same
Graphviz and fonts.
"""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from collections.abc import Iterator
from typing import Any, Final

from fsm_orchestrator.errors import InternalError, UsageError

_PROLOGUE: Final = re.compile(r"\A.*?(?=<svg\b)", re.DOTALL)
_COMMENT: Final = re.compile(r"<!--.*?-->\n?", re.DOTALL)


def svg_text(dot: str) -> str:
    """Return the picture as SVG, newline at the end: no version, date or path in it.

    Raises:
        UsageError: pygraphviz is not installed.
    """
    svg = _drawn_by_graphviz(dot, "svg").decode()
    return _COMMENT.sub("", _PROLOGUE.sub("", svg)).rstrip("\n") + "\n"


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
    """Keep what C libraries say about fonts from the operator's stderr."""
    with tempfile.TemporaryFile() as unheard:
        kept = os.dup(2)
        try:
            os.dup2(unheard.fileno(), 2)
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
