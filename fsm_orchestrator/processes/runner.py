"""Runs one process after another: spawn, wait, terminate, collect.

A process runs below a keeper, so that nothing it starts escapes; if no keeper is available, in its
own session. A descriptor signals its end: nothing is polled. Knows no stages, no machines.
"""

from __future__ import annotations

import math
import signal
import time
from typing import TYPE_CHECKING, Final

from fsm_orchestrator.model.endings import (
    BudgetEnded,
    Exited,
    Interrupted,
    LimitExceeded,
    Lost,
    NotSpawned,
    OutputExceeded,
    ProcessEnd,
    Signaled,
    SpawnFailure,
    TimedOut,
    WentQuiet,
    stop_reason_of,
)
from fsm_orchestrator.model.limits import Limits
from fsm_orchestrator.processes.adoption import end_adopted, is_adopting
from fsm_orchestrator.processes.command import Command
from fsm_orchestrator.processes.contained import Collected, Contained
from fsm_orchestrator.processes.freezing import freeze
from fsm_orchestrator.processes.interrupts import Interrupts
from fsm_orchestrator.processes.keeper_client import LOST, Keeper, KeeperLostError, start_keeper
from fsm_orchestrator.processes.kept import spawn_kept
from fsm_orchestrator.processes.observing import (
    ANOTHERS,
    Metered,
    Observer,
    OutputReader,
    OwnCode,
    ProcessReport,
    Reading,
)
from fsm_orchestrator.processes.output_watch import OutputWatch, beyond_file_limit
from fsm_orchestrator.processes.polling import readable
from fsm_orchestrator.processes.signals import FREEZE_SECONDS_MAX, wait_for_end_of
from fsm_orchestrator.processes.table import ProcessKey, describe
from fsm_orchestrator.processes.termination import terminate
from fsm_orchestrator.vocabulary import Containment

if TYPE_CHECKING:
    from collections.abc import Callable

    from fsm_orchestrator.processes.keeper_pool import KeeperPool

LEAK_SETTLE_SECONDS: Final = 0.1
"""The time that a process has to end after its leader without counting as left behind: the rest of
a pipeline, a `tee` that writes its last lines."""
LEAKED_PROCESSES_MAX: Final = 100

Stopped = TimedOut | WentQuiet | OutputExceeded | LimitExceeded | BudgetEnded | Interrupted
"""The reasons to end a process that did not end on its own."""


