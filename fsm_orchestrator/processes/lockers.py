"""The processes that hold flock(2) locks, from the kernel's list (proc(5): /proc/locks)."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection
from pathlib import Path
from typing import Final

LOCKS: Final = Path("/proc/locks")
PROC: Final = Path("/proc")


def kernel_locks() -> dict[int, set[int]] | None:
    """Return the pids that hold a lock, by inode, or None if the kernel has no such list."""
    try:
        lines = LOCKS.read_text().splitlines()
    except OSError:
        return None
    found: dict[int, set[int]] = {}
    # `1: FLOCK ADVISORY WRITE 708 08:01:1234 0 EOF`
    for words in map(str.split, lines):
        if len(words) > 5 and words[1] == "FLOCK":  # noqa: PLR2004 - the fields that are looked at
            with contextlib.suppress(ValueError):
                inode = int(words[5].rpartition(":")[2])
                found.setdefault(inode, set()).add(int(words[4]))
    return found


def lockers_of(inodes: Collection[int]) -> set[int] | None:
    """Return the pids that hold a lock on these files, or None if the kernel has no such list."""
    locks = kernel_locks()
    if locks is None:
        return None
    return {pid for inode in inodes for pid in locks.get(inode, ())}


def has_open(pid: int, inode: int) -> bool:
    """Return whether a live process has a file open; a lock on the file is then its own.

    The list names the process that took a lock, which may be gone by now and have left the lock to
    another. True for a process of another user, whose files may not be known.
    """
    place = PROC / str(pid) / "fd"
    try:
        return any(_inode_of(place / name) == inode for name in os.listdir(place))
    except PermissionError:
        return True
    except OSError:
        return False


def _inode_of(path: Path) -> int | None:
    try:
        return os.stat(path).st_ino
    except OSError:
        return None
