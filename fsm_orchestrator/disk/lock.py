"""One orchestrator per output directory: flock(2) on `orchestrator.lock`.

The kernel releases the lock when its holder dies, so nobody ever has to remove it. The file stays;
the holder that it names counts only while the lock is held.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from fsm_orchestrator.disk import files
from fsm_orchestrator.errors import BusyError, CommandError, Holder, RecordingError
from fsm_orchestrator.vocabulary import LOCK_FILE, Operation

HOLDER_BYTES_MAX = 4096
PID_MAX = 2**31 - 1
LOOKERS_TRIES = 10
LOOKERS_WAIT_SECONDS = 0.02


@dataclass(slots=True)
class OutputLock:
    """The held lock of an output directory: flock on the directory itself and on its lock file.

    The file is what other programs know, and names the holder. The directory is locked as well
    (where the file system can: NFS cannot), so that removing the file lets nobody in.

    Attributes:
        is_named: true if the holder knows that the directory's own name is durable.
    """

    path: Path
    directory: int
    file: int = -1
    says_holder: bool = False
    is_named: bool = False

    @classmethod
    def acquire(cls, output_directory: Path) -> Self:
        """Lock an existing directory, and its lock file if there is one. Writes nothing.

        A lock file that cannot be locked is left for `write_holder` to complain about.

        Raises:
            BusyError: another orchestrator holds it.
            RecordingError: the directory cannot be opened or locked.
        """
        path = output_directory / LOCK_FILE
        with files.recording(Operation.LOCK_ACQUIRE, path):
            lock = cls(path, files.open_directory(output_directory))
            try:
                _lock_directory(lock.directory, path)
                with contextlib.suppress(OSError):
                    lock.file = _lock_file(path, may_make=False)
            except (BusyError, OSError):
                lock.release()
                raise
        return lock

    def write_holder(self, *, since: str, run_id: str) -> None:
        """Make the lock file if necessary, lock it, and write into it who holds the directory.

        Raises:
            BusyError: another orchestrator holds the file.
            RecordingError: it cannot be made, locked or written.
        """
        holder = {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "since": since,
            "run_id": run_id,
        }
        with files.recording(Operation.LOCK_ACQUIRE, self.path):
            if self.file < 0:
                self.file = _lock_file(self.path, may_make=True)
            files.truncate(self.file, 0)
            files.write_all(self.file, json.dumps(holder).encode() + b"\n")
        self.says_holder = True

    def release(self) -> None:
        """Clear the holder and release the lock."""
        if self.says_holder:
            with contextlib.suppress(OSError):
                files.truncate(self.file, 0)
        for descriptor in (self.file, self.directory):
            if descriptor >= 0:
                with contextlib.suppress(OSError):
                    files.unlock(descriptor)  # a forked process may have a copy of it
                with contextlib.suppress(OSError):
                    os.close(descriptor)


def _lock_directory(descriptor: int, path: Path) -> None:
    try:
        _flock(descriptor, path)
    except OSError as error:
        if error.errno not in {errno.EBADF, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL}:
            raise


def _lock_file(path: Path, *, may_make: bool) -> int:
    """Open and lock the lock file, and make sure that it is still the one at `path`."""
    while True:
        descriptor = files.open_lock(path, may_make=may_make)
        try:
            _flock(descriptor, path)
            here, there = os.fstat(descriptor), path.stat()
        except BaseException:
            os.close(descriptor)
            raise
        if (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino):
            return descriptor
        os.close(descriptor)


def _flock(descriptor: int, path: Path) -> None:
    """Take the lock at once, or raise with its holder.

    A lock without a named holder may belong to a process that only looks (`status`): it counts as
    busy only after a few more tries.
    """
    for _ in range(LOOKERS_TRIES):
        try:
            files.lock(descriptor)
        except BlockingIOError:
            holder = _read_holder(path)
            if holder:
                raise _busy(path, holder) from None
            time.sleep(LOOKERS_WAIT_SECONDS)
        else:
            return
    raise _busy(path, b"")


def _read_holder(path: Path) -> bytes:
    try:
        return files.read_bounded(path, HOLDER_BYTES_MAX)
    except OSError:
        return b""


def holder_of(output_directory: Path) -> Holder | None:
    """Return who holds the directory now; None when nobody does. Writes nothing.

    Raises:
        CommandError: no permission to look.
    """
    if not os.path.isdir(output_directory):
        return None
    try:
        OutputLock.acquire(output_directory).release()
    except BusyError as busy:
        return busy.holder
    except RecordingError as error:
        if isinstance(error.__cause__, PermissionError):
            raise CommandError(
                f"cannot tell whether a run is at work in {output_directory}: permission denied",
                remedy="look as the user whose run it is",
            ) from error
        return None
    return None


def _busy(path: Path, holder: bytes) -> BusyError:
    return BusyError(str(path.parent), _named(holder))


def _named(holder: bytes) -> Holder:
    """Return the holder that a lock file names; an empty one if it holds anything else."""
    try:
        known = json.loads(holder)
        pid, *words = (known[key] for key in ("pid", "host", "since", "run_id"))
    except (ValueError, LookupError, TypeError, RecursionError):
        return Holder()
    is_pid = type(pid) is int and 0 < pid <= PID_MAX
    if not is_pid or not all(isinstance(word, str) and word.isprintable() for word in words):
        return Holder()
    return Holder(pid, *words)
