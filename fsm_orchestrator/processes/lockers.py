"""The processes that hold locks of flock(2), by the kernel's list (proc(5): /proc/locks)."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Final

LOCKS: Final = Path("/proc/locks")


def lockers_of(inodes: Collection[int]) -> set[int] | None:
    """Return who has locked one of these files; None where the kernel has no such list."""
    try:
        lines = LOCKS.read_text().splitlines()
    except OSError:
        return None
    wanted = set(map(str, inodes))
    # `1: FLOCK ADVISORY WRITE 708 08:01:1234 0 EOF`
    locks = [line.split() for line in lines]
    return {
        int(words[4])
        for words in locks
        if len(words) > 5  # noqa: PLR2004 - the fields that are looked at
        and words[1] == "FLOCK"
        and words[5].rpartition(":")[2] in wanted
    }
