"""Watches a stage's limits where its output is copied; the time when one was broken counts.

And the lease of its run, if it has one.

The keeper watches even while the orchestrator is stopped: a stage that ended too late never counts
as one that ended in time. The keeper uses this module in an interpreter that cannot import this
package.
"""

from __future__ import annotations

import os
import select
import signal
import struct
import time

TYPE_CHECKING = False  # as in keeper.py
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fsm_orchestrator.processes.log_copy import LogCopy

KEPT, TIMED_OUT, WENT_QUIET, EXCEEDED = range(4)
"""The limit that was broken first, one of these or of tree_usage.py; `KEPT` while none is."""
STATE = struct.Struct("=QQQdBBBiQ?")
"""The fields of `StageWatch.state`, and whether the stage is in a cgroup, as the keeper publishes
them."""
UNHEARD_SECONDS = 1.0
"""The time that an orchestrator has, after a limit is broken, to end the stage more gently."""
GRACE_SPARE_SECONDS = 2.0
"""The time after the grace that an orchestrator has to finish ending a stage."""
KILL_AGAIN_SECONDS = 0.05


class LeaseWatch:
    """The lease that the keeper obeys, by its timer: a lease that has run out stays over.

    Attributes:
        descriptor: readable once it runs out; -1 if there is none to wait for.
        is_outlived: true if something was alive at the last look, although it is over.
    """

    def __init__(self) -> None:
        self.descriptor = -1
        self.is_outlived = False
        self._is_over = False

    def obey(self, descriptors: Sequence[int]) -> None:
        """Obey another lease from now on, by the descriptor of its timer, or none."""
        self._close()
        self._is_over = self.is_outlived = False
        self.descriptor = descriptors[0] if descriptors else -1

    def is_over(self) -> bool:
        """Return whether it has run out."""
        if self.descriptor >= 0 and select.select([self.descriptor], (), (), 0)[0]:
            self._is_over = True
            self._close()
        return self._is_over

    def look(self, kill_alive: Callable[[], bool]) -> None:
        """Kill all that is alive of a stage, once the lease has run out."""
        self.is_outlived = self.is_over() and kill_alive()

    def _close(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)
        self.descriptor = -1


class StageWatch:
    """The limits of a running stage, from construction on; None stands for no limit.

    Attributes:
        copy: the copier of what it prints.
        has_ended: true once its first process has ended; no limit is broken after that.
        broken: the limit that was broken first.
    """

    def __init__(
        self,
        copy: LogCopy,
        timeout_ms: int,
        kill_grace_ms: int,
        idle_timeout_ms: int | None,
        output_limit_bytes: int | None,
    ) -> None:
        self.copy = copy
        self.has_ended = False
        self.broken = KEPT
        self._deadline = time.monotonic() + timeout_ms / 1000
        self._grace_seconds = kill_grace_ms / 1000
        self._idle_seconds = idle_timeout_ms / 1000 if idle_timeout_ms is not None else None
        self._limit_bytes = output_limit_bytes
        self._paused_at: float | None = None
        self._signaled = 0
        self._used = 0
        self._ask_at: float | None = None
        self._kill_at: float | None = None

    def judge(self, now: float) -> None:
        """Check whether a limit is broken by now."""
        if self.has_ended:
            return
        if self.broken == KEPT and self._paused_at is None:
            if now >= self._deadline:
                self.broken = TIMED_OUT
            elif self._idle_seconds is not None and now >= self._quiet_at(self._idle_seconds):
                self.broken = WENT_QUIET
        if self.broken == KEPT and self._limit_bytes is not None:
            self.broken = EXCEEDED if self.copy.printed_bytes > self._limit_bytes else KEPT
        self._await_the_end(now)

    def exceed(self, limit: int, used: int) -> None:
        """Note that one of tree_usage.py's limits was exceeded, and the amount used."""
        if not self.has_ended and self.broken == KEPT:
            self.broken, self._used = limit, used
            self._await_the_end(time.monotonic())

    def _await_the_end(self, now: float) -> None:
        is_unheard = self._ask_at is None and self._kill_at is None
        if self.broken != KEPT and is_unheard:
            self._ask_at = now + UNHEARD_SECONDS

    def end(self) -> None:
        """Judge for the last time, with all output of its first process, which has ended."""
        if not self.has_ended:
            now = time.monotonic()
            self.copy.drain()
            self.judge(now)
            self.has_ended = True

    def next_at(self) -> float | None:
        """Return the next time to judge, or to ask what is `due`; None if there is no such time."""
        if self._paused_at is not None:
            return None
        times = [self._ask_at, self._kill_at]
        if self.broken == KEPT and not self.has_ended:
            times.append(self._deadline)
            if self._idle_seconds is not None:
                times.append(self._quiet_at(self._idle_seconds))
        return min((one for one in times if one is not None), default=None)

    def due(self, now: float) -> int:
        """Return the signal to send to the stage now, because nobody else ends it; 0 for none."""
        if self._paused_at is not None:
            return 0
        if self._kill_at is not None and now >= self._kill_at:
            self._kill_at = now + KILL_AGAIN_SECONDS
            if not self.has_ended:
                self._signaled = signal.SIGKILL
            return signal.SIGKILL
        if self._ask_at is not None and now >= self._ask_at:
            self._ask_at, self._kill_at = None, now + self._grace_seconds
            if not self.has_ended:
                self._signaled = signal.SIGTERM
            return signal.SIGTERM
        return 0

    def hand_over(self) -> None:
        """Leave ending the stage to the orchestrator, for the grace and a little longer."""
        if self._ask_at is not None or self._kill_at is None:
            self._ask_at = None
            self._kill_at = time.monotonic() + self._grace_seconds + GRACE_SPARE_SECONDS

    def nothing_left(self) -> None:
        """Note that nothing is left that could be signaled."""
        self._ask_at = self._kill_at = None

    def pause(self) -> None:
        """Stop the clocks."""
        if self._paused_at is None:
            self._paused_at = time.monotonic()

    def go_on(self) -> None:
        """Resume the clocks."""
        if self._paused_at is not None:
            seconds = time.monotonic() - self._paused_at
            self._paused_at = None
            self._deadline += seconds
            self.copy.printed_at = min(self.copy.printed_at + seconds, time.monotonic())
            self._ask_at = None if self._ask_at is None else self._ask_at + seconds
            self._kill_at = None if self._kill_at is None else self._kill_at + seconds

    def state(self) -> tuple[int, int, int, float, int, int, int, int, int]:
        """Return the fields of output_watch.py's `Progress`."""
        copy = self.copy
        stdout_bytes, stderr_bytes = copy.kept_bytes
        printed = copy.printed_bytes, stdout_bytes, stderr_bytes, copy.printed_at
        return *printed, self.broken, self._signaled, *(copy.failure or (0, 0)), self._used

    def _quiet_at(self, idle_seconds: float) -> float:
        return self.copy.printed_at + idle_seconds
