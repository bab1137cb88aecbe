"""The place where tests work: in memory if possible, so that none waits for a disk.

Durability and its order are judged by the calls that are made (strace, the sweeps' own disk), never
by what a disk does with them.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from typing import Final

MEMORY: Final = "/dev/shm"
_FREE_BYTES_MIN: Final = 4 * 1024**3
"""Much more than all tests together leave: a container often has only 64 MiB there."""


def is_fit(directory: str) -> bool:
    """Return True if tests may work there: they write, execute scripts, and take some room."""
    try:
        mounted = os.statvfs(directory)
        return (
            os.access(directory, os.W_OK | os.X_OK)
            and not mounted.f_flag & getattr(os, "ST_NOEXEC", 0)
            and shutil.disk_usage(directory).free >= _FREE_BYTES_MIN
        )
    except OSError:
        return False


def work_there() -> None:
    """Make this process's temporary files in memory, unless another place is set."""
    if not any(name in os.environ for name in ("TMPDIR", "TEMP", "TMP")) and is_fit(MEMORY):
        tempfile.tempdir = MEMORY
