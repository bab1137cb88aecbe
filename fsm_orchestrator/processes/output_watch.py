"""The state of a running stage's output and limits, as the copier of the output knows it.

Looks when something could be due, with `LOOK_SECONDS` between two looks, so that memory and time
stay constant whatever a stage prints.
"""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable
from typing import Final, NamedTuple

from fsm_orchestrator.model.endings import (
    Exited,
    LimitExceeded,
    OutputExceeded,
    Signaled,
    TimedOut,
    WentQuiet,
)
from fsm_orchestrator.model.limits import Limits
from fsm_orchestrator.model.promises import StageLimit
from fsm_orchestrator.processes import stage_watch, tree_usage

LOOK_SECONDS: Final = 0.25
_OF_TREE: Final = {
    tree_usage.MEMORY: StageLimit.MEMORY,
    tree_usage.PROCESSES: StageLimit.PROCESSES,
    tree_usage.PROCESSOR: StageLimit.PROCESSOR,
}

Broken = TimedOut | WentQuiet | OutputExceeded | LimitExceeded
"""The limits that a process can break."""


class Progress(NamedTuple):
    """The fields that `StageWatch.state` returns.

    Attributes:
        printed_bytes: the bytes that came through.
        stdout_bytes: the bytes of those in the first log.
        stderr_bytes: the bytes of those in the second log.
        printed_at: the time of the last output, by the monotonic clock.
        broken: the limit that was broken first, see stage_watch.py.
        signaled: the last signal that the keeper sent, instead of the orchestrator, to end the
            stage; 0 if there was none.
        failed_log: the number of the log that could not be written.
        failure: the errno of that; 0 if everything was written.
        used: the amount used of an exceeded limit on all processes together.
        is_in_cgroup: true if the kernel counts the memory, instead of the keeper.
    """

    printed_bytes: int
    stdout_bytes: int
    stderr_bytes: int
    printed_at: float
    broken: int
    signaled: int
    failed_log: int
    failure: int
    used: int
    is_in_cgroup: bool = False


class LogLostError(Exception):
    """A log could not take what the stage printed: `errno` says why.

    Attributes:
        number: 0 for stdout, 1 for stderr.
    """

    def __init__(self, number: int, errno: int) -> None:
        super().__init__(number, errno)
        self.number = number
        self.errno = errno


class OutputWatch:
    """The output and the limits of a running process, which began at `began` (monotonic clock).

    Attributes:
        progress: the state at the last look.
    """

    def __init__(self, look: Callable[[], Progress], limits: Limits, began: float) -> None:
        self._look = look
        self._limits = limits
        self._deadline = began + limits.timeout_ms / 1000
        self._looked_at = time.monotonic()
        self._was_in_time = False
        self.progress = look()

    @property
    def kept_bytes(self) -> tuple[int, int]:
        """The bytes of what was printed that are in each of the logs, as of the last look."""
        return self.progress.stdout_bytes, self.progress.stderr_bytes

    @property
    def wake_at(self) -> float:
        """The time at which a limit may be broken, by the monotonic clock."""
        return min(self._deadline, self._quiet_at, self._looked_at + LOOK_SECONDS)

    def look(self) -> None:
        """Look now.

        Raises:
            LogLostError: a log could not be written.
        """
        self._looked_at = time.monotonic()
        self.progress = self._look()
        if self.progress.failure:
            raise LogLostError(self.progress.failed_log, self.progress.failure)

    def stood_still(self, seconds: float) -> None:
        """Postpone all limits by `seconds`."""
        self._deadline += seconds
        self.look()

    def broken(self) -> Broken | None:
        """Return the limit that a running process has broken by now, by either clock, or None.

        Raises:
            LogLostError: a log could not be written.
        """
        now = time.monotonic()
        if now >= min(self._quiet_at, self._looked_at + LOOK_SECONDS):
            self.look()
        if self.progress.broken == stage_watch.EXCEEDED:
            return OutputExceeded(self._limits.output_limit_bytes or 0)
        if (exceeded := self._exceeded()) is not None:
            return exceeded
        if now >= self._deadline or self.progress.broken == stage_watch.TIMED_OUT:
            return TimedOut(self._limits.timeout_ms, was_killed=False)
        if now >= self._quiet_at or self.progress.broken == stage_watch.WENT_QUIET:
            return WentQuiet(self._limits.idle_timeout_ms or 0, was_killed=False)
        return None

    def ended(self) -> None:
        """Note that the end of the process has been noticed."""
        self._was_in_time = time.monotonic() < self._deadline
        self.progress = self._look()  # without a keeper it is judged here, for the last time

    def broken_before(self) -> Broken | None:
        """Return the limit that a collected process had broken before it ended, or None.

        Raises:
            LogLostError: a log could not be written.
        """
        self.look()
        if (exceeded := self._exceeded()) is not None:
            return exceeded
        was_late = self.progress.signaled == 0
        match self.progress.broken:
            case stage_watch.EXCEEDED:
                return OutputExceeded(self._limits.output_limit_bytes or 0)
            case stage_watch.TIMED_OUT if not self._was_in_time:
                return TimedOut(self._limits.timeout_ms, was_killed=False, was_late=was_late)
            case stage_watch.WENT_QUIET:
                quiet_ms = self._limits.idle_timeout_ms or 0
                return WentQuiet(quiet_ms, was_killed=False, was_late=was_late)
            case _:
                return None

    def _exceeded(self) -> LimitExceeded | None:
        """Return the exceeded limit on all processes together, or None."""
        which = _OF_TREE.get(self.progress.broken)
        if which is None:
            return None
        return LimitExceeded(which, getattr(self._limits, which.value) or 0, self.progress.used)

    @property
    def _quiet_at(self) -> float:
        idle_ms = self._limits.idle_timeout_ms
        return math.inf if idle_ms is None else self.progress.printed_at + idle_ms / 1000


def beyond_file_limit(end: Exited | Signaled, limits: Limits) -> LimitExceeded | None:
    """Return the limit on files if the kernel ended a process for exceeding it, or None."""
    allowed = limits.file_bytes_max
    if allowed is None or end != Signaled(signal.SIGXFSZ):
        return None
    return LimitExceeded(StageLimit.FILE, allowed, allowed)
