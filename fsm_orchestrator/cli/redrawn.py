"""Lines at the end of a terminal that are drawn again and again in place.

As for a run at work (`cli/live.py`): the cursor waits in the first cell of them, a place that the
terminal keeps; it is never hidden, and no mode of the terminal is changed. So nothing has to be
restored, not even after SIGKILL.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

from fsm_orchestrator.cli.console import Console
from fsm_orchestrator.cli.live import (
    AWAY_SECONDS,
    ERASE_BELOW,
    ERASE_REST,
    KEEP_PLACE,
    TO_PLACE,
)

_LINE_END: Final = f"{ERASE_REST}\r\n".encode()
"""The end of a line, which erases any earlier text after it."""


class Redrawn:
    """Painted lines on a terminal, each of which fits in one of its lines."""

    def __init__(self, out: Console) -> None:
        self._out = out
        self._drawn: tuple[str, ...] = ()
        self._size = (0, 0)
        self._is_placed = False
        self._looked_at = time.monotonic()

    def draw(self, lines: Sequence[str], settled: Sequence[str] = ()) -> None:
        """Replace what is drawn, if it differs; `settled` lines stay above it.

        In the background only those are written: the rest of the screen belongs to the foreground
        process.
        """
        now, size = time.monotonic(), self._out.size
        if size != self._size or now - self._looked_at > AWAY_SECONDS:
            self._is_placed = False  # the terminal has moved the cursor along with its line
        self._size, self._looked_at = size, now
        drawn = tuple(lines) if self._out.is_in_front else ()
        if not drawn and not self._drawn and not settled:
            return
        if self._is_placed and drawn == self._drawn and not settled:
            return
        before = TO_PLACE if self._is_placed else f"\r{ERASE_BELOW if self._drawn else ''}"
        text = "".join(f"{line}\n" for line in (*settled, *drawn))
        up = f"\r\x1b[{len(drawn)}A{KEEP_PLACE}" if drawn else ""
        self._is_placed, self._drawn = bool(drawn), drawn
        self._out.send(
            before.encode()
            + self._out.encoded_show(text).replace(b"\n", _LINE_END)
            + f"{ERASE_BELOW}{up}".encode()
        )

    def clear(self) -> None:
        """Remove the drawn lines."""
        if self._drawn:
            self.draw(())

    def moved(self) -> None:
        """Draw again from where the cursor is: others have written in the meantime."""
        self._is_placed, self._drawn = False, ()
