"""The log on stderr: a stalled reader costs lines, never the run, and is informed of the loss.

Lines that cannot be written at once are queued. Lines beyond the queue are lost, and counted; once
the reader has caught up it gets their number, and then the following lines.
"""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from fsm_orchestrator.cli.console import (
    CHUNK_BYTES,
    LOG_PATIENCE_SECONDS,
    READER_GONE,
    inert,
    never_waiting,
)

if TYPE_CHECKING:
    from fsm_orchestrator.processes.interrupts import Interrupts

QUEUE_BYTES_MAX: Final = 64 * 1024
WAITS_SECONDS_MAX: Final = 5.0
"""The total time that a run waits for the readers of its log."""
LAST_PATIENCE_SECONDS: Final = 5.0
"""The time that readers have after the end of the run to take the last lines."""

LOOK_SECONDS: Final = 0.001


class LogStream:
    """The stream of log lines.

    `gap_line` makes the line that says how many others were not shown.
    """

    def __init__(self, descriptor: int, gap_line: Callable[[int], str]) -> None:
        self._descriptor = never_waiting(descriptor)
        self._gap_line = gap_line
        self._queue = bytearray()
        self._lost = 0
        self._waits_left = WAITS_SECONDS_MAX
        self._is_stalled = False
        self._is_gone = False

    def write(self, line: str) -> None:
        """Write a line, or queue it; lose it if the queue is full or lines are lost already."""
        data = inert(line).encode(errors="replace")
        self._send()
        self._say_lost()
        if self._queue and len(self._queue) + len(data) > QUEUE_BYTES_MAX:
            self._wait(len(data))
        if self._lost or (self._queue and len(self._queue) + len(data) > QUEUE_BYTES_MAX):
            self._lost += 1
            return
        self._queue += data
        self._send()

    @property
    def is_idle(self) -> bool:
        """True if everything written has been taken, after an attempt to send the rest."""
        self._send()
        return not self._queue

    def finish(self, interrupts: Interrupts) -> None:
        """Wait for the reader to take the last lines, for a while and unless asked to end."""
        interrupts.drain()
        deadline = time.monotonic() + LAST_PATIENCE_SECONDS
        while not self._is_gone:
            has_failed = not self._send()
            self._say_lost()
            left_seconds = deadline - time.monotonic()
            if not self._queue or has_failed or left_seconds <= 0:
                return
            if not self._is_writable(left_seconds, interrupts):
                return
            time.sleep(LOOK_SECONDS)

    def _say_lost(self) -> None:
        """Report to a reader that has caught up how many lines it was not shown."""
        if self._lost and not self._queue:
            self._queue += self._gap_line(self._lost).encode(errors="replace")
            self._lost = 0

    def _wait(self, data_bytes: int) -> None:
        """Give an active reader a chance to make room; a stalled one has had its chance."""
        began = time.monotonic()
        while (
            not self._is_stalled
            and self._waits_left > 0
            and len(self._queue) + data_bytes > QUEUE_BYTES_MAX
        ):
            patience = min(LOG_PATIENCE_SECONDS, self._waits_left)
            self._is_stalled = not self._is_writable(patience) or not self._send()
            now = time.monotonic()
            self._waits_left -= now - began
            began = now

    def _send(self) -> bool:
        """Write what can be taken without waiting; return False if an error prevented it."""
        while self._queue and not self._is_gone and self._is_writable(0):
            try:
                count = os.write(self._descriptor, self._queue[:CHUNK_BYTES])
            except BlockingIOError:
                break
            except OSError as error:
                # A full disk may get room again, as a stalled reader may resume reading.
                self._is_gone = error.errno in READER_GONE
                return False
            del self._queue[:count]
            self._is_stalled = False
        if self._is_gone:
            self._queue.clear()
        return True

    def _is_writable(self, patience_seconds: float, interrupts: Interrupts | None = None) -> bool:
        poll = select.poll()
        poll.register(self._descriptor, select.POLLOUT)
        if interrupts is not None:
            poll.register(interrupts.fileno(), select.POLLIN)
        ready = dict(poll.poll(patience_seconds * 1000))
        return self._descriptor in ready and len(ready) == 1
