"""Reads a TOML file into a table, or explains why it cannot; finds the lines of its values.

Runs before every model: loads nothing but the TOML reader, and knows no key.
"""

from __future__ import annotations

from codecs import BOM_UTF8
from collections.abc import Sequence
from typing import Any, Final

TOO_DEEP_OR_LARGE: Final = "is nested too deeply, or has a number with too many digits"


class NotATableError(ValueError):
    """A text cannot be read as TOML; the message follows `FILE: `."""


def table_of(text: bytes) -> dict[str, Any]:
    """Return the table that a text contains.

    Raises:
        NotATableError: it is not TOML in UTF-8, or exceeds what Python can read.
    """
    import tomllib  # noqa: PLC0415 - a start with a built-in lifecycle has no TOML to read

    decoded = _decoded(text)
    try:
        return tomllib.loads(decoded)
    except tomllib.TOMLDecodeError as error:
        raise NotATableError(f"is not TOML: {error}") from error
    except (RecursionError, ValueError) as error:
        raise NotATableError(TOO_DEEP_OR_LARGE) from error


def _decoded(text: bytes) -> str:
    if text.startswith(BOM_UTF8):
        raise NotATableError("begins with a byte order mark; save it without one")
    try:
        return text.decode()
    except UnicodeDecodeError as error:
        raise NotATableError(f"is not UTF-8: byte {error.start + 1} is wrong") from error


LINES_MAX: Final = 2000
"""The most lines in which a key is searched for: the search parses every beginning of the text."""


def line_of(text: str, path: Sequence[str | int]) -> int | None:
    """Return the line, from 1, where the value at `path` begins; None if it is not found."""
    import tomllib  # noqa: PLC0415 - as above

    lines = text.splitlines()
    if len(lines) > LINES_MAX:
        return None
    last_without = 0
    for count in range(1, len(lines) + 1):
        try:
            document = tomllib.loads("\n".join(lines[:count]) + "\n")
        except (tomllib.TOMLDecodeError, ValueError, RecursionError):
            continue  # the cut is inside a value that takes several lines
        if value_at(document, path) is not None:
            return _first_filled(lines, last_without)
        last_without = count
    return None


def _first_filled(lines: Sequence[str], start: int) -> int:
    """Return the first line after the first `start` lines that is neither blank nor a comment."""
    for index in range(start, len(lines)):
        stripped = lines[index].strip()
        if stripped and not stripped.startswith("#"):
            return index + 1
    return start + 1


def value_at(document: Any, path: Sequence[str | int]) -> Any:
    """Return the value at `path`; None, which TOML does not have, if there is no value."""
    for part in path:
        try:
            document = document[part]
        except (KeyError, IndexError, TypeError):
            return None
    return document
