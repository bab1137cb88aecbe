"""Notes what is at the paths of expected artifacts, to tell a leftover from a rewrite.

Looks at files only: opens none and writes nothing.
"""

from __future__ import annotations

import errno
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

_STAMPS_SETTLE_NS: Final = 20_000_000
"""Longer than any kernel's tick, by which file systems stamp: 10 ms at the most."""
_FILE_CLOCK: Final = 5 if sys.platform == "linux" else time.CLOCK_REALTIME
"""The clock that files are stamped by. On Linux that is CLOCK_REALTIME_COARSE, up to a tick behind
the usual one; the module `time` has no name for it."""

ABSENT: Final = {
    errno.ENOENT: "does not exist",
    errno.ENOTDIR: "a parent is not a directory",
    errno.ELOOP: "a loop of symbolic links",
    errno.ENAMETOOLONG: "does not exist: the name is too long",
}


class Stamp(NamedTuple):
    """The attributes that change whenever a file is rewritten or replaced."""

    device: int
    inode: int
    size_bytes: int
    mtime_ns: int
    ctime_ns: int


class Snapshot(NamedTuple):
    """The stamps of the expected paths before an attempt.

    Attributes:
        taken_at_ns: by the clock that stamps files, since the epoch: what was changed before the
            snapshot was begun is stamped earlier, what is changed after it is not.
        stamps: by path; None where there was nothing. A path that could not be looked at is left
            out.
    """

    taken_at_ns: int
    stamps: Mapping[str, Stamp | None]


def take_snapshot(paths: Sequence[str]) -> Snapshot:
    """Note what is at `paths` now, to find later what an attempt left as it was.

    File systems stamp by a clock that ticks every few milliseconds. So this waits for the next
    tick, and for up to 20 ms more while a file bears a stamp of just now: a rewrite in place right
    after the return then differs. Returns at once when there are no paths.
    """
    if not paths:
        return Snapshot(taken_at_ns=_file_clock_ns(), stamps={})
    taken_at_ns = _next_tick_ns()
    stamps = _stamps_at(paths)
    youngest_ns = max((max(at.mtime_ns, at.ctime_ns) for at in stamps.values() if at), default=0)
    unsettled_ns = youngest_ns + _STAMPS_SETTLE_NS - _file_clock_ns()
    if unsettled_ns > 0:
        # A stamp from the future never settles: it is worth no longer a wait than any other.
        time.sleep(min(unsettled_ns, _STAMPS_SETTLE_NS) / 1e9)
        stamps = _stamps_at(paths)
    return Snapshot(taken_at_ns=taken_at_ns, stamps=stamps)


def _stamps_at(paths: Sequence[str]) -> dict[str, Stamp | None]:
    """Return the stamps of what can be looked at."""
    stamps: dict[str, Stamp | None] = {}
    for path in paths:
        try:
            stamps[path] = stamp_of(stat_of(path))
        except OSError as error:
            if error.errno in ABSENT:
                stamps[path] = None
    return stamps


def stat_of(path: str) -> os.stat_result:
    """Look at `path`, links followed; a name that no file can have counts as absent."""
    try:
        return Path(path).stat()
    except ValueError as error:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)) from error


def stamp_of(info: os.stat_result) -> Stamp:
    """Return what tells this file from a later one at the same path."""
    return Stamp(info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns)


def _next_tick_ns() -> int:
    """Wait until nothing written from now on is stamped as early as anything until now.

    Returns:
        The earliest stamp that a file written from now on can bear.
    """
    give_up_at_seconds = time.monotonic() + _STAMPS_SETTLE_NS / 1e9
    # Newer kernels give some files a finer stamp: so the coarse clock has to pass the fine one.
    # Nothing read here is reported as a time: it is only compared with what files bear.
    began_ns = time.time_ns()
    while (tick_ns := _file_clock_ns()) <= began_ns and time.monotonic() < give_up_at_seconds:
        time.sleep(0.0005)
    return tick_ns


def _file_clock_ns() -> int:
    """Return the earliest stamp that a file written now can bear."""
    return time.clock_gettime_ns(_FILE_CLOCK)
