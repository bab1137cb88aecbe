"""The only reader of the wall clock, and the one format in which times are written."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """The source of a run's times."""

    def now(self) -> datetime:
        """Return the time of day in UTC."""

    def elapsed_ms(self, since_seconds: float) -> int:
        """Return the whole milliseconds since a reading of `time.monotonic()`; never negative."""

    @property
    def is_fixed(self) -> bool:
        """True if time stands still, so that no measured time may be reported."""


class SystemClock:
    """The machine's clocks."""

    is_fixed = False

    def now(self) -> datetime:
        """Return the time of day in UTC."""
        return datetime.now(UTC)

    def elapsed_ms(self, since_seconds: float) -> int:
        """Return the whole milliseconds since a reading of `time.monotonic()`; never negative."""
        return max(0, round((time.monotonic() - since_seconds) * 1000))


class FixedClock:
    """A clock that stands still (`--fixed-clock`), for golden files."""

    is_fixed = True

    def __init__(self, at: datetime) -> None:
        self._at = at.astimezone(UTC)

    def now(self) -> datetime:
        """Return the same time at every call."""
        return self._at

    def elapsed_ms(self, since_seconds: float) -> int:  # noqa: ARG002 - the protocol's signature
        """Return 0 at every call."""
        return 0


def timestamp(at: datetime) -> str:
    """Format a time in UTC, ISO 8601 with milliseconds and `Z`: `2026-01-31T09:05:00.250Z`."""
    in_utc = at if at.tzinfo is UTC else at.astimezone(UTC)
    return in_utc.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def wall_seconds() -> float:
    """Return the seconds since 1970, to compare with the times of files."""
    return time.time()
