"""A JSON document as values, and the value at a pointer. Opens no files."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, Final

ABSENT: Final = object()
"""The value at a pointer that leads nowhere."""
_INDEX: Final = re.compile(r"0|[1-9][0-9]{0,17}")
_ASK_EVERY: Final = 4096


class NoDocumentError(Exception):
    """A document that cannot be read as values; the message says why, without its content."""


def document_of(data: bytes | bytearray, between: Callable[[], object]) -> Any:
    """Return the values of a document that is known to be strict JSON.

    A duplicate name in an object is refused: readers differ about which one counts. `between` is
    called repeatedly; an exception from it ends the reading.

    Raises:
        NoDocumentError: it has such a name or too long a number, or is nested too deeply.
    """
    seen = 0

    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal seen
        seen += 1
        if seen % _ASK_EVERY == 0:
            between()
        found = dict(pairs)
        if len(found) != len(pairs):
            raise NoDocumentError("a name occurs twice in an object")
        return found

    try:
        return json.loads(data, object_pairs_hook=members)
    except RecursionError:
        raise NoDocumentError("nested too deeply") from None
    except ValueError as error:  # a number that is too long for Python
        raise NoDocumentError("a number with too many digits") from error


def at_pointer(document: Any, pointer: str) -> Any:
    """Return the value at a pointer (RFC 6901), or `ABSENT` if it leads nowhere."""
    found = document
    for part in pointer.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(found, dict):
            found = found.get(name, ABSENT)
        elif isinstance(found, list) and _INDEX.fullmatch(name) and int(name) < len(found):
            found = found[int(name)]
        else:
            return ABSENT
    return found


def kind_words(value: Any) -> str:
    """Return a description of a value that does not show it."""
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case str():
            return f"a string of {len(value)} characters"
        case int() | float():
            return "a number"
        case list():
            return f"an array of {len(value)} items"
        case dict():
            return f"an object of {len(value)} members"
        case _:
            return "nothing"
