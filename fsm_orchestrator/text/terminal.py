r"""What programs print for a terminal, as lines for another: progress bars, colours, cursors.

A line that a program rewrites (`\r`) has states; a reader wants the latest. Sequences that colour,
erase or move are left out, or only colours kept; every other character that could drive a terminal
is spelled out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from fsm_orchestrator.text.hidden import printable
from fsm_orchestrator.text.late_pattern import late_pattern

_SEQUENCE: Final = late_pattern(r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[A-GKhlm]")
"""A control sequence that is part of a line: a colour, erasing in it, moving or hiding the cursor.
What clears a screen or names a window is not: it is shown."""
_COLOUR: Final = late_pattern(r"(\x1b\[[0-9;:]*m)")
"""One that changes only how the next characters look (SGR)."""
_COLOUR_BEGUN: Final = late_pattern(r"\x1b(?:\[[0-9;:]*)?\Z")
_TO_LINE_START: Final = late_pattern(r"\r|\x1b\[[01]?G")
_ERASED: Final = late_pattern(r"[^\x08]\x08")
_RESET: Final = "\x1b[0m"


def latest_state(line: str) -> str:
    """Return what a line shows last, of all that its program wrote over one another in it."""
    if _TO_LINE_START.search(line) is None:
        return line
    states = [one for one in _TO_LINE_START.split(line) if _SEQUENCE.sub("", one).strip()]
    return states[-1] if states else ""


def shown_line(line: str) -> str:
    """Return a line that a program printed as text for any terminal."""
    return printable(_without_erased(_SEQUENCE.sub("", latest_state(line))))


def coloured_line(line: str) -> str:
    """Return the same with its colours, which end with it."""
    pieces = coloured_pieces(line)
    has_colour = len(pieces) > 1
    pieces[::2] = map(printable, pieces[::2])
    return "".join(pieces) + (_RESET if has_colour else "")


def without_colours(text: str) -> tuple[str, str]:
    """Return text without its colours, and of a colour that has only begun at its end the part.

    The part belongs before the text that follows. All other characters stay as they are.
    """
    begun = _COLOUR_BEGUN.search(text)
    end = len(text) if begun is None else begun.start()
    return _COLOUR.sub("", text[:end]), text[end:]


def coloured_pieces(line: str) -> list[str]:
    """Return the pieces of a line, text and colour in turn, text first; it may hide things."""
    pieces = _COLOUR.split(_without_erased(latest_state(line)))
    pieces[::2] = (_SEQUENCE.sub("", piece) for piece in pieces[::2])
    return pieces


def last_lines(text: str, count: int) -> list[str]:
    """Return the last lines of some output that are not blank, each as it was left.

    What was written over is left out; what may still have been seen behind it (the rest of a
    longer state) comes before it as a line of its own.
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