class ProcessRunner:
    """A runner: runs one process at a time, with all its descendants, to its end. `close` it."""

    may_adopt = True  # a lost keeper leaves to this process only what ran below that keeper

    def __init__(
        self,
        interrupts: Interrupts,
        *,
        may_keep: bool = True,
        keepers: KeeperPool | None = None,
        code: OwnCode = ANOTHERS,
        lease: int | None = None,
    ) -> None:
        self._interrupts = interrupts
        self._keeper: Keeper | None = None
        self._unable = "" if may_keep else "it was not asked for"
        self._keepers = keepers
        self.code = code
        self.lease = lease
        self._is_idle = True
        self.within: Callable[[Limits], Limits] = lambda limits: limits
        """A function that returns limits with no more time than is left."""

    def warm_up(self) -> None:
        """Start the keeper without waiting: it comes up while other work is done."""
        if self._keeper is None and not self._unable:
            self.code.confirm()
            started = start_keeper() if self._keepers is None else self._keepers.take()
            if isinstance(started, Keeper):
                self._keeper = started
            else:
                self._unable = started

    def keeper(self) -> Keeper | None:
        """Return the keeper, ready for work, or None if none is available, see `unable`."""
        self.warm_up()
        is_new = self._keeper is not None and not self._keeper.is_up
        was_held = is_new and self.code.hold()  # while it comes up
        if self._keeper is not None and (unable := self._keeper.unable()):
            self._keeper.abandon()
            self._keeper, self._unable = None, unable
        if was_held:
            self.code.confirm()  # the code may have changed while the keeper read it
        return self._keeper

    @property
    def unable(self) -> str:
        """The reason for having no keeper; empty while there is one, or none was asked for yet."""
        return self._unable

    @property
    def adopts(self) -> bool:
        """True if this process gets what a killed keeper kept."""
        return is_adopting()

    def reach(self) -> Containment:
        """Return how far the ending of processes reaches here."""
        return Containment.PROCESS_GROUP if self.keeper() is None else Containment.SUBREAPER

    def close(self, *, is_recorded: bool = False) -> None:
        """Release the keeper, to the pool if it is on record that it keeps nothing.

        `is_recorded` says that the end of everything that was run is on record. Until then there
        may be an open attempt that names the keeper, and ends with it.
        """
        keeper, self._keeper = self._keeper, None
        if keeper is None:
            return
        if self._keepers is not None and self._is_idle and is_recorded:
            self._keepers.give_back(keeper)
        else:
            keeper.close()

    def run(
        self,
        command: Command,
        limits: Limits,
        observer: Observer,
        reader: OutputReader | None = None,
        meter: Metered | None = None,
    ) -> ProcessReport:
        """Start `command` and wait for its end; `reader` and `meter` look repeatedly while it runs.

        When this returns or raises, the process and its descendants have been collected, except for
        `ProcessReport.survivors`.
        """
        with self._interrupts.stop_deferred():
            return self._run(command, self.within(limits), observer, Reading(reader, meter))

    def _run(
        self, command: Command, limits: Limits, observer: Observer, reading: Reading
    ) -> ProcessReport:
        self._is_idle = False
        began, grace_ms, interrupts = time.monotonic(), limits.kill_grace_ms, self._interrupts
        try:
            child = self._spawn(command, limits)
        except KeeperLostError:
            self._drop_keeper()
            return ProcessReport(Lost(LOST), survivors=end_adopted() if self.may_adopt else ())
        except BaseException:
            self._dismiss_keeper()  # it ends what it may have started
            raise
        if isinstance(child, NotSpawned):
            self._is_idle = True
            asked = self._asked()
            return ProcessReport(asked if _is_lost(asked) else child)
        try:
            observer.started(child.pid)
            output = OutputWatch(child.progress, limits, began)
            stopped = self._wait(child, limits, began, output, observer, reading)
            ended_itself = bool(readable([child.end_descriptor], 0.0))
            if stopped is not None:
                child.hand_over()
            if isinstance(stopped, TimedOut | WentQuiet):
                _announce_end(child, stopped, observer)
            left = self._left_by(child) if stopped is None else ()
            unfinished = _writable_by(left)
            leaked = tuple(one for one in map(describe, left[:LEAKED_PROCESSES_MAX]) if one)
            is_to_end = stopped is not None or left
            has_ended = not is_to_end or self._end(child, stopped, grace_ms)
            if left and not has_ended:  # it may have opened more files since
                freeze([child.others], time.monotonic() + FREEZE_SECONDS_MAX)
                unfinished |= _writable_by(child.others())
        except BaseException:
            try:
                terminate(child, grace_ms, interrupts, requests_heard=interrupts.count)
            finally:  # even if that raises too: it always has an owner
                self._collect(child)
            raise
        collected = self._collect(child)
        if isinstance(collected.end, Lost):
            return ProcessReport(collected.end, survivors=collected.survivors, cage=child.cage)
        self._is_idle = not collected.survivors
        # Processes that were started too late to be described were killed all the same.
        count = max(len(left), collected.killed) if stopped is None else 0
        if isinstance(stopped, Interrupted):
            stopped = self._asked(collected.end if ended_itself else None)
        stopped = stopped or output.broken_before() or beyond_file_limit(collected.end, limits)
        end = self._end_of(collected.end, stopped)
        output.look()
        if isinstance(end, TimedOut | WentQuiet):
            was_killed = not has_ended or output.progress.signaled == signal.SIGKILL
            end = end._replace(was_killed=was_killed)
        return ProcessReport(
            end,
            collected.resources,
            leaked,
            count,
            collected.survivors,
            output.kept_bytes,
            unfinished,
            was_unheard=output.progress.signaled != 0,
            cage=child.cage,
            is_in_cgroup=output.progress.is_in_cgroup,
        )

    def _end(self, child: Contained, stopped: Stopped | None, grace_ms: int) -> bool:
        """Ask all of a process to end; return whether it did. If the run is lost, ask nothing."""
        heard = 1 if isinstance(stopped, Interrupted) else 0
        is_gentle = not _is_lost(stopped)
        return is_gentle and terminate(child, grace_ms, self._interrupts, requests_heard=heard)

    def _end_of(self, end: Exited | Signaled, stopped: Stopped | None) -> ProcessEnd:
        """Return what a process's own end means."""
        if stopped is None and self._interrupts.first is not None:
            # The sender of the request may have signaled the process too, which ended on that.
            return self._asked(end)
        return end if stopped is None else stopped

    def _asked(self, by_then: Exited | Signaled | None = None) -> Interrupted:
        """Return the end of a process whose run was asked to end; a keeper's kill is not its end.

        The first request may have been overtaken since: by the loss of the run.
        """
        asked = Interrupted(self._interrupts.first or 0, by_then, self._interrupts.sibling)
        is_killed = by_then == Signaled(signal.SIGKILL) and _is_lost(asked)
        return asked._replace(by_then=None) if is_killed else asked

    def _spawn(self, command: Command, limits: Limits) -> Contained | NotSpawned:
        keeper = self.keeper()
        self.code.hold()
        if keeper is not None:
            keeper.lend(self.lease)
            return spawn_kept(command, limits, keeper)
        if self.lease is not None:
            return NotSpawned(SpawnFailure.NOT_LEASED, f"nothing ends it in time: {self._unable}")
        from fsm_orchestrator.processes.grouped import spawn_group  # noqa: PLC0415 - loads subprocess

        return spawn_group(command, limits)

    def _collect(self, child: Contained) -> Collected:
        collected = child.collect()
        if isinstance(collected.end, Lost):
            self._drop_keeper()
            if not collected.survivors and self.may_adopt:
                collected = collected._replace(survivors=end_adopted())
        return collected

    def _dismiss_keeper(self) -> None:
        """Release a keeper that may keep something nobody knows of: it ends that first."""
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.close()

    def _drop_keeper(self) -> None:
        """Abandon the keeper, which is unreliable: the next process gets another."""
        if self._keeper is not None:
            self._keeper.abandon()
            self._keeper = None

    def _wait(
        self,
        child: Contained,
        limits: Limits,
        began: float,
        output: OutputWatch,
        observer: Observer,
        reading: Reading,
    ) -> Stopped | None:
        """Wait for the end, or return a reason to end it; None if the process ended on its own."""
        slow_seconds = math.inf if limits.slow_after_ms is None else limits.slow_after_ms / 1000
        slow_at = began + slow_seconds
        while True:
            if self._interrupts.first is not None:
                return self._asked()
            if self._interrupts.is_stop_due:
                from fsm_orchestrator.processes.suspension import suspend  # noqa: PLC0415 - rare

                away_seconds = suspend(child, self._interrupts)
                began, slow_at = began + away_seconds, slow_at + away_seconds
                output.stood_still(away_seconds)
                observer.suspended(round(away_seconds * 1000))
                continue
            if self._has_ended(child, min(output.wake_at, slow_at, reading.next_at)):
                output.ended()
                return None
            broken = reading.read_if_due() or output.broken()
            if broken is not None:
                return broken
            now = time.monotonic()
            if now >= slow_at:
                slow_at = now + slow_seconds  # one after a standstill, not one for each missed
                observer.slow(round((now - began) * 1000))

    def _has_ended(self, child: Contained, deadline: float) -> bool:
        """Wait for the end (True, also if control is lost), the deadline, or a new request."""
        watched = [child.end_descriptor, self._interrupts.fileno()]
        if child.loss_descriptor is not None:
            watched.append(child.loss_descriptor)
        ready = readable(watched, self._interrupts.until(deadline))
        if self._interrupts.fileno() in ready:
            self._interrupts.drain()
        return child.end_descriptor in ready or child.loss_descriptor in ready

    @staticmethod
    def _left_by(child: Contained) -> tuple[ProcessKey, ...]:
        """Find what a leader that ended on its own left running, after a moment to end as well."""
        settled_at = time.monotonic() + LEAK_SETTLE_SECONDS
        while (others := child.others()) and time.monotonic() < settled_at:
            wait_for_end_of(others, [], settled_at)
        return others


def _is_lost(stopped: Stopped | None) -> bool:
    """Return whether a process is to end because somebody else has the run, or may have it."""
    return isinstance(stopped, Interrupted) and stop_reason_of(stopped.signum).is_lost


def _announce_end(child: Contained, stopped: TimedOut | WentQuiet, observer: Observer) -> None:
    from fsm_orchestrator.processes.announcing import announce_end  # noqa: PLC0415 - rare

    announce_end(child, stopped, observer)


def _writable_by(processes: tuple[ProcessKey, ...]) -> frozenset[tuple[int, int]]:
    if not processes:
        return frozenset()
    from fsm_orchestrator.processes.open_files import writable_files  # noqa: PLC0415 - rare

    return writable_files(key.pid for key in processes)
