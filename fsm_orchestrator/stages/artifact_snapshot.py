"""Notes what is at the paths of expected artifacts, to tell a leftover from a rewrite.

Stamps tell them apart, and where they cannot, content does: leftovers are read once. Writes
nothing.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
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

_SECOND_NS: Final = 1_000_000_000
DIGEST_BYTES_MAX: Final = 64 * 1024**2
"""The largest leftover whose content is noted."""
OPEN_FLAGS: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
_READ_BYTES: Final = 1024**2

ABSENT: Final = {
    errno.ENOENT: "does not exist",
    errno.ENOTDIR: "a parent is not a directory",
    errno.ELOOP: "a loop of symbolic links",
    errno.ENAMETOOLONG: "does not exist: the name is too long",
}


class Stamp(NamedTuple):
    """The attributes that change whenever a file is rewritten or replaced.

    `ctime_ns` changes with a mode, an owner or a link as well.
    """

    device: int
    inode: int
    size_bytes: int
    mtime_ns: int
    ctime_ns: int

    @property
    def granularity_ns(self) -> int:
        """How coarse the file system's stamps are, by these: 1 s (ext3), 2 s (FAT), or a tick."""
        if self.mtime_ns % _SECOND_NS or self.ctime_ns % _SECOND_NS:
            return _STAMPS_SETTLE_NS
        return _SECOND_NS if self.mtime_ns % (2 * _SECOND_NS) else 2 * _SECOND_NS

    def differs_in_attributes_only(self, other: Stamp) -> bool:
        """Return whether nothing but `ctime_ns` differs, which does."""
        return self != other and self._replace(ctime_ns=other.ctime_ns) == other

    def is_before(self, at_ns: int) -> bool:
        """Return whether the file was written before; not known within one grain, then False."""
        grain_ns = self.granularity_ns
        is_coarse = grain_ns > _STAMPS_SETTLE_NS
        return min(self.mtime_ns, self.ctime_ns) < (
            at_ns - at_ns % grain_ns if is_coarse else at_ns
        )


class Snapshot(NamedTuple):
    """The stamps of the expected paths before an attempt.

    Attributes:
        taken_at_ns: by the clock that stamps files, since the epoch: what was changed before the
            snapshot was begun is stamped earlier, what is changed after it is not.
        stamps: by path; None where there was nothing. A path that could not be looked at is left
            out.
        digests: SHA-256 by path of the content that was there, where it could be read.
    """

    taken_at_ns: int
    stamps: Mapping[str, Stamp | None]
    digests: Mapping[str, str]


def take_snapshot(paths: Sequence[str]) -> Snapshot:
    """Note what is at `paths` now, to find later what an attempt left as it was.

    File systems stamp by a clock that ticks every few milliseconds, and some write down whole
    seconds only. So this waits for the next tick, and while a file bears a stamp of just now, for
    20 ms or the file system's grain (at most 2 s) more: a rewrite in place right after the return
    then differs. Returns at once when there are no paths.
    """
    if not paths:
        return Snapshot(taken_at_ns=_file_clock_ns(), stamps={}, digests={})
    taken_at_ns = _next_tick_ns()
    stamps = _stamps_at(paths)
    unsettled_ns = max((_unsettled_ns(at) for at in stamps.values() if at), default=0)
    if unsettled_ns > 0:
        time.sleep(unsettled_ns / 1e9)
        stamps = _stamps_at(paths)
    found = {path: _digest_at(path) for path, at in stamps.items() if at is not None}
    digests = {path: digest for path, digest in found.items() if digest is not None}
    return Snapshot(taken_at_ns=taken_at_ns, stamps=stamps, digests=digests)


def _unsettled_ns(at: Stamp) -> int:
    """Return how long to wait until a file that is written now bears another stamp."""
    grain_ns = at.granularity_ns
    unsettled_ns = max(at.mtime_ns, at.ctime_ns) + grain_ns - _file_clock_ns()
    # A stamp from the future never settles: it is worth no longer a wait than any other.
    return min(unsettled_ns, grain_ns)


def _digest_at(path: str) -> str | None:
    """Return the SHA-256 of a regular file; None if it cannot be read, or is very large."""
    try:
        descriptor = os.open(path, OPEN_FLAGS)
    except (OSError, ValueError):
        return None
    try:
        info = os.fstat(descriptor)
        if not stat.S_ISREG(info.st_mode) or info.st_size > DIGEST_BYTES_MAX:
            return None
        digest, left = hashlib.sha256(), DIGEST_BYTES_MAX
        while left > 0 and (piece := os.read(descriptor, min(left, _READ_BYTES))):
            digest.update(piece)
            left -= len(piece)
        return digest.hexdigest()
    except OSError:
        return None
    finally:
        os.close(descriptor)


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
