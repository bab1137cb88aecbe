"""Watches how much a stage prints, and since when nothing, by the sizes of its log files.

Reads nothing, so memory is flat whatever a stage prints. Looks at the files when something could be
due, with at least `LOOK_SECONDS_MIN` between two looks.
"""

from __future__ import annotations

import os
import time
from typing import Final

from fsm_orchestrator.clock import wall_seconds
from fsm_orchestrator.disk import files

LOOK_SECONDS_MIN: Final = 0.02
LOOK_SECONDS_MAX: Final = 0.5
WRITE_BYTES_PER_SECOND: Final = 4 * 1024**3
"""The most that a stage is assumed to print, to look in time before a limit is reached."""


class OutputWatch:
    """The two outputs of a running process, from the moment of construction on.

    Attributes:
        written_bytes: how much was printed, as of the last look.
        printed_at: when something was printed last (monotonic clock), as of the last look.
    """

    def __init__(self, stdout: int, stderr: int, limit_bytes: int | None) -> None:
        self._descriptors = tuple({_file(one): one for one in (stdout, stderr)}.values())
        self._starts = self._sizes()
        self._limit_bytes = limit_bytes
        self._looked_at = time.monotonic()
        self.printed_at = self._looked_at
        self.written_bytes = 0

    @property
    def is_over(self) -> bool:
        """True if more than the limit was printed, as of the last look."""
        return self._limit_bytes is not None and self.written_bytes > self._limit_bytes

    @property
    def next_look(self) -> float:
        """The time of the next look that the limit needs, by the monotonic clock."""
        if self._limit_bytes is None:
            return float("inf")
        left = max(0, self._limit_bytes - self.written_bytes)
        wait = min(max(left / WRITE_BYTES_PER_SECOND, LOOK_SECONDS_MIN), LOOK_SECONDS_MAX)
        return self._looked_at + wait

    def look(self) -> None:
        """Look at the sizes now."""
        now = time.monotonic()
        sizes = self._sizes()
        written = sum(sizes) - sum(self._starts)
        if written != self.written_bytes:
            # Not before the last look and not in the future, whatever the wall clock says.
            self.printed_at = max(self._looked_at, min(now, now - self._age_seconds()))
            self.written_bytes = written
        self._looked_at = now

    def _sizes(self) -> tuple[int, ...]:
        return tuple(os.fstat(descriptor).st_size for descriptor in self._descriptors)

    def _age_seconds(self) -> float:
        """Return the time since the files were written; wrong if the clock was set since then."""
        newest = max(os.fstat(descriptor).st_mtime for descriptor in self._descriptors)
        return wall_seconds() - newest


def cut_off(stdout: int, stderr: int, limit_bytes: int) -> None:
    """Cut off what two log files hold beyond the limit, from the longer one first.

    Raises:
        OSError: one of them cannot be cut.
    """
    sizes = {one: os.fstat(one).st_size for one in (stdout, stderr)}
    surplus = sum(sizes.values()) - limit_bytes
    for descriptor in sorted(sizes, key=sizes.__getitem__, reverse=True):
        if surplus > 0:
            cut = min(surplus, sizes[descriptor])
            files.truncate(descriptor, sizes[descriptor] - cut)
            surplus -= cut


def _file(descriptor: int) -> tuple[int, int]:
    found = os.fstat(descriptor)
    return found.st_dev, found.st_ino
