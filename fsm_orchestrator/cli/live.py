r"""A run on a terminal, redrawn in place.

What is settled becomes a line that stays; the lines below it are drawn again and again. The cursor
waits in the first cell of those, whose place the terminal keeps (DECSC): so a resized terminal,
whatever it does to its lines, takes the place along, and keys that are pressed move nothing. It is
never hidden and no mode of the terminal is changed: nothing has to be put back, not even after
SIGKILL.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Final

from fsm_orchestrator.cli.console import is_in_front
from fsm_orchestrator.cli.live_lines import Screen, frame, settled_lines
from fsm_orchestrator.cli.log_stream import LogStream
from fsm_orchestrator.cli.run_view import RunView
from fsm_orchestrator.cli.style import plain

KEEP_PLACE: Final = "\x1b7"
TO_PLACE: Final = "\x1b8"
ERASE_BELOW: Final = "\x1b[J"
ERASE_REST: Final = "\x1b[K"
SETTLED_MAX: Final = 1_000
"""How many lines wait for a terminal that stands still; the oldest of more are not shown."""
AWAY_SECONDS: Final = 2.0
"""After a longer silence this process was stopped, and the place may be anybody's by now."""


class Live:
    """The display. Only ever called by one thread at a time; writes without waiting."""

    def __init__(self, descriptor: int, view: RunView, *, has_colour: bool) -> None:
        self._descriptor = descriptor
        self._view = view
        self._has_colour = has_colour
        self._stream = LogStream(descriptor, _gap_line)
        self._drawn: list[str] = []
        self._screen = Screen(0, 0)
        self._is_placed = False
        self._settled: list[str] = []
        self._left_out = 0
        self._looked_at = time.monotonic()

    def draw(self) -> None:
        """Show what has changed; nothing while the terminal stands still."""
        now = time.monotonic()
        screen = self._size()
        if screen != self._screen or now - self._looked_at > AWAY_SECONDS:
            self._is_placed = False
        self._screen, self._looked_at = screen, now
        self._take_settled()
        if not self._stream.is_idle:
            return
        lines = frame(self._view, now, screen) if is_in_front(self._descriptor) else []
        if not self._settled and self._is_placed and lines == self._drawn:
            return
        self._write(lines)

    def clear(self) -> None:
        """Take the lines away that are not settled, for others to write there."""
        if self._drawn and self._stream.is_idle:
            self._write([])

    def moved(self) -> None:
        """Draw anew from where the cursor is: others have written meanwhile."""
        self._is_placed, self._drawn = False, []

    def finish(self, wait: Callable[[LogStream], None]) -> None:
        """Leave only what is settled. `wait` gives the terminal time to take what is left."""
        self._view.finish()
        self._take_settled()
        wait(self._stream)
        if self._stream.is_idle:
            self._write([])
            wait(self._stream)

    def _take_settled(self) -> None:
        taken, self._view.settled[:] = [*self._view.settled], []
        for one in taken:
            self._settled += settled_lines(self._view, one, self._screen.width or 80)
        too_many = max(0, len(self._settled) - SETTLED_MAX)
        self._left_out += too_many
        del self._settled[:too_many]

    def _write(self, lines: list[str]) -> None:
        """Replace what is drawn by settled lines that are new, and `lines` below them."""
        has_new = bool(self._settled or self._left_out)
        text = TO_PLACE if self._is_placed else "\r"
        if has_new or not self._is_placed or not lines:
            text += ERASE_BELOW if self._drawn or not self._is_placed else ""
        if self._left_out:
            text += _gap_line(self._left_out)
        text += "".join(f"{line}{ERASE_REST}\r\n" for line in self._settled)
        if lines:
            text += f"{ERASE_REST}\r\n".join(lines) + ERASE_REST + ERASE_BELOW + "\r"
            text += f"\x1b[{len(lines) - 1}A" if len(lines) > 1 else ""
            text += KEEP_PLACE
        self._settled, self._left_out = [], 0
        self._drawn, self._is_placed = lines, bool(lines)
        self._stream.write(text if self._has_colour else plain(text))

    def _size(self) -> Screen:
        try:
            size = os.get_terminal_size(self._descriptor)
        except OSError:
            return Screen(80, 24)
        return Screen(size.columns or 80, size.lines or 24)


def _gap_line(count: int) -> str:
    lines = "1 line was" if count == 1 else f"{count} lines were"
    return f"{lines} not shown: the terminal stood still\r\n"
