"""Writing to the operator: nothing that happens to stdout or stderr may change a run.

A closed pipe, a full disk or a reader that does not read loses text, never the run.
"""

from __future__ import annotations

import os
import select
import time
from typing import Final

CHUNK_BYTES: Final = 4096
"""PIPE_BUF on Linux: a pipe that poll calls writable takes this much without blocking."""
RESULT_PATIENCE_SECONDS: Final = 10.0
LOG_PATIENCE_SECONDS: Final = 0.2


class Console:
    """One of the standard streams.

    `patience_seconds` is how long a reader may stand still before the rest is given up; None is for
    ever.
    """

    def __init__(self, descriptor: int, patience_seconds: float | None) -> None:
        self._descriptor = descriptor
        self._patience_seconds = patience_seconds
        self._is_broken = False

    @property
    def is_broken(self) -> bool:
        """Whether the other side has gone, or has stood still for too long."""
        return self._is_broken

    @property
    def is_terminal(self) -> bool:
        """Whether a person looks at it."""
        try:
            return os.isatty(self._descriptor)
        except OSError:
            return False

    @property
    def has_colour(self) -> bool:
        """Whether it may be coloured: a terminal, and nobody asked for none."""
        return (
            self.is_terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        )

    def write(self, text: str) -> None:
        """Write as much of `text` as the other side takes. Never raises for what it does."""
        data = memoryview(text.encode(errors="replace"))
        while data and not self._is_broken:
            try:
                if not self._may_write():
                    self._is_broken = True
                    return
                data = data[os.write(self._descriptor, data[:CHUNK_BYTES]) :]
            except BlockingIOError:
                time.sleep(0.01)
            except OSError:
                self._is_broken = True

    def _may_write(self) -> bool:
        poll = select.poll()
        poll.register(self._descriptor, select.POLLOUT)
        patience = self._patience_seconds
        return bool(poll.poll(None if patience is None else patience * 1000))


def stdout(patience_seconds: float | None = RESULT_PATIENCE_SECONDS) -> Console:
    """Where the result goes; None waits for its reader for ever, where no run has to wait too."""
    return Console(1, patience_seconds)


def stderr() -> Console:
    """Where log and messages go."""
    return Console(2, LOG_PATIENCE_SECONDS)
