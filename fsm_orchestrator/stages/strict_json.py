"""Checks whether bytes are exactly one JSON value by RFC 8259, and if not, says what is wrong.

msgspec walks the text and builds no values: a large file costs little more memory than its bytes.
It does not check that they are UTF-8, so that is done first, one slice at a time. No message
repeats any of the content: files may hold secrets. Opens no files.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable
from typing import Final

from fsm_orchestrator.text.late_pattern import late_pattern

_OTHER_ENCODING: Final = late_pattern(rb"\xff\xfe|\xfe\xff|\0{1,3}[^\0]|[^\0]\0")
"""A byte order mark, or the zero bytes that the first character, always ASCII, would have."""
_PLACED: Final = late_pattern(r"JSON is malformed: (.+) \(byte (\d+)\)")
"""An error of msgspec that gives a place."""
_HIGH_SURROGATE: Final = late_pattern(rb"\\u[dD][89aAbB]")
_PAIR_BYTES: Final = 12
"""The length of two escapes that together make one character."""
_SLICE_BYTES: Final = 1024**2
"""The bytes that are decoded at once: decoded text may take four times the memory of its bytes."""
_RULES: Final = 1
"""The version of the rules below; a new one whenever some text may get another verdict by them."""


def judge_name() -> str:
    """Return the name of the judge and its rules: the same name gives the same verdict."""
    import msgspec  # noqa: PLC0415 - loaded by runs that expect JSON only

    return f"rfc8259-{_RULES} msgspec-{msgspec.__version__}"


def problem_of(data: bytes | bytearray, between: Callable[[], object] = lambda: None) -> str | None:
    """Return what keeps `data` from being one JSON value in UTF-8, or None if nothing does.

    Duplicate keys and numbers of any size are fine, as in RFC 8259. Escapes of lone surrogates are
    not, and nesting ends at Python's own recursion limit: at several hundred levels. `between` is
    called repeatedly; an exception from it ends the judging. The walk by msgspec is one step of it:
    hundreds of megabytes a second.

    Returns:
        One short line, with line and column in characters from 1 if the problem has a place.
    """
    if not data:
        return "empty file"
    if data.startswith(codecs.BOM_UTF8):
        return "starts with a byte order mark, which JSON may not"
    if _OTHER_ENCODING.match(data):
        return "UTF-16 or UTF-32 by its first bytes, not UTF-8"
    invalid_at = _not_utf_8_at(data, between)
    if invalid_at is not None:
        return f"not UTF-8: invalid at byte offset {invalid_at}"

    import msgspec  # noqa: PLC0415 - loaded by runs that expect JSON only

    try:
        msgspec.json.decode(data, type=msgspec.Raw)
    except RecursionError:
        return "nested too deeply"
    except msgspec.DecodeError as error:
        return _with_place(data, str(error))
    return None


def _not_utf_8_at(data: bytes | bytearray, between: Callable[[], object]) -> int | None:
    """Return the offset of the first byte that is not UTF-8, or None if all are."""
    at = 0
    with memoryview(data) as view:
        while at < len(data):
            between()
            end = at + _SLICE_BYTES
            try:
                _, length = codecs.utf_8_decode(view[at:end], "strict", end >= len(data))
            except UnicodeDecodeError as error:
                return at + error.start
            at += length  # less than the slice if that ends within a character
    return None


def _with_place(data: bytes | bytearray, error: str) -> str:
    """Return msgspec's reason after the line and column that it is about."""
    if placed := _PLACED.fullmatch(error):
        reason, offset = placed[1], int(placed[2])
        if reason == "trailing characters":
            offset -= 1  # it has read the first of them
        elif data.startswith((b"NaN", b"Infinity"), offset):
            reason = "NaN and Infinity are not JSON"
    elif _HIGH_SURROGATE.search(data[-_PAIR_BYTES:]):
        reason, offset = "half a surrogate pair", len(data)
    else:
        reason, offset = "the file ends too early", len(data)
    line = data.count(b"\n", 0, offset) + 1
    line_start = data.rfind(b"\n", 0, offset) + 1
    # The offset may be within a character, which is then not counted.
    column = len(data[line_start:offset].decode(errors="ignore")) + 1
    return f"line {line} column {column}: {reason}"
