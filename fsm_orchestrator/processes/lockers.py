"""The processes that hold locks of flock(2), by the kernel's list (proc(5): /proc/locks)."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection
from pathlib import Path
from typing import Final

LOCKS: Final = Path("/proc/locks")
PROC: Final = Path("/proc")


def kernel_locks() -> dict[int, set[int]] | None:
    """Return who holds a lock on what, by inode; None where the kernel has no such list."""
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
    """Return who has locked one of these files; None where the kernel has no such list."""
    locks = kernel_locks()
    if locks is None:
        return None
    return {pid for inode in inodes for pid in locks.get(inode, ())}


def has_open(pid: int, inode: int) -> bool:
    """Say whether a live process has a file open, whose lock is then its own.

    The list names who took a lock, who may be gone by now and have left it to another process. True
    of another user's, whose files may not be known.
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
