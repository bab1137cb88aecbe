"""One orchestrator per output directory: flock(2) on `orchestrator.lock`.

The kernel releases the lock when its holder dies, so no person ever has to remove one. The file
stays; what it says of a holder counts only while the lock is held.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from fsm_orchestrator import files
from fsm_orchestrator.errors import BusyError, RecordingError
from fsm_orchestrator.vocabulary import LOCK_FILE

HOLDER_BYTES_MAX = 4096


@dataclass(frozen=True, slots=True)
class OutputLock:
    """The held lock of an output directory."""

    path: Path
    descriptor: int

    @classmethod
    def acquire_existing(cls, output_directory: Path) -> Self | None:
        """Take the lock if its file is there; None if it is not. Writes nothing.

        Raises:
            BusyError: another orchestrator holds it.
            RecordingError: the file is there but cannot be locked.
        """
        return cls._acquire(output_directory / LOCK_FILE, os.O_RDWR)

    @classmethod
    def acquire(cls, output_directory: Path) -> Self:
        """Take the lock, making its file if need be.

        Raises:
            BusyError: another orchestrator holds it.
            RecordingError: it cannot be made or locked.
        """
        path = output_directory / LOCK_FILE
        lock = cls._acquire(path, os.O_RDWR | os.O_CREAT)
        if lock is None:
            raise RecordingError("lock.acquire", str(path), "the directory is gone")
        return lock

    @classmethod
    def _acquire(cls, path: Path, flags: int) -> Self | None:
        try:
            while True:
                descriptor = os.open(
                    path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o666
                )
                if cls._lock(path, descriptor):
                    return cls(path, descriptor)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise RecordingError("lock.acquire", str(path), files.reason(error)) from error

    @staticmethod
    def _lock(path: Path, descriptor: int) -> bool:
        """Lock an open file; False when it is no longer the one at `path`."""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            here, there = os.fstat(descriptor), path.stat()
            if (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino):
                return True
        except OSError as error:
            holder = os.pread(descriptor, HOLDER_BYTES_MAX, 0)
            os.close(descriptor)
            if error.errno in {errno.EWOULDBLOCK, errno.EAGAIN}:
                raise _busy(path, holder) from None
            raise
        os.close(descriptor)
        return False

    def write_holder(self, *, since: str, run_id: str) -> None:
        """Say who holds the lock, for whoever is refused.

        Raises:
            RecordingError: it cannot be written.
        """
        holder = {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "since": since,
            "run_id": run_id,
        }
        try:
            files.truncate(self.descriptor, 0)
            files.write_all(self.descriptor, json.dumps(holder).encode() + b"\n")
        except OSError as error:
            raise RecordingError("lock.persist", str(self.path), files.reason(error)) from error

    def release(self) -> None:
        """Forget the holder and let the lock go."""
        with contextlib.suppress(OSError):
            files.truncate(self.descriptor, 0)
        with contextlib.suppress(OSError):
            os.close(self.descriptor)


def holder_of(output_directory: Path) -> str | None:
    """Who holds the directory now, in words; None when nobody does. Writes nothing."""
    try:
        lock = OutputLock.acquire_existing(output_directory)
    except BusyError as busy:
        return str(busy)
    except RecordingError:
        return None
    if lock is not None:
        os.close(lock.descriptor)
    return None


def _busy(path: Path, holder: bytes) -> BusyError:
    try:
        known = json.loads(holder)
        who = (
            f"process {known['pid']} on {known['host']}, since {known['since']}"
            f" (run {known['run_id']})"
        )
    except (ValueError, KeyError, TypeError):
        who = "a process that has not yet said who it is"
    return BusyError(
        f"{path.parent} is held by another orchestrator: {who}",
        remedy="wait until it has ended, or use another output directory; nothing was touched",
    )
