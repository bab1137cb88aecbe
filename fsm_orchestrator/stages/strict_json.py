"""Says whether bytes are exactly one JSON value as RFC 8259 has it, and if not, what is wrong.

Strings, numbers and small arrays and objects are read by the standard library's scanner; the
brackets of large ones are walked here. The standard decoder as a whole would not do: it builds
all values first (25 times the size of a file of empty lists), its nesting limit depends on the
Python version and on how deep the caller is, and it cannot say where a NaN was. No value is kept,
and no message repeats any of the content: files may hold secrets. Opens no files.
"""

from __future__ import annotations

import codecs
import json
import re
from typing import Final, NoReturn

NESTING_MAX: Final = 1000
"""How many arrays and objects may be open at once, whoever calls."""

_SMALL: Final = 1000
"""Characters that the scanner is given to find an array or object whole in: 500 levels at most."""
_SMALL_WITHIN: Final = 8
"""Levels down to which that is tried: what is large costs a vain attempt each."""

_CLOSERS: Final = {"[": "]", "{": "}"}
_WHITE_SPACE: Final = frozenset(" \t\n\r")
_UTF_32: Final = re.compile(rb"\xff\xfe\0\0|\0\0\xfe\xff|\0\0\0[^\0]|[^\0]\0\0\0")
_UTF_16: Final = re.compile(rb"\xff\xfe|\xfe\xff|\0[^\0]|[^\0]\0")
"""A byte order mark, or the zero bytes that the first character, always ASCII, would have."""

_WELL_MEANT: Final = {
    "'": "single quotes (strings take double quotes)",
    "/": "a comment",
    "#": "a comment",
    "+": "a malformed number",
    "-": "a malformed number",
    ".": "a malformed number",
}
"""What often stands where it must not, by first character."""

_STRING_FAULTS: Final = {
    "Unterminated string starting at": "a string that is never closed",
    "Invalid control character at": "a control character in a string",
}
"""What the standard scanner calls it, and what we do. Anything else is about a backslash."""


class _FaultError(Exception):
    """The text is not JSON: `reason`, found at the character `index`."""

    def __init__(self, index: int, reason: str) -> None:
        super().__init__(reason)
        self.index = index
        self.reason = reason


class _ConstantError(Exception):
    """The scanner met NaN, Infinity or -Infinity."""


def problem_of(data: bytes) -> str | None:
    """What keeps `data` from being one JSON value in UTF-8; None if nothing does.

    Duplicate keys, numbers of any size and lone surrogate escapes are fine, as in RFC 8259.
    More than `NESTING_MAX` levels are not. Time is linear and memory a small multiple of the
    size of `data`.

    Returns:
        One short line, with line and column in characters from 1 where there is one.
    """
    problem = _encoding_problem(data)
    if problem is not None:
        return problem
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        return f"not UTF-8: invalid at byte offset {error.start}"
    try:
        _walk(text)
    except _FaultError as fault:
        line = text.count("\n", 0, fault.index) + 1
        column = fault.index - text.rfind("\n", 0, fault.index)
        return f"line {line} column {column}: {fault.reason}"
    return None


def _encoding_problem(data: bytes) -> str | None:
    """What the first bytes alone tell against `data`."""
    if not data:
        return "empty file"
    if data.startswith(codecs.BOM_UTF8):
        return "starts with a byte order mark, which JSON may not"
    if _UTF_32.match(data):
        return "UTF-32 by its first bytes, not UTF-8"
    if _UTF_16.match(data):
        return "UTF-16 by its first bytes, not UTF-8"
    return None


def _walk(text: str) -> None:
    """Read one value, white space around it, and the end."""
    closers: list[str] = []
    index = _skip(text, 0)
    while True:
        # A value is due at `index`, inside of all that `closers` are to close.
        opened = text[index : index + 1]
        if opened not in _CLOSERS:
            index = _after_scalar(text, index)
        elif (small := _after_small(text, index, len(closers))) is not None:
            index = small
        else:
            index = _enter(text, index, closers)
            if not text.startswith(closers[-1], index):
                index = _after_name(text, index) if opened == "{" else index
                continue
        index = _next_value(text, index, closers)
        if not closers:
            break
    index = _skip(text, index)
    if index != len(text):
        raise _fault_at(text, index, "the end of the file")


