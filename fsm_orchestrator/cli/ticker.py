"""A thread that takes care of a screen while the run works, and has no part in the run.

All signals are blocked in it: they are for the thread that runs.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading
from collections.abc import Callable

STOP = b"s"
WAKE = b"w"


class Ticker:
    """A thread that calls `tick` repeatedly; `tick` returns the seconds until its next call.

    Attributes:
        failure: the error that it raised; it is not called again after that.
    """

    def __init__(self, tick: Callable[[], float]) -> None:
        self._tick = tick
        self._thread: threading.Thread | None = None
        self.failure: Exception | None = None
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)

    @property
    def is_started(self) -> bool:
        """True while the thread works."""
        return self._thread is not None

    def start(self) -> None:
        """Start the thread. If none can be started, nothing ticks, and the run is unaffected."""
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            thread = threading.Thread(target=self._work, name="screen", daemon=True)
            with contextlib.suppress(RuntimeError):
                thread.start()
                self._thread = thread
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)

    def wake(self) -> None:
        """Have `tick` called now; never waits, so a signal handler may call this."""
        with contextlib.suppress(OSError):
            os.write(self._writer, WAKE)

    def stop(self) -> None:
        """End the thread, once it has finished its current call."""
        thread, self._thread = self._thread, None
        if thread is not None:
            with contextlib.suppress(OSError):
                os.write(self._writer, STOP)
            thread.join()

    def _work(self) -> None:
        poll = select.poll()
        poll.register(self._reader, select.POLLIN)
        wait_seconds = 0.0
        while True:
            said = b""
            if poll.poll(wait_seconds * 1000):
                with contextlib.suppress(BlockingIOError):
                    said = os.read(self._reader, 512)
            if STOP in said:
                return
            try:
                wait_seconds = self._tick()
            except Exception as error:  # noqa: BLE001 - a screen never ends a run, nor hides why
                self.failure = error
                return
