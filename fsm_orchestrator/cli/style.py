r"""Marks and colors, the same on every screen. No color carries a meaning alone.

The code that makes a screen paints it; the stream that it is written to decides whether colors are
shown (`Console.show`), and leaves them out of a file.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from fsm_orchestrator.cli.console import COLOR, has_unicode
from fsm_orchestrator.text.cells import cells
from fsm_orchestrator.text.hidden import printable


class Tone(Enum):
    """The ways to paint text: SGR codes that every terminal has, on light and dark."""

    GREEN = "32"
    RED = "31"
    YELLOW = "33"
    CYAN = "36"
    BLUE = "34"
    MAGENTA = "35"
    DIM = "2"
    BOLD = "1"


class Mark(Enum):
    """The subject of a line, at a glance: the symbol, its substitute in ASCII, its tone."""

    GOOD = ("✓", "ok", Tone.GREEN)
    BAD = ("✗", "x", Tone.RED)
    WAITING = ("!", "!", Tone.YELLOW)
    AGAIN = ("↻", "~", Tone.CYAN)
    AHEAD = ("→", ">", Tone.CYAN)
    """Something that is at work, or would be."""
    LEFT_OUT = ("-", "-", Tone.DIM)

    @property
    def tone(self) -> Tone:
        """The color of the marked text."""
        return self.value[2]


_OF_LEVEL: Final = {"warning": Tone.YELLOW, "error": Tone.RED, "critical": Tone.RED}


def paint(text: str, tone: Tone) -> str:
    """Return text in a color; nothing in it can drive a terminal."""
    return f"\x1b[{tone.value}m{printable(text)}\x1b[0m" if text else ""


def toned(text: str, level: str) -> str:
    """Return text in the color of an event's level."""
    tone = _OF_LEVEL.get(level)
    return text if tone is None else paint(text, tone)


def plain(text: str) -> str:
    """Return painted text without its colors."""
    return COLOR.sub("", text) if "\x1b" in text else text


def shown_cells(text: str) -> int:
    """Return how many cells painted text takes."""
    return cells(plain(text))


def symbol(mark: Mark) -> str:
    """Return the painted symbol of a mark."""
    return paint(mark.value[0] if has_unicode() else mark.value[1], mark.tone)


def lead(mark: Mark) -> str:
    """Return the symbol of a mark and the gap after it, so that texts are aligned."""
    return in_lead(symbol(mark))


def in_lead(sign: str) -> str:
    """Return a sign padded to the cells that a mark takes before its text."""
    return sign + " " * (lead_cells() - shown_cells(sign))


def lead_cells() -> int:
    """Return how many cells a mark and the gap after it take."""
    return 2 if has_unicode() else 3


def ellipsis() -> str:
    """Return the sign for text that is left out."""
    return "…" if has_unicode() else "..."
