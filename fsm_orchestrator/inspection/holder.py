"""The process that holds a directory, as the kernel knows it."""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path

from fsm_orchestrator.constants import EPOCH_FILE, LOCK_FILE
from fsm_orchestrator.disk import peek
from fsm_orchestrator.disk.lock import holder_of, named_holder
from fsm_orchestrator.disk.where import run_of
from fsm_orchestrator.errors import Holder
from fsm_orchestrator.processes.table import boot, is_stopped
from fsm_orchestrator.vocabulary import Standing


def holder_now(output: Path) -> Holder | None:
    """Return the current holder of a record's directory, or None if no holder is known.

    A process that has claimed an epoch on another machine holds no lock that is visible here: its
    lock file names it until it ends, or until the next epoch is claimed.

    Raises:
        CommandError: no permission to look.
    """
    holder = holder_of(output)
    if holder is not None or run_of(output) == output:
        return holder
    claim = peek.document(output / EPOCH_FILE)
    if claim.get("boot") == boot():
        return None
    named = named_holder(output)
    return named if named.pid is not None else None


def standing_of_held(output: Path, holder: Holder) -> Standing:
    """Return the standing of a run whose directory a process holds."""
    is_here = holder.pid is not None and holder.host == socket.gethostname()
    if is_here and is_stopped(holder.pid or 0) and has_locked(output, holder.pid or 0):
        return Standing.SUSPENDED
    return Standing.WORKING


def has_locked(output: Path, pid: int) -> bool:
    """Return whether the process holds the lock by the kernel's list; True without such a list."""
    known = lockers(output)
    return known is None or pid in known


def lockers(output: Path) -> set[int] | None:
    """Return the holders of the directory or its lock file by the kernel's list, or None."""
    from fsm_orchestrator.processes.lockers import lockers_of  # noqa: PLC0415 - rarely asked

    inodes = set()
    for path in (output, output / LOCK_FILE):
        with contextlib.suppress(OSError):
            inodes.add(path.stat().st_ino)
    return lockers_of(inodes)
