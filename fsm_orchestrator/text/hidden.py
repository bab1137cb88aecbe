r"""Characters that are invisible, or that change how others look: controls, direction, fillers.

The one list of them, and the forms in which they are shown: `\x1b` in text, `$'\x1b'` in a command
to be copied into a shell.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from fsm_orchestrator.text.late_pattern import late_pattern

if TYPE_CHECKING:
    from pathlib import PurePath

HIDDEN: Final = late_pattern(
    "["
    "\x00-\x08\x0b-\x1f\x7f-\x9f"  # controls, except tab and line feed
    "\u00ad\u034f\u061c\u180e\u200b\u200e\u200f\u2028\u2029"  # soft hyphen, marks, separators
    "\u115f\u1160\u17b4\u17b5\u3164\uffa0"  # letters that nothing displays
    "\u202a-\u202e\u2060-\u2064\u2066-\u206f"  # those that turn or isolate the reading direction
    "\ufeff\ufff9-\ufffb\ufffe\uffff"
    "\ud800-\udfff"  # halves of a pair, which UTF-8 cannot hold
    "\U000e0000-\U000e007f\U000e0100-\U000e01ef"  # tags and selectors
    "]"
    # Joiners next to an ASCII character; within a script or a picture they are needed.
    "|(?<![^\x00-\x7f])[\u200c\u200d]|[\u200c\u200d](?![^\x00-\x7f])"
)
"""A character that is hidden, or that hides others."""
_CALLED_PRINTABLE: Final = frozenset(
    {*"\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0", *map(chr, range(0xE0100, 0xE01F0))}
)
"""The hidden characters that Python calls printable."""
QUOTED_CHARACTERS_MAX: Final = 200
_BYTE_ESCAPE: Final = 0xDC00
"""The number that `surrogateescape` adds to a byte that is not UTF-8."""


def spelled(character: str) -> str:
    r"""Spell out a character: `\x1b`, `\u202e`, `\U000e0041`; a byte that is not UTF-8: `\xff`."""
    number = ord(character)
    if 0x80 <= number - _BYTE_ESCAPE <= 0xFF:  # noqa: PLR2004 - the bytes that are not ASCII
        number -= _BYTE_ESCAPE
    code = f"{number:x}"
    if len(code) <= len("ff"):
        return f"\\x{code:0>2}"
    return f"\\u{code:0>4}" if len(code) <= len("ffff") else f"\\U{code:0>8}"


def is_plain(text: str) -> bool:
    """Return whether a text is one line with nothing hidden in it, as nearly every text is."""
    return text.isprintable() and (text.isascii() or _CALLED_PRINTABLE.isdisjoint(text))


def printable(text: str) -> str:
    r"""Return text with every hidden character spelled out; tabs and line feeds are kept."""
    return text if is_plain(text) else HIDDEN.sub(lambda match: spelled(match[0]), text)


def shell_words(words: Iterable[str]) -> list[str]:
    """Return words as a shell reads them; hidden characters in them do no harm."""
    import shlex  # noqa: PLC0415 - `--help` prints no command line

    return [_dollar_quoted(one) if _misleads(one) else shlex.quote(one) for one in words]


def shell_line(words: Iterable[str]) -> str:
    """Return words as one line to copy into a shell."""
    return " ".join(shell_words(words))


def copyable(path: str | PurePath) -> str:
    """Return a path as shown in a line, for a person to copy; every shown path is made here."""
    text = str(path)
    return _dollar_quoted(text) if _misleads(text) else text


def _misleads(word: str) -> bool:
    """Return whether a word cannot be printed in a line unchanged."""
    if is_plain(word):
        return False
    return HIDDEN.search(word) is not None or "\n" in word or "\t" in word


def _dollar_quoted(word: str) -> str:
    """Return `$'...'`, as bash, ksh and zsh read it: each byte that could mislead is a number."""
    data = word.encode(errors="surrogateescape")
    plain = {byte: chr(byte) for byte in range(0x20, 0x7F) if chr(byte) not in "'\\"}
    inside = "".join(plain.get(byte, f"\\x{byte:02x}") for byte in data)
    return f"$'{inside}'"


def quoted(text: str) -> str:
    """Return a text in quotes, or only its length: in a cut text no secret can be masked."""
    if len(text) <= QUOTED_CHARACTERS_MAX:
        return repr(text)
    return f"a text of {len(text)} characters"
