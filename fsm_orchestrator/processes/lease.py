"""A lease: a kernel timer that its holder renews and that the keepers obey.

Linux only: timerfd_create(2), on the clock that keeps running while the machine sleeps.
"""

from __future__ import annotations

import ctypes
import math
import os
import struct
import sys
import threading
import time
from typing import Final, Self

from fsm_orchestrator.errors import LeaseError
from fsm_orchestrator.processes.polling import readable

SECONDS_MAX: Final = 86_400.0
"""The longest duration of a lease. A worker that is gone is not missed before its lease ends."""
_CLOCK_BOOTTIME: Final = 7  # linux/time.h
_TFD_CLOEXEC, _TFD_NONBLOCK, _TFD_TIMER_ABSTIME = 0o2000000, 0o4000, 1  # sys/timerfd.h
_SPEC: Final = struct.Struct("qqqq")
_STOPPED: Final = (0, 0)
"""The remaining time of a timer that has run out."""
_LONG_AGO: Final = 1e-9
"""A time in the past; 0 would stop the timer."""


class Lease:
    """The right to a run until a certain time, renewed by the code that asks an engine for it.

    When it runs out, the keepers kill what the run has started, even while this process is stopped,
    and start nothing more; the run ends as interrupted (`StopReason.LEASE_LOST`). A lease that is
    over stays over: no renewal revives it. Several threads may use it: one that renews it, and
    those of the runs that have it. As a context manager it is closed at the end of the block.

    Attributes:
        seconds: its duration, from the time of the request that the engine granted.
    """

    def __init__(self, seconds: float) -> None:
        """Begin a lease, as if it had been acknowledged now.

        Raises:
            LeaseError: it cannot last that long, or this system has no such timer.
        """
        if not 0 < seconds <= SECONDS_MAX:
            raise LeaseError(
                f"a lease cannot last {seconds} seconds",
                remedy=f"name more than 0 and at most {SECONDS_MAX:.0f}, and less than the engine"
                " waits for a heartbeat",
            )
        self.seconds = seconds
        self._guard = threading.RLock()
        self._descriptor = _timer()
        self._until = self.now() + seconds
        self._arm(self._until)

    @staticmethod
    def now() -> float:
        """Return the time of its clock, in seconds; read it before asking the engine."""
        return time.clock_gettime(_CLOCK_BOOTTIME)

    def renew(self, asked_at: float) -> bool:
        """Extend it to `seconds` after `asked_at`, the time of the request that the engine granted.

        Answers may come in any order: an earlier one does not shorten it.

        Returns:
            True if it lasts; False if it had run out before, or if the answer took so long that it
            has run out by now. Then it is over permanently.

        Raises:
            LeaseError: that time is still to come, so it was not read from `now`.
        """
        now = self.now()
        if not asked_at <= now:
            raise LeaseError(
                f"the engine cannot have been asked {asked_at - now:.3f} seconds from now",
                remedy="read Lease.now() before you ask the engine, and pass that time",
            )
        with self._guard:
            if self._has_run_out():
                return False
            until = asked_at + self.seconds
            if until <= self._until:
                return True
            if not self._arm(until):  # it ran out between the look and this
                self._arm(_LONG_AGO)
                return False
            self._until = until
            return not self._has_run_out()

    def end(self) -> None:
        """End it at once."""
        with self._guard:
            if self._descriptor >= 0:
                self._arm(_LONG_AGO)

    @property
    def is_over(self) -> bool:
        """True if it has run out or is closed."""
        with self._guard:
            return self._has_run_out()

    def fileno(self) -> int:
        """Return a descriptor that is readable once it has run out, or -1 if it is closed."""
        return self._descriptor

    def lend(self) -> int:
        """Return another descriptor of the same timer, to be closed by the caller.

        Raises:
            LeaseError: it is closed, or no more descriptors are available.
        """
        with self._guard:
            if self._descriptor < 0:
                raise LeaseError("the lease is closed", remedy="make one for each claim of a run")
            try:
                return os.dup(self._descriptor)
            except OSError as error:
                raise _no_timer(error) from error

    def close(self) -> None:
        """End it, and close its timer."""
        with self._guard:
            self.end()
            descriptor, self._descriptor = self._descriptor, -1
            if descriptor >= 0:
                os.close(descriptor)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def _has_run_out(self) -> bool:
        return self._descriptor < 0 or bool(readable([self._descriptor], -math.inf))

    def _arm(self, until: float) -> bool:
        """Set the timer; return whether it was running, as the kernel reports in the same step."""
        after, whole = math.modf(max(until, _LONG_AGO))
        new = _SPEC.pack(0, 0, int(whole), max(1, int(after * 1e9)))
        old = ctypes.create_string_buffer(_SPEC.size)
        if _libc().timerfd_settime(self._descriptor, _TFD_TIMER_ABSTIME, new, old):
            raise _no_timer(OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno())))
        return _SPEC.unpack(old.raw)[2:] != _STOPPED


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _timer() -> int:
    if not sys.platform.startswith("linux"):
        raise LeaseError(
            f"there are no leases on {sys.platform}: nothing there ends a stage in time while its"
            " orchestrator is stopped",
            remedy="use Linux for runs that an engine hands from one machine to another",
        )
    try:
        create = _libc().timerfd_create
    except AttributeError as error:
        raise _no_timer(OSError(0, "this C library has no timerfd_create")) from error
    descriptor = int(create(_CLOCK_BOOTTIME, _TFD_CLOEXEC | _TFD_NONBLOCK))
    if descriptor < 0:
        raise _no_timer(OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno())))
    return descriptor


def _no_timer(error: OSError) -> LeaseError:
    return LeaseError(
        f"no timer is available for a lease: {error.strerror}",
        remedy="allow timerfd_create(2), and raise the limit on open files (ulimit -n)",
    )
