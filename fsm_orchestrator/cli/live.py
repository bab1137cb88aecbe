r"""A run on a terminal, redrawn in place.

Settled lines stay; the lines below them are drawn again and again. The cursor waits in the first
cell of those, a place that the terminal keeps (DECSC): so a resized terminal, whatever it does to
its lines, moves the place with them, and pressed keys move nothing. The cursor is never hidden and
no mode of the terminal is changed: nothing has to be restored, not even after SIGKILL.
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
"""The maximum number of lines that wait for a stalled terminal; the oldest of more are dropped."""
AWAY_SECONDS: Final = 2.0
"""The silence that means that this process was stopped; others may have used the place since."""


class Live:
    """The display. Called by only one thread at a time; writes without waiting."""

    def __init__(self, descriptor: int, view: RunView, *, has_color: bool) -> None:
        self._descriptor = descriptor
        self._view = view
        self._has_color = has_color
        self._stream = LogStream(descriptor, _gap_line)
        self._drawn: list[str] = []
        self._screen = Screen(0, 0)
        self._is_placed = False
        self._settled: list[str] = []
        self._left_out = 0
        self._looked_at = time.monotonic()

    def draw(self) -> None:
        """Show the changes; show nothing while the terminal is stalled."""
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
        """Remove the lines that are not settled, so that others can write there."""
        if self._drawn and self._stream.is_idle:
            self._write([])

    def moved(self) -> None:
        """Draw again from where the cursor is: others have written in the meantime."""
        self._is_placed, self._drawn = False, []

    def finish(self, wait: Callable[[LogStream], None]) -> None:
        """Leave only the settled lines. `wait` gives the terminal time to take the rest."""
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
        """Replace the drawn lines by newly settled ones, with `lines` below them."""
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
        self._stream.write(text if self._has_color else plain(text))

    def _size(self) -> Screen:
        try:
            size = os.get_terminal_size(self._descriptor)
        except OSError:
            return Screen(80, 24)
        return Screen(size.columns or 80, size.lines or 24)


def _gap_line(count: int) -> str:
    lines = "1 line was" if count == 1 else f"{count} lines were"
    return f"{lines} not shown: the terminal stood still\r\n"
