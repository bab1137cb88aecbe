"""A lease that the kernel keeps: a timer that its holder renews and the keepers obey."""

from __future__ import annotations

import ctypes
import os
import select
import struct
import time
from typing import Final, Self

_CLOCK_BOOTTIME: Final = 7  # linux/time.h: goes on while the machine sleeps
_TFD_CLOEXEC, _TFD_NONBLOCK, _TFD_TIMER_ABSTIME = 0o2000000, 0o4000, 1  # sys/timerfd.h


class Lease:
    """The word that a run is ours until a time, renewed by whoever asks an engine for it.

    When it runs out, the keeper kills what the stage started, even while this process is stopped,
    and nothing more is started; the run ends as interrupted. One that has run out stays so.
    Linux only. As a context manager it is closed at the end of the block.

    Attributes:
        seconds: how long it lasts from the moment at which an acknowledged question was asked.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._descriptor = _timer()
        self.renew(self.now())

    @staticmethod
    def now() -> float:
        """Return the clock by which it runs, in seconds; read it before the question is asked."""
        return time.clock_gettime(_CLOCK_BOOTTIME)

    def renew(self, asked_at: float) -> None:
        """Let it last for `seconds` from `asked_at`, when what was answered with yes was asked."""
        until = max(asked_at + self.seconds, 1e-9)
        spec = struct.pack("qqqq", 0, 0, int(until), int(until % 1 * 1e9))
        if _libc().timerfd_settime(self._descriptor, _TFD_TIMER_ABSTIME, spec, None):
            raise OSError(ctypes.get_errno(), "timerfd_settime")

    @property
    def is_over(self) -> bool:
        """Whether it has run out."""
        return bool(select.select([self._descriptor], (), (), 0)[0])

    def fileno(self) -> int:
        """Return a descriptor that is readable once it has run out."""
        return self._descriptor

    def close(self) -> None:
        """Close the timer."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _timer() -> int:
    descriptor = int(_libc().timerfd_create(_CLOCK_BOOTTIME, _TFD_CLOEXEC | _TFD_NONBLOCK))
    if descriptor < 0:
        raise OSError(ctypes.get_errno(), "timerfd_create")
    return descriptor
