"""Notes the files at the paths of expected artifacts, to distinguish a leftover from a rewrite.

Only looks at files: opens none and writes nothing. A path counts as written if it has another file,
another size or modification time, or if the kernel reported a write. A change of permissions, owner
or links, which only moves the change time, does not count.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from fsm_orchestrator.stages.write_watch import WriteWatch

_STAMPS_SETTLE_NS: Final = 20_000_000
"""A time longer than any kernel's tick, by which file systems stamp: that is at most 10 ms."""
_COARSE_STAMPS_SETTLE_NS: Final = 2_000_000_000
"""The same where stamps are whole seconds, or every other second as in FAT."""
_SECOND_NS: Final = 1_000_000_000
_FILE_CLOCK: Final = 5 if sys.platform == "linux" else time.CLOCK_REALTIME
"""The clock that stamps files. On Linux that is CLOCK_REALTIME_COARSE, up to a tick behind the
usual one; the module `time` has no name for it."""

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

    def is_same_file(self, other: Stamp) -> bool:
        """Return whether both are of one file, whatever was done to it."""
        return (self.device, self.inode) == (other.device, other.inode)

    def is_unwritten(self, other: Stamp) -> bool:
        """Return whether both are of one file not written to in between, as far as they show."""
        written = self.size_bytes, self.mtime_ns
        return self.is_same_file(other) and written == (other.size_bytes, other.mtime_ns)


class Snapshot(NamedTuple):
    """The stamps of the expected paths before an attempt.

    Attributes:
        taken_at_ns: nanoseconds since the epoch by the clock that stamps files: a change before the
            snapshot was begun is stamped earlier, a change after it is not.
        stamps: by path; None if nothing was there. A path that could not be looked at is left out.
        watch: reports writes to the files that were there.
    """

    taken_at_ns: int
    stamps: Mapping[str, Stamp | None]
    watch: WriteWatch


def take_snapshot(paths: Sequence[str]) -> Snapshot:
    """Note the files at `paths` now, to find out later which of them an attempt left unchanged.

    File systems stamp by a clock that ticks every few milliseconds, so this waits for the next
    tick, and for up to 20 ms more while a file has a stamp of just now: a rewrite in place right
    after the return then shows. If stamps are coarse and writes cannot be watched, that is up to 2
    s. Return at once if there are no paths.
    """
    if not paths:
        return Snapshot(taken_at_ns=file_clock_ns(), stamps={}, watch=WriteWatch(()))
    taken_at_ns = next_tick_ns()
    stamps = _stamps_at(paths)
    watch = WriteWatch(path for path, at in stamps.items() if at and _is_regular(path))
    unsettled_ns = max(
        (_unsettled_ns(at, is_watched=path in watch.paths) for path, at in stamps.items() if at),
        default=0,
    )
    if unsettled_ns > 0:
        time.sleep(unsettled_ns / 1e9)
    watch.forget()
    # Anything written since then belongs to the state before the attempt.
    stamps = _stamps_at(paths) if unsettled_ns > 0 or watch.paths else stamps
    return Snapshot(taken_at_ns=taken_at_ns, stamps=stamps, watch=watch)


def _unsettled_ns(at: Stamp, *, is_watched: bool) -> int:
    """Return the nanoseconds to wait until a write would change a file's stamp.

    A stamp from the future never settles: it gets no longer a wait than any other.
    """
    youngest_ns = max(at.mtime_ns, at.ctime_ns)
    is_coarse = at.mtime_ns % _SECOND_NS == at.ctime_ns % _SECOND_NS == 0
    settle_ns = _COARSE_STAMPS_SETTLE_NS if is_coarse and not is_watched else _STAMPS_SETTLE_NS
    return min(youngest_ns + settle_ns - file_clock_ns(), settle_ns)


def _is_regular(path: str) -> bool:
    with contextlib.suppress(OSError):
        return stat.S_ISREG(stat_of(path).st_mode)
    return False


def _stamps_at(paths: Sequence[str]) -> dict[str, Stamp | None]:
    """Return the stamps of the paths that can be looked at."""
    stamps: dict[str, Stamp | None] = {}
    for path in paths:
        try:
            stamps[path] = stamp_of(stat_of(path))
        except OSError as error:
            if error.errno in ABSENT:
                stamps[path] = None
    return stamps


def stat_of(path: str) -> os.stat_result:
    """Return the status of `path`, following links; a name that no file can have is absent."""
    try:
        return Path(path).stat()
    except ValueError as error:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)) from error


def stamp_of(info: os.stat_result) -> Stamp:
    """Return what distinguishes this file from a later one at the same path."""
    return Stamp(info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns)


def next_tick_ns() -> int:
    """Wait until anything written from now on has a later stamp than anything before.

    Returns:
        The earliest stamp that a file written from now on can have.
    """
    give_up_at_seconds = time.monotonic() + _STAMPS_SETTLE_NS / 1e9
    # Newer kernels give some files a finer stamp, so the coarse clock has to pass the fine one. The
    # times read here are never reported: they are only compared with the stamps of files.
    began_ns = time.time_ns()
    while (tick_ns := file_clock_ns()) <= began_ns and time.monotonic() < give_up_at_seconds:
        time.sleep(0.0005)
    return tick_ns


def file_clock_ns() -> int:
    """Return the earliest stamp that a file written now can have."""
    return time.clock_gettime_ns(_FILE_CLOCK)
