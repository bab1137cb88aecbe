"""Text measured as a terminal displays it: wide characters take two cells, combining ones none."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

_EMOJI_SELECTOR: Final = "\ufe0f"
_JOINERS: Final = frozenset("\u200c\u200d\ufe0e")
_NARROW: Final = frozenset("✓✗↻→…·│⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏")
"""The characters that this program draws with: no character table is loaded for them alone."""
_NO_CELL: Final = frozenset({"Mn", "Me", "Cf"})


def cells(text: str) -> int:
    """Return the number of cells that a text takes in a line. It has no control characters."""
    if text.isascii() or all(one in _NARROW or one.isascii() for one in text):
        return len(text)
    return sum(width for _, width in _measured(text))


def cut(text: str, width: int, ellipsis: str) -> str:
    """Return text that takes at most `width` cells; an omitted end is marked."""
    if cells(text) <= width:
        return text
    return _head(text, max(0, width - cells(ellipsis))) + ellipsis[: max(0, width)]


def cut_in_middle(text: str, width: int, ellipsis: str) -> str:
    """Return the same with the middle omitted: both ends of a path distinguish it from others."""
    if cells(text) <= width:
        return text
    room = max(0, width - cells(ellipsis))
    head = _head(text, room // 3)
    tail, left = "", room - cells(head)
    for character, taken in reversed(list(_measured(text))):
        left -= taken
        if left < 0:
            break
        tail = character + tail
    return head + ellipsis[: max(0, width)] + tail


def padded(text: str, width: int) -> str:
    """Return text followed by enough spaces to fill `width` cells."""
    return text + " " * max(0, width - cells(text))


def wrapped(text: str, width: int, *, indent: str = "", hanging: str = "") -> list[str]:
    """Return text in lines of `width` cells; a longer word is kept whole, so that it can be copied.

    The first line begins with `indent`, those after it with `hanging`.
    """
    lines: list[str] = []
    line, is_empty = indent, True
    for word in text.split():
        if not is_empty and cells(line) + 1 + cells(word) > width:
            lines.append(line)
            line, is_empty = hanging, True
        line += word if is_empty else f" {word}"
        is_empty = False
    return lines if is_empty and lines else [*lines, line]


def _head(text: str, width: int) -> str:
    head = ""
    for character, taken in _measured(text):
        width -= taken
        if width < 0:
            break
        head += character
    return head


def _measured(text: str) -> Iterator[tuple[str, int]]:
    """Yield each character with what follows it in the same cells, and how many cells those are."""
    import unicodedata  # noqa: PLC0415 - most text is ASCII

    whole, width = "", 0
    for character in text:
        if whole and character == _EMOJI_SELECTOR:
            whole, width = whole + character, 2
        elif whole and (character in _JOINERS or unicodedata.category(character) in _NO_CELL):
            whole += character
        else:
            if whole:
                yield whole, width
            is_wide = unicodedata.east_asian_width(character) in {"W", "F"}
            whole, width = character, 2 if is_wide else 1
    if whole:
        yield whole, width