def _enter(text: str, index: int, closers: list[str]) -> int:
    """From an opening bracket to what is first in it: a value, a name or the closing bracket."""
    if len(closers) == NESTING_MAX:
        raise _FaultError(index, f"nested more than {NESTING_MAX} levels deep")
    closers.append(_CLOSERS[text[index]])
    return _skip(text, index + 1)


def _next_value(text: str, index: int, closers: list[str]) -> int:
    """From behind a value to where the next is due, taking off `closers` what ends between."""
    while closers:
        closer = closers[-1]
        character = text[index : index + 1]
        if character == closer:
            closers.pop()
            index += 1
        elif character == ",":
            index = _skip(text, index + 1)
            return _after_name(text, index) if closer == "}" else index
        elif character in _WHITE_SPACE:
            index = _skip(text, index)
        else:
            raise _fault_at(text, index, f"',' or '{closer}'")
    return index


def _after_name(text: str, index: int) -> int:
    """From where a member's name is due to where its value is."""
    if not text.startswith('"', index):
        raise _fault_at(text, index, "a name in double quotes")
    index = _skip(text, _after_scalar(text, index))
    if not text.startswith(":", index):
        raise _fault_at(text, index, "':'")
    return _skip(text, index + 1)


def _skip(text: str, index: int) -> int:
    """The index of the first character from `index` on that is not white space."""
    if text[index : index + 1] not in _WHITE_SPACE:
        return index  # the usual case, without the cost of a match
    match = _WHITE_SPACE_RUN.match(text, index)
    return index if match is None else match.end()


def _after_small(text: str, index: int, level: int) -> int | None:
    """The index behind the array or object at `index` if it is sound and small, else None."""
    if level >= _SMALL_WITHIN:
        return None
    try:
        return index + _SCANNER.raw_decode(text[index : index + _SMALL])[1]
    except (json.JSONDecodeError, _ConstantError, RecursionError):
        return None


def _after_scalar(text: str, index: int) -> int:
    """The index behind the string, number or literal that is due at `index`."""
    try:
        return _SCANNER.raw_decode(text, index)[1]
    except _ConstantError:
        raise _FaultError(index, "NaN and Infinity are not JSON") from None
    except json.JSONDecodeError as error:
        if not text.startswith('"', index):
            raise _fault_at(text, index, "a value") from None
        reason = _STRING_FAULTS.get(error.msg, "an invalid escape in a string")
        raise _FaultError(error.pos, reason) from None


def _fault_at(text: str, index: int, due: str) -> _FaultError:
    """What to call that which stands at `index`, where `due` is due."""
    character = text[index : index + 1]
    if not character:
        return _FaultError(index, f"the file ends where {due} is due")
    comma = text.rfind(",", 0, index)
    if character in "]}" and comma >= 0 and _skip(text, comma + 1) == index:
        return _FaultError(comma, "trailing comma")
    if _NUMBER_GOES_ON.match(text, index):
        return _FaultError(index, "a malformed number")
    return _FaultError(index, _WELL_MEANT.get(character, f"{due} is due here"))


def _refuse_constant(_name: str) -> NoReturn:
    raise _ConstantError


_WHITE_SPACE_RUN: Final = re.compile(r"[ \t\n\r]*")
_NUMBER_GOES_ON: Final = re.compile(r"(?<=[0-9])[0-9A-Za-z_.+-]")
# `bool` makes one of two lasting objects of any digits: `int` refuses more than 4300 of them,
# and what a number is worth is not asked here.
_SCANNER: Final = json.JSONDecoder(
    parse_int=bool, parse_float=bool, parse_constant=_refuse_constant
)
