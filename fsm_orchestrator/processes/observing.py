"""The interfaces of those that observe a running process, and the report of its end."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from fsm_orchestrator.model.endings import BudgetEnded, ProcessEnd, TimedOut, WentQuiet
from fsm_orchestrator.model.execution import LeakedProcess, Resources

if TYPE_CHECKING:
    from fsm_orchestrator.processes.cage_order import CageHeld

READ_SECONDS: Final = 0.1
"""The seconds between two reads of the output, if it has a reader."""


class Observer(Protocol):
    """An observer that is called while a process runs."""

    def started(self, pid: int, /) -> None:
        """Note the start. If this raises, the process is ended and the error propagates."""

    def slow(self, elapsed_ms: int) -> None:
        """Note that it has run for another `slow_after_ms`."""

    def suspended(self, paused_ms: int) -> None:
        """Note that everything stood still for `paused_ms`, as SIGTSTP had requested."""

    def ending(
        self, stopped: TimedOut | WentQuiet, processes: tuple[int, ...], silent_seconds: float
    ) -> None:
        """Look at its live processes for the last time, leader first: it is about to be ended."""


class OwnCode:
    """The code of this program, which its processes could change; not protected by this class."""

    def hold(self) -> bool:
        """Hold the code as it is now: the first process is about to be started.

        Return whether it was held before: then processes may have been at work.
        """
        return False

    def confirm(self) -> None:
        """Make sure that the code of a keeper is unchanged since the code was held.

        Raises:
            ImportError: it has changed.
        """


ANOTHERS: Final = OwnCode()
"""The code of a program that uses this one as a library: not held."""


class OutputReader(Protocol):
    """A reader of what a process prints while it runs."""

    def read(self) -> bool:
        """Read the available output; return whether there was more than one read takes."""

    def finish(self) -> None:
        """Read all the rest; called once the process has ended, by the caller of `run`."""


class Metered(Protocol):
    """A meter of what a process spends while it runs."""

    next_at: float

    def look(self) -> BudgetEnded | None:
        """Return why the process has to end, or None while it may continue."""


class Reading:
    """The schedule of reading the output and the meter, by the monotonic clock.

    Attributes:
        next_at: the time of the next reading; never, without a reader and a meter.
    """

    def __init__(self, reader: OutputReader | None, meter: Metered | None = None) -> None:
        self._reader = reader
        self._meter = meter
        self._read_at = math.inf if reader is None else time.monotonic() + READ_SECONDS
        self.next_at = self._read_at if meter is None else min(self._read_at, meter.next_at)

    def read_if_due(self) -> BudgetEnded | None:
        """Read if a reading is due; return why the process has to end, if it has to."""
        now = time.monotonic()
        if now < self.next_at:
            return None
        if self._reader is not None and now >= self._read_at:
            wait_seconds = 0.0 if self._reader.read() else READ_SECONDS
            self._read_at = time.monotonic() + wait_seconds
        self.next_at, ended = self._read_at, None
        if self._meter is not None:
            ended = self._meter.look() if now >= self._meter.next_at else None
            self.next_at = min(self._read_at, self._meter.next_at)
        return ended


class ProcessReport(NamedTuple):
    """The end of a process, what it used, and what it left behind (already ended).

    Attributes:
        leaked: the processes that were alive after it exited on its own, at most 100 of them.
        leaked_count: the number of all such processes.
        survivors: the pids of processes that could not be ended.
        kept_bytes: the bytes of its stdout and stderr that were written into its logs.
        unfinished: the files that processes it left could still write to when they were ended,
            each by device and inode.
        was_unheard: true if its keeper had to end it, because the orchestrator did not.
        cage: the promises that held for it in its cage; None if it was in none.
        is_in_cgroup: true if the kernel counted its memory.
    """

    end: ProcessEnd
    resources: Resources | None = None
    leaked: tuple[LeakedProcess, ...] = ()
    leaked_count: int = 0
    survivors: tuple[int, ...] = ()
    kept_bytes: tuple[int, int] = (0, 0)
    unfinished: frozenset[tuple[int, int]] = frozenset()
    was_unheard: bool = False
    cage: CageHeld | None = None
    is_in_cgroup: bool = False
