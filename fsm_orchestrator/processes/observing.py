"""Those who look on while a process runs: told of what happens, reading what it prints, its end."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from fsm_orchestrator.model.endings import BudgetEnded, ProcessEnd, TimedOut, WentQuiet
from fsm_orchestrator.model.execution import LeakedProcess, Resources

if TYPE_CHECKING:
    from fsm_orchestrator.processes.cage_order import CageHeld

READ_SECONDS: Final = 0.1
"""The interval between two reads of the output, where it has a reader."""


class Observer(Protocol):
    """Called while a process runs."""

    def started(self, pid: int, /) -> None:
        """Note the start. If this raises, the process is ended and the error passes on."""

    def slow(self, elapsed_ms: int) -> None:
        """Note that it has run for another `slow_after_ms`."""

    def suspended(self, paused_ms: int) -> None:
        """Note that all stood still meanwhile, as SIGTSTP had asked for."""

    def ending(
        self, stopped: TimedOut | WentQuiet, processes: tuple[int, ...], silent_seconds: float
    ) -> None:
        """Look at its live processes, leader first, for the last time: it is about to be ended."""


class OwnCode:
    """The code of this program, which those that it starts could write to; not kept from them."""

    def hold(self) -> bool:
        """Keep the code as it is now: the first of them is about to be started.

        Return whether it was kept before: then they may have been at work.
        """
        return False

    def confirm(self) -> None:
        """Make sure that a keeper that is started now is what one was then.

        Raises:
            ImportError: its code has been changed.
        """


ANOTHERS: Final = OwnCode()
"""The code of a program that is another's."""


class OutputReader(Protocol):
    """The reader of what a process prints while it runs."""

    def read(self) -> bool:
        """Read what is there; return whether there was more than is read at once."""

    def finish(self) -> None:
        """Read all the rest; called once the process has ended, by the caller of `run`."""


class Metered(Protocol):
    """The meter of what a process spends while it runs."""

    next_at: float

    def look(self) -> BudgetEnded | None:
        """Return why the process has to end; None while it may go on."""


class Reading:
    """The next time to read the output or the meter, by the monotonic clock; never, without them.

    Attributes:
        next_at: that time.
    """

    def __init__(self, reader: OutputReader | None, meter: Metered | None = None) -> None:
        self._reader = reader
        self._meter = meter
        self._read_at = math.inf if reader is None else time.monotonic() + READ_SECONDS
        self.next_at = self._read_at if meter is None else min(self._read_at, meter.next_at)

    def read_if_due(self) -> BudgetEnded | None:
        """Read, unless the last time was a moment ago; return why the process has to end."""
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
    """The end of a process: how, what it used, what it left behind (already ended).

    Attributes:
        leaked: what was alive when it had exited by itself, at most 100 of them.
        leaked_count: how many those were.
        survivors: pids of processes that could not be ended.
        kept_bytes: how much of what it printed to stdout and stderr was written into its logs.
        unfinished: the files that what it left could still write to when it was ended, each by
            device and inode.
        was_unheard: whether its keeper had to end it, for the orchestrator did nothing about it.
        cage: what held of its cage; None where it was in none.
        is_in_cgroup: whether the kernel counted its memory.
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
