r"""Terminal output of programs, as lines for another terminal: progress bars, colors, cursors.

A line that a program rewrites (`\r`) has several states; a reader wants the latest. Sequences that
color, erase or move are left out, or only colors are kept; every other character that could drive a
terminal is spelled out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from fsm_orchestrator.text.hidden import printable
from fsm_orchestrator.text.late_pattern import late_pattern

_SEQUENCE: Final = late_pattern(r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[A-GKhlm]")
"""A control sequence that belongs to a line: it colors, erases in the line, moves or hides the
cursor. A sequence that clears a screen or names a window does not: it is shown."""
_COLOR: Final = late_pattern(r"(\x1b\[[0-9;:]*m)")
"""A sequence that changes only how the next characters look (SGR)."""
_COLOR_BEGUN: Final = late_pattern(r"\x1b(?:\[[0-9;:]*)?\Z")
_TO_LINE_START: Final = late_pattern(r"\r|\x1b\[[01]?G")
_ERASED: Final = late_pattern(r"[^\x08]\x08")
_RESET: Final = "\x1b[0m"


def latest_state(line: str) -> str:
    """Return what a line shows last, after all that its program wrote over in it."""
    if _TO_LINE_START.search(line) is None:
        return line
    states = [one for one in _TO_LINE_START.split(line) if _SEQUENCE.sub("", one).strip()]
    return states[-1] if states else ""


def shown_line(line: str) -> str:
    """Return a line that a program printed, as text that is safe for any terminal."""
    return printable(_without_erased(_SEQUENCE.sub("", latest_state(line))))


def colored_line(line: str) -> str:
    """Return the same with its colors, which are reset at its end."""
    pieces = colored_pieces(line)
    has_color = len(pieces) > 1
    pieces[::2] = map(printable, pieces[::2])
    return "".join(pieces) + (_RESET if has_color else "")


def without_colors(text: str) -> tuple[str, str]:
    """Return text without its colors, and the start of a color sequence that is cut off at its end.

    That start belongs before the text that follows. All other characters are unchanged.
    """
    begun = _COLOR_BEGUN.search(text)
    end = len(text) if begun is None else begun.start()
    return _COLOR.sub("", text[:end]), text[end:]


def colored_pieces(line: str) -> list[str]:
    """Return the pieces of a line, text and color in turn, text first; text may hide things."""
    pieces = _COLOR.split(_without_erased(latest_state(line)))
    pieces[::2] = (_SEQUENCE.sub("", piece) for piece in pieces[::2])
    return pieces


def last_lines(text: str, count: int) -> list[str]:
    """Return the last lines of some output that are not blank, each in its latest state.

    Overwritten states are left out, except a longer one just before the latest: its end may still
    have been visible, so it comes first, as its own line.
    """
    lines: list[str] = []
    for line in text.split("\n"):
        lines += _visible_states(line)
    return lines[-count:]


def _visible_states(line: str) -> Iterator[str]:
    states = [one for one in line.split("\r") if one.strip()]
    if len(states) > 1 and len(states[-2]) > len(states[-1]):
        yield states[-2]
    yield from states[-1:]


def _without_erased(text: str) -> str:
    """Apply backspaces, as spinners print them."""
    if "\b" not in text:
        return text
    while (fewer := _ERASED.sub("", text)) != text:
        text = fewer
    return text
