"""Copies a stage's output and watches its limits in a thread, where there is no keeper.

If this process gets SIGKILL, output that is not yet copied is lost, and a stage that prints after
that gets SIGPIPE.
"""

from __future__ import annotations

import contextlib
import os
import select
import threading
import time

from fsm_orchestrator.model.limits import Limits
from fsm_orchestrator.processes.log_copy import LogCopy
from fsm_orchestrator.processes.output_watch import Progress
from fsm_orchestrator.processes.stage_watch import StageWatch


class GroupOutput:
    """The pipes and limits of one stage. `close` it.

    Attributes:
        writers: the writing ends, for the stage's stdout and stderr.
    """

    def __init__(self, logs: tuple[int, int], limits: Limits) -> None:
        """Create pipes into duplicates of the logs' descriptors.

        Raises:
            OSError: that is not possible.
            RuntimeError: no thread can be started.
        """
        with contextlib.ExitStack() as opened:
            self._wake, self._waker = os.pipe()
            opened.callback(os.close, self._wake)
            opened.callback(os.close, self._waker)
            copies = []
            for log in logs:
                copies.append(os.dup(log))
                opened.callback(os.close, copies[-1])
            self._copy = LogCopy(copies, limits.output_limit_bytes)
            opened.pop_all()
        self.writers = tuple(self._copy.writers)
        self._watch = StageWatch(
            self._copy,
            limits.timeout_ms,
            limits.kill_grace_ms,
            limits.idle_timeout_ms,
            limits.output_limit_bytes,
        )
        self._guard = threading.Lock()
        self._thread = threading.Thread(target=self._work, name="copy-logs", daemon=True)
        try:
            self._thread.start()
        except RuntimeError:
            self._copy.close_writers()
            self._copy.close()
            for descriptor in (self._wake, self._waker):
                os.close(descriptor)
            raise

    def started(self) -> None:
        """Leave the writing ends to the stage."""
        self._copy.close_writers()

    def progress(self, *, has_ended: bool) -> Progress:
        """Judge the limits, for the last time if the stage has ended, and return the progress."""
        with self._guard:
            if has_ended:
                self._watch.end()
            self._watch.judge(time.monotonic())
        return Progress(*self._watch.state())

    def pause(self) -> None:
        """Stop the clocks."""
        self._watch.pause()

    def go_on(self) -> None:
        """Resume the clocks."""
        self._watch.go_on()

    def close(self) -> None:
        """Copy what the pipes still hold and close them, even if another process has them open."""
        os.write(self._waker, b"!")  # a forked process may have a copy of this end
        os.close(self._waker)
        self._thread.join()
        self._copy.close_writers()
        self._copy.drain()
        self._watch.has_ended = True
        self._copy.close()
        os.close(self._wake)

    def _work(self) -> None:
        while self._copy.readers:
            watched = select.poll()
            for descriptor in (self._wake, *self._copy.readers):
                watched.register(descriptor, select.POLLIN)
            ready = {descriptor for descriptor, _ in watched.poll()}
            if self._wake in ready:
                return
            with self._guard:
                for reader in ready.intersection(self._copy.readers):
                    self._copy.copy(reader)
