"""Turns requests to end the run (SIGINT, SIGTERM, …) into something a poll can wait for.

And Ctrl-Z (SIGTSTP): whoever waits for a stage stops that first.
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
"""What people and service managers send; by any other signal that kills, the run is cut off."""


LOOK_SECONDS: Final = 0.5
"""How often a run looks whether it is asked to end by a file."""


def _nothing() -> None:
    """Do what is done where nobody shows anything."""


class Interrupts:
    """Collects requests to end the run. The first decides the exit code, a second kills at once.

    Only the command installs handlers (`installed`): as a library this touches none, and `deliver`
    may be called from any thread. As a context manager it is closed at the end of the block.
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
        """When it was made, by `running_seconds`: for the command, when that began."""
        self.is_stop_due = False
        """Whether SIGTSTP has come, and who waits for a stage has yet to `stop_here`."""
        self.sibling: str | None = None
        """The stage by whose failure this is to end; None where the run was asked to."""
        self.on_request: Callable[[], None] = _nothing
        """Called at each request, also within a signal handler: it must never wait."""
        self.before_stop: Callable[[], None] = _nothing
        """Called before this process is stopped."""
        self.after_stop: Callable[[], None] = _nothing
        """Called once it has been continued."""

    @property
    def first(self) -> int | None:
        """The signal number of the first request that was not answered; None if there is none.

        That the run is lost comes before all others, and is never answered.
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
        """Count the requests so far as answered: the run has ended by them."""
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
        """Return the monotonic clock, less the time for which SIGTSTP had stopped this process."""
        return time.monotonic() - self._stopped_seconds

    def fileno(self) -> int:
        """Return a descriptor that is readable when a request has come since the last `drain`."""
        return self._reader if self._both is None else self._both.fileno()

    @property
    def is_news(self) -> bool:
        """Whether a request has come since the last `drain`; the descriptor may wake without."""
        return self._is_news

    def drain(self) -> None:
        """Make the descriptor unreadable until the next request."""
        self._is_news = False
        with contextlib.suppress(BlockingIOError):
            while os.read(self._reader, 512):
                pass

    def deliver(self, signum: int, reason: StopReason = StopReason.REQUESTED) -> None:
        """Ask every run that has this to end; the first request decides its exit code.

        Each call counts as one signal does to the command. Once this is closed it does nothing.

        Args:
            signum: the signal that this stands for: the exit code is 128 and its number.
            reason: why, as the record says it. Where somebody else has the run, or may have it
                (`StopReason.LEASE_LOST`, `StopReason.FENCED`), it comes before all other requests:
                the stage is killed at once, and the exit code is 75.
        """
        self.take(object(), AskedFor(signum, reason))

    def signalled(self, signum: int) -> None:
        """Ask the same as `deliver` does, because that signal has come."""
        self.take(object(), signum)

    def take(self, request: object, signum: int) -> None:
        """Record a request, once; also within a signal handler, so without a lock."""
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
        """Yield the requests to end one run: what is delivered here, and what asks for it alone."""
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

    # -- what has to be looked for ----------------------------------------------------------

    def look_for(self, look: Callable[[], Sequence[int]]) -> None:
        """Have `look` called every `LOOK_SECONDS` too; it returns the requests that it has found.

        A number stands for a signal; an `AskedFor` says why as well.
        """
        self._looks, self._look_at = (*self._looks, look), time.monotonic() + LOOK_SECONDS

    def until(self, deadline: float) -> float:
        """Return until when to wait for the descriptor: `deadline`, or the next look before it."""
        return min(deadline, self._look_at)

    def _look_now(self) -> None:
        if not self._guard.acquire(blocking=False):
            return  # another thread does, or the one that a signal handler has interrupted
        try:
            self._look_at = time.monotonic() + LOOK_SECONDS
            asked = [signum for look in self._looks for signum in look()]
        finally:
            self._guard.release()
        for signum in asked:
            self.take(object(), signum if isinstance(signum, AskedFor) else AskedFor(signum))

    # -- a lease ----------------------------------------------------------------------------

    def hold(self, lease: int) -> None:
        """Count it as a request to end when the timer of a lease has run out: the run is lost.

        The timer wakes whoever waits for the descriptor, which is another one from now on.
        """
        self._both = both = select.epoll()
        for descriptor in (self._reader, lease):
            both.register(descriptor, select.EPOLLIN)
        self._lease = lease

    def let_go(self) -> None:
        """Look at the lease no more."""
        both, self._both, self._lease = self._both, None, None
        if both is not None:
            both.close()

    def _look_at_lease(self, lease: int) -> None:
        if readable([lease], -math.inf):
            self._lease = None
            if self._both is not None:
                with contextlib.suppress(OSError):  # another thread has
                    self._both.unregister(lease)
            self.take(self._both, AskedFor(signal.SIGTERM, StopReason.LEASE_LOST))

    def stop_here(self) -> None:
        """Stop this process, as SIGTSTP asked for, until it gets SIGCONT.

        By SIGSTOP: SIGTSTP itself stops nothing where no shell is there to continue it.
        """
        self.is_stop_due = False
        self.before_stop()
        since = time.monotonic()
        os.kill(os.getpid(), signal.SIGSTOP)
        self._stopped_seconds += time.monotonic() - since
        self.after_stop()

    @contextlib.contextmanager
    def stop_deferred(self) -> Iterator[None]:
        """Leave it to the body to look at `is_stop_due`; what it has not seen is done after it."""
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
        """Handle the ending signals, and SIGTSTP, for a while. Main thread only.

        They ask the runs that have this to end, or those that have `to`.

        A signal that the caller ignored (nohup) stays ignored; one that it blocked is let
        through, here and in stages, or nobody could end either. SIGCHLD gets its default
        disposition: if it were ignored, the kernel would discard the stages' exit codes.

        The descriptor wakes whoever waits for it also where the signal came just before the wait,
        or to another thread: Python runs the handler only once the wait is over.
        """

        def on_signal(signum: int, _frame: FrameType | None) -> None:
            (to or self).signalled(signum)

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
