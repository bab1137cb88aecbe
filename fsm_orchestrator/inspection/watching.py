"""Waits until files change: woken if the file system reports it, else by looking now and then.

The files decide, never the wake-up: inotify reports early, and reports nothing that other hosts
write. A file counts once it is whole: an empty one does not, and one that is still changing is
looked at again.
"""

from __future__ import annotations

import contextlib
import ctypes
import glob
import os
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from fsm_orchestrator.processes.polling import readable

LOOK_SECONDS: Final = 5.0
"""The seconds between two looks if not every change is reported."""
_SETTLE_SECONDS: Final = 0.1
"""The seconds that a file must not change before a change counts; longer if none is reported."""
_SETTLE_UNTOLD_SECONDS: Final = 1.0
_SETTLE_TIMES: Final = 20
_FILES_MAX: Final = 10_000
_DIRECTORIES_MAX: Final = 1_000
_MOUNTS: Final = Path("/proc/self/mountinfo")
_LOCAL: Final = frozenset(
    {"ext2", "ext3", "ext4", "xfs", "btrfs", "tmpfs", "overlay", "zfs", "f2fs"}
)
"""The file systems that only this machine changes, and that inotify reports in full."""

_IN_CLOSE_WRITE: Final = 0x8
_IN_MOVED: Final = 0x40 | 0x80
_IN_CREATE: Final = 0x100
_IN_DELETE: Final = 0x200
_IN_ONLYDIR: Final = 0x1000000
_MASK: Final = _IN_CLOSE_WRITE | _IN_MOVED | _IN_CREATE | _IN_DELETE | _IN_ONLYDIR

Seen = tuple[tuple[str, int, int, int], ...]
"""Path, inode, size and modification time of each existing file."""


class Watcher:
    """Watches the files that match patterns (glob), also in directories that do not exist yet."""

    def __init__(self, patterns: Iterable[str]) -> None:
        self._patterns = tuple(dict.fromkeys(patterns))
        self._inotify = _Inotify() if sys.platform.startswith("linux") else None
        self._seen = self._look()

    def close(self) -> None:
        """Stop watching."""
        if self._inotify is not None:
            self._inotify.close()

    def note(self) -> None:
        """Take the present files as known: a change from now on is news."""
        self._seen = self._look()

    def wait(self, interrupts: int, deadline: float) -> bool:
        """Wait for news; return False at the deadline, or once `interrupts` is readable.

        `deadline` is a reading of the monotonic clock, in seconds.
        """
        while True:
            is_told = self._watch()
            if self._has_news(interrupts, is_told=is_told):
                return True
            until = deadline if is_told else min(deadline, time.monotonic() + LOOK_SECONDS)
            tellers = [] if self._inotify is None else [self._inotify.descriptor]
            ready = readable([interrupts, *tellers], until)
            if self._inotify is not None:
                self._inotify.drain()
            if interrupts in ready:
                return False
            if time.monotonic() >= deadline:
                return self._has_news(interrupts, is_told=is_told)

    def _has_news(self, interrupts: int, *, is_told: bool) -> bool:
        """Return whether anything has changed, once it has stopped changing."""
        now = self._look()
        if now == self._seen:
            return False
        pause_seconds = _SETTLE_SECONDS if is_told else _SETTLE_UNTOLD_SECONDS
        for _ in range(_SETTLE_TIMES):
            if readable([interrupts], time.monotonic() + pause_seconds):
                return False
            before, now = now, self._look()
            if now == before:
                break
        is_news, self._seen = now != self._seen, now
        return is_news

    def _look(self) -> Seen:
        return tuple(_files(self._patterns))

    def _watch(self) -> bool:
        """Have changes in every directory reported; return whether all of them are."""
        if self._inotify is None or not self._inotify.is_there:
            return False
        kinds, is_told = _file_systems(), True
        for directory in _directories(self._patterns):
            with contextlib.suppress(OSError):
                is_told &= kinds.get(os.stat(directory).st_dev) in _LOCAL
                is_told &= self._inotify.add(directory)
        return is_told and not any(glob.has_magic(os.path.dirname(one)) for one in self._patterns)


class _Inotify:
    """inotify(7), only used to wake up; the content of its events is ignored."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(None, use_errno=True)
        try:
            self.descriptor: int = self._library.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        except AttributeError:
            self.descriptor = -1

    @property
    def is_there(self) -> bool:
        """True if the kernel has inotify, and an instance was free."""
        return self.descriptor >= 0

    def add(self, directory: str) -> bool:
        """Have changes in a directory reported; return whether they are."""
        name = os.fsencode(directory)
        return bool(self._library.inotify_add_watch(self.descriptor, name, _MASK) >= 0)

    def drain(self) -> None:
        """Discard its events."""
        with contextlib.suppress(OSError):
            while self.is_there and os.read(self.descriptor, 64 * 1024):
                pass

    def close(self) -> None:
        """Close the descriptor."""
        if self.is_there:
            os.close(self.descriptor)
            self.descriptor = -1


def _files(patterns: Iterable[str]) -> Iterator[tuple[str, int, int, int]]:
    count = 0
    for pattern in patterns:
        for path in sorted(glob.iglob(pattern, recursive=True)):
            with contextlib.suppress(OSError):
                found = os.stat(path)
                if found.st_size:
                    yield path, found.st_ino, found.st_size, found.st_mtime_ns
            count += 1
            if count > _FILES_MAX:
                return


def _directories(patterns: Iterable[str]) -> Iterator[str]:
    """Yield the directories of the patterns; if one does not exist, the nearest existing parent."""
    found: dict[str, None] = {}
    for pattern in patterns:
        parent = os.path.dirname(pattern)
        for directory in glob.glob(parent, recursive=True)[:_DIRECTORIES_MAX]:
            found[directory] = None
        base = parent
        while glob.has_magic(base) or not os.path.isdir(_plain(base)):
            above = os.path.dirname(base)
            if above == base:
                break
            base = above
        found[_plain(base)] = None
    yield from found


def _plain(pattern: str) -> str:
    """Return the literal path of a pattern without wildcards: `[*]` is an escaped `*`."""
    for one in "*?[":
        pattern = pattern.replace(f"[{one}]", one)
    return pattern


def _file_systems() -> dict[int, str]:
    """Return the type of each mounted file system, by device."""
    kinds: dict[int, str] = {}
    with contextlib.suppress(OSError):
        for line in _MOUNTS.read_text(errors="replace").splitlines():
            words = line.split(" ")
            major, _, minor = words[2].partition(":")
            kinds[os.makedev(int(major), int(minor))] = words[words.index("-") + 1]
    return kinds
