"""Says whether bytes are exactly one JSON value as RFC 8259 has it, and if not, what is wrong.

msgspec walks the text and builds no values: a large file costs little more memory than its bytes.
It does not check that they are UTF-8, so that is done first. No message repeats any of the
content: files may hold secrets. Opens no files.
"""

from __future__ import annotations

import codecs
import re
from typing import Final

_OTHER_ENCODING: Final = re.compile(rb"\xff\xfe|\xfe\xff|\0{1,3}[^\0]|[^\0]\0")
"""A byte order mark, or the zero bytes that the first character, always ASCII, would have."""
_PLACED: Final = re.compile(r"JSON is malformed: (.+) \(byte (\d+)\)")
"""An error of msgspec that says where."""
_HIGH_SURROGATE: Final = re.compile(rb"\\u[dD][89aAbB]")
_PAIR_BYTES: Final = 12
"""Length of two escapes that together make one character."""


def problem_of(data: bytes | bytearray) -> str | None:
    """Return what keeps `data` from being one JSON value in UTF-8; None if nothing does.

    Duplicate keys and numbers of any size are fine, as in RFC 8259. Escapes of lone surrogates
    are not, and nesting ends where Python's own recursion limit does: at several hundred levels.

    Returns:
        One short line, with line and column in characters from 1 where there is one.
    """
    if not data:
        return "empty file"
    if data.startswith(codecs.BOM_UTF8):
        return "starts with a byte order mark, which JSON may not"
    if _OTHER_ENCODING.match(data):
        return "UTF-16 or UTF-32 by its first bytes, not UTF-8"
    try:
        data.decode()
    except UnicodeDecodeError as error:
        return f"not UTF-8: invalid at byte offset {error.start}"

    import msgspec  # noqa: PLC0415 - loaded by runs that expect JSON only

    try:
        msgspec.json.decode(data, type=msgspec.Raw)
    except RecursionError:
        return "nested too deeply"
    except msgspec.DecodeError as error:
        return _with_place(data, str(error))
    return None


def _with_place(data: bytes | bytearray, error: str) -> str:
    """Return msgspec's reason behind the line and column that it is about."""
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
    # The offset may lie within a character, which then is not counted.
    column = len(data[line_start:offset].decode(errors="ignore")) + 1
    return f"line {line} column {column}: {reason}"
