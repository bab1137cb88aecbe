"""The bytes of a TOML file as a table, in bounded time, or the reason why they are none.

It stands before every model, so it loads nothing but the TOML reader, and knows no key.
"""

from __future__ import annotations

import tomllib
from codecs import BOM_UTF8
from typing import Any, Final

NESTED_TOO_DEEPLY: Final = "is nested too deeply"
NUMBER_TOO_LARGE: Final = "holds a number larger than any key takes"

_DOTS_MAX: Final = 1000
"""How many dots a line may have: tomllib's time grows with the square of a key's dotted parts."""


class NotATableError(ValueError):
    """The text is not TOML that can be read; the message completes `FILE: `."""


def table_of(text: bytes) -> dict[str, Any]:
    """The table that the text says.

    Raises:
        NotATableError: it is not TOML in UTF-8, or beyond what a reader should be given.
    """
    decoded = _decoded(text)
    for number, line in enumerate(decoded.split("\n"), start=1):
        if line.count(".") > _DOTS_MAX:
            raise NotATableError(f"line {number} has more than {_DOTS_MAX} dots")
    try:
        return tomllib.loads(decoded)
    except tomllib.TOMLDecodeError as error:
        raise NotATableError(f"is not TOML: {error}") from error
    except RecursionError as error:
        raise NotATableError(NESTED_TOO_DEEPLY) from error
    except ValueError as error:  # the one other error of tomllib: Python's limit on digits
        raise NotATableError(NUMBER_TOO_LARGE) from error


def _decoded(text: bytes) -> str:
    if text.startswith(BOM_UTF8):
        raise NotATableError("begins with a byte order mark; save it without one")
    try:
        return text.decode()
    except UnicodeDecodeError as error:
        raise NotATableError(f"is not UTF-8: byte {error.start + 1} is wrong") from error
