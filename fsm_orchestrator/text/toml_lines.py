"""Where in a TOML text a key stands. The reader of the standard library does not say.

Found with that same reader: the line at which the text read so far first has the key.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from typing import Any, Final

LINES_MAX: Final = 2000
"""Beyond this a key's line is not looked for: the search reads every beginning of the text."""


def line_of(text: str, path: Sequence[str | int]) -> int | None:
    """The line, from 1, where the value at `path` begins; None if it cannot be told."""
    lines = text.splitlines()
    if len(lines) > LINES_MAX:
        return None
    last_without = 0
    for count in range(1, len(lines) + 1):
        try:
            document = tomllib.loads("\n".join(lines[:count]) + "\n")
        except (tomllib.TOMLDecodeError, ValueError, RecursionError):
            continue  # the cut is inside a value of several lines
        if value_at(document, path) is not None:
            return _first_filled(lines, last_without)
        last_without = count
    return None


def _first_filled(lines: Sequence[str], start: int) -> int:
    """The first line after `start` lines that is neither blank nor a comment."""
    for index in range(start, len(lines)):
        stripped = lines[index].strip()
        if stripped and not stripped.startswith("#"):
            return index + 1
    return start + 1


def value_at(document: Any, path: Sequence[str | int]) -> Any:
    """What a document says at `path`; None, which TOML has no word for, where it says nothing."""
    for part in path:
        try:
            document = document[part]
        except (KeyError, IndexError, TypeError):
            return None
    return document
