"""Turns requests to end the run (SIGINT, SIGTERM, …) into something a poll can wait for.

And Ctrl-Z (SIGTSTP): the thread that waits for a stage stops the stage first.
"""

from __future__ import annotations

import contextlib
import math
import os
import select
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import Final, Self

from fsm_orchestrator.model.endings import AskedFor, stop_reason_of
from fsm_orchestrator.processes.polling import readable
from fsm_orchestrator.vocabulary import StopReason

ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
"""The signals that people and service managers send; any other that kills cuts the run off."""


LOOK_SECONDS: Final = 0.5
"""The seconds between two looks for a file that asks a run to end."""


def _nothing() -> None:
    """Do nothing, where nothing is shown."""


class Interrupts:
    """The requests to end the run. The first decides the exit code; a second kills at once.

    Only the command installs handlers (`installed`): in a library this touches none, and any thread
    may call `deliver`. As a context manager it is closed at the end of the block.
    """

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)
        self._received: dict[object, int] = {}
        self._lost: int | None = None
        self._lease: int | None = None
        self._both: select.epoll | None = None
        self._runs: tuple[Interrupts, ...] = ()
        self._guard = threading.Lock()
        self._looks: tuple[Callable[[], Sequence[int]], ...] = ()
        self._look_at = math.inf
        self._answered = 0
        self._is_news = False
        self._defers_stop = False
        self._stopped_seconds = 0.0
        self.began = time.monotonic()
        """The time at which it was made, by `running_seconds`: for the command, its start."""
        self.is_stop_due = False
        """True if SIGTSTP has come and the thread that waits for a stage has yet to `stop_here`."""
        self.sibling: str | None = None
        """The stage whose failure is the reason to end this; None if the run was asked to end."""
        self.on_request: Callable[[], None] = _nothing
        """The function to call at each request, also in a signal handler: it must never wait."""
        self.before_stop: Callable[[], None] = _nothing
        """The function to call before this process is stopped."""
        self.after_stop: Callable[[], None] = _nothing
        """The function to call once it has been continued."""

    @property
    def first(self) -> int | None:
        """The signal number of the first request that was not answered; None if there is none.

        The loss of the run comes before all other requests, and is never answered.
        """
        if self._look_at <= time.monotonic():
            self._look_now()
        if self._lease is not None:
            self._look_at_lease(self._lease)
        if self._lost is not None:
            return self._lost
        if len(self._received) <= self._answered:
            return None
        return list(self._received.values())[self._answered]

    @property
    def ever_first(self) -> int | None:
        """The signal number of the first request, answered or not; None if there was none."""
        return next(iter(list(self._received.values())), None) if self._lost is None else self._lost

    def answer(self) -> None:
        """Count the requests so far as answered: they have ended the run."""
        self._answered = len(self._received)

    @property
    def count(self) -> int:
        """The number of requests so far."""
        if self._look_at <= time.monotonic():
            self._look_now()
        if self._lease is not None:
            self._look_at_lease(self._lease)
        return len(self._received)

    def running_seconds(self) -> float:
        """Return the monotonic clock minus the time for which SIGTSTP had stopped this process."""
        return time.monotonic() - self._stopped_seconds

    def fileno(self) -> int:
        """Return a descriptor that is readable when a request has come since the last `drain`."""
        return self._reader if self._both is None else self._both.fileno()

    @property
    def is_news(self) -> bool:
        """True if a request came since the last `drain`; the descriptor may wake without one."""
        return self._is_news

    def drain(self) -> None:
        """Make the descriptor unreadable until the next request."""
        self._is_news = False
        with contextlib.suppress(BlockingIOError):
            while os.read(self._reader, 512):
                pass

    def deliver(self, signum: int, reason: StopReason = StopReason.REQUESTED) -> None:
        """Ask all runs of this object to end; the first request decides their exit code.

        Each call counts like one signal to the command. Once this is closed it does nothing.

        Args:
            signum: the signal that this stands for: the exit code is 128 plus its number.
            reason: the reason, as the record states it. If somebody else has the run, or may have
                it (`StopReason.LEASE_LOST`, `StopReason.FENCED`), it comes before all other
                requests: the stage is killed at once, and the exit code is 75.
        """
        self.take(object(), AskedFor(signum, reason))

    def signaled(self, signum: int) -> None:
        """Ask the same as `deliver`, because that signal has come."""
        self.take(object(), signum)

    def take(self, request: object, signum: int) -> None:
        """Record a request once; called within signal handlers too, so without a lock."""
        self._received.setdefault(request, signum)
        if self._lost is None and stop_reason_of(signum).is_lost:
            self._lost = signum
        self._is_news = True
        self.wake()
        for run in self._runs:
            run.take(request, signum)
        self.on_request()

    def wake(self) -> None:
        """Make the descriptor readable."""
        if self._writer >= 0:
            with contextlib.suppress(BlockingIOError):
                os.write(self._writer, b"!")

    @contextlib.contextmanager
    def of_one_run(self) -> Iterator[Interrupts]:
        """Yield the requests to end one run: those delivered here, and those for that run alone."""
        with Interrupts() as run:
            with self._guard:
                self._runs = (*self._runs, run)
            try:
                for request, signum in list(self._received.items())[self._answered :]:
                    run.take(request, signum)
                yield run
            finally:
                with self._guard:
                    self._runs = tuple(one for one in self._runs if one is not run)

    # -- requests to look for ---------------------------------------------------------------

    def look_for(self, look: Callable[[], Sequence[int]]) -> None:
        """Call `look` every `LOOK_SECONDS` as well; it returns the requests that it has found.

        A number stands for a signal; an `AskedFor` gives the reason as well.
        """
        self._looks, self._look_at = (*self._looks, look), time.monotonic() + LOOK_SECONDS

    def until(self, deadline: float) -> float:
        """Return the time until which to wait: `deadline`, or the next look if that is earlier."""
        return min(deadline, self._look_at)

    def _look_now(self) -> None:
        if not self._guard.acquire(blocking=False):
            return  # another thread is looking, or the one that a signal handler interrupted
        try:
            self._look_at = time.monotonic() + LOOK_SECONDS
            asked = [signum for look in self._looks for signum in look()]
        finally:
            self._guard.release()
        for signum in asked:
            self.take(object(), signum if isinstance(signum, AskedFor) else AskedFor(signum))

    # -- a lease ----------------------------------------------------------------------------

    def hold(self, lease: int) -> None:
        """Count it as a request to end if the timer of a lease runs out: the run is lost.

        The timer wakes the thread that waits for the descriptor, which is another one from now on.
        """
        self._both = both = select.epoll()
        for descriptor in (self._reader, lease):
            both.register(descriptor, select.EPOLLIN)
        self._lease = lease

    def let_go(self) -> None:
        """Stop looking at the lease."""
        both, self._both, self._lease = self._both, None, None
        if both is not None:
            both.close()

    def _look_at_lease(self, lease: int) -> None:
        if readable([lease], -math.inf):
            self._lease = None
            if self._both is not None:
                with contextlib.suppress(OSError):  # another thread has done it
                    self._both.unregister(lease)
            self.take(self._both, AskedFor(signal.SIGTERM, StopReason.LEASE_LOST))

    def stop_here(self) -> None:
        """Stop this process, as SIGTSTP requested, until it gets SIGCONT.

        Uses SIGSTOP: SIGTSTP itself stops nothing if there is no shell to continue it.
        """
        self.is_stop_due = False
        self.before_stop()
        since = time.monotonic()
        os.kill(os.getpid(), signal.SIGSTOP)
        self._stopped_seconds += time.monotonic() - since
        self.after_stop()

    @contextlib.contextmanager
    def stop_deferred(self) -> Iterator[None]:
        """Leave `is_stop_due` to the body; stop after it if the body has not done so."""
        self._defers_stop = True
        try:
            yield
        finally:
            self._defers_stop = False
            if self.is_stop_due and self.first is None:
                self.stop_here()

    def close(self) -> None:
        """Close the descriptors, once nothing waits for them."""
        self.let_go()
        reader, self._reader = self._reader, -1
        writer, self._writer = self._writer, -1
        for descriptor in (reader, writer):
            if descriptor >= 0:
                os.close(descriptor)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    @contextlib.contextmanager
    def installed(self, to: Interrupts | None = None) -> Iterator[None]:
        """Handle the ending signals and SIGTSTP within the block. Main thread only.

        They ask the runs of this object to end, or those of `to`.

        A signal that the caller ignored (nohup) stays ignored; one that it blocked is let through,
        here and in stages, or nobody could end either. SIGCHLD gets its default disposition: if it
        were ignored, the kernel would discard the stages' exit codes.

        The descriptor wakes the waiting thread even if the signal came just before the wait, or to
        another thread: Python runs the handler only once the wait is over.
        """

        def on_signal(signum: int, _frame: FrameType | None) -> None:
            (to or self).signaled(signum)

        def on_stop(_signum: int, _frame: FrameType | None) -> None:
            self.is_stop_due = True
            if not self._defers_stop:
                self.stop_here()
                if not self._is_news:
                    self.drain()
                return
            self.wake()

        woken_before = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        before = {signum: signal.getsignal(signum) for signum in ENDING_SIGNALS}
        before[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for signum in ENDING_SIGNALS:
            if before[signum] is not signal.SIG_IGN:
                signal.signal(signum, on_signal)
        before[signal.SIGTSTP] = signal.getsignal(signal.SIGTSTP)
        if before[signal.SIGTSTP] is not signal.SIG_IGN:
            signal.signal(signal.SIGTSTP, on_stop)
        blocked = signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING_SIGNALS)
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
            for signum, handler in before.items():
                signal.signal(signum, handler)
            signal.set_wakeup_fd(woken_before)
