"""The process that holds a directory, as the kernel knows it."""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path

from fsm_orchestrator.constants import LOCK_FILE
from fsm_orchestrator.errors import Holder
from fsm_orchestrator.processes.table import is_stopped
from fsm_orchestrator.vocabulary import Standing


def standing_of_held(output: Path, holder: Holder) -> Standing:
    """Return where a run stands in whose directory a process is."""
    is_here = holder.pid is not None and holder.host == socket.gethostname()
    if is_here and is_stopped(holder.pid or 0) and has_locked(output, holder.pid or 0):
        return Standing.SUSPENDED
    return Standing.WORKING


def has_locked(output: Path, pid: int) -> bool:
    """Return whether the process holds the lock by the kernel's list; True if there is none."""
    known = lockers(output)
    return known is None or pid in known


def lockers(output: Path) -> set[int] | None:
    """Return who holds the directory or its lock file by the kernel's list; None without one."""
    from fsm_orchestrator.processes.lockers import lockers_of  # noqa: PLC0415 - rarely asked

    inodes = set()
    for path in (output, output / LOCK_FILE):
        with contextlib.suppress(OSError):
            inodes.add(path.stat().st_ino)
    return lockers_of(inodes)
