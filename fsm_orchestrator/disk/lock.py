"""One orchestrator per output directory: flock(2) on `orchestrator.lock`.

The kernel releases the lock when its holder dies, so nobody ever has to remove it. The file stays;
the holder that it names counts only while the lock is held.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import time
from pathlib import Path
from typing import Self

from fsm_orchestrator.constants import LOCK_FILE
from fsm_orchestrator.disk import files
from fsm_orchestrator.disk.files import SystemCall
from fsm_orchestrator.disk.held import HeldDirectory, Identity, identity_of
from fsm_orchestrator.errors import BusyError, CommandError, Holder, OperationError, RecordingError
from fsm_orchestrator.text.hidden import copyable
from fsm_orchestrator.vocabulary import HeldBy, Operation

HOLDER_BYTES_MAX = 4096
PID_MAX = 2**31 - 1
LOOKERS_TRIES = 10
LOOKERS_WAIT_SECONDS = 0.02


class OutputLock(HeldDirectory):
    """The held lock of an output directory: flock on the directory itself and on its lock file.

    The file, which names the holder, is what other programs know. The directory is locked as well
    (where the file system can do that: NFS cannot), so that removing the file lets nobody in.
    Everything that a run writes goes through the descriptor of the directory that was locked.

    Attributes:
        file: descriptor of the lock file; -1 while there is none.
        is_named: True if the holder knows that the directory's own name is durable.
        is_new: True if the holder has found nothing in it since it was locked.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        super().__init__(path, descriptor)
        self.file = -1
        self.is_named = False
        self.is_new = False
        self._holder: dict[str, object] | None = None
        self._file_identity: Identity | None = None

    @classmethod
    def acquire(cls, output_directory: Path) -> Self:
        """Lock an existing directory, and its lock file if there is one. Writes nothing.

        A lock file that cannot be locked is left for `write_holder` to report.

        Raises:
            BusyError: another orchestrator holds it.
            RecordingError: the directory cannot be opened or locked.
        """
        path = output_directory / LOCK_FILE
        with files.recording(Operation.LOCK_ACQUIRE, path):
            lock = cls(output_directory, files.open_directory(output_directory))
            try:
                _lock_directory(lock.descriptor, path)
                with contextlib.suppress(OSError):
                    lock.file = _lock_file(lock, may_make=False)
            except (BusyError, OSError):
                lock.release()
                raise
        return lock

    def write_holder(
        self,
        *,
        since: str,
        run_id: str,
        held_by: HeldBy = HeldBy.COMMAND,
        hears: str | None = None,
    ) -> None:
        """Make the lock file if necessary, lock it, and write the directory's holder into it.

        `hears` is what a request to end the run must quote, if the run accepts any.

        Raises:
            BusyError: another orchestrator holds the file.
            RecordingError: it cannot be made, locked or written.
        """
        holder: dict[str, object] = {
            "pid": os.getpid(),
            "host": os.uname().nodename,
            "since": since,
            "run_id": run_id,
            "held_by": held_by.value,
            **({} if hears is None else {"hears": hears}),
        }
        with files.recording(Operation.LOCK_ACQUIRE, self.path / LOCK_FILE):
            self._write(holder)

    def _write(self, holder: dict[str, object]) -> None:
        if self.file < 0:
            self.file = _lock_file(self, may_make=True)
        files.truncate(self.file, 0)
        text = json.dumps({**holder, "directory": self.identity})
        files.write_all(self.file, text.encode() + b"\n")
        self._holder, self._file_identity = holder, identity_of(os.fstat(self.file))

    def confirm_file(self) -> None:
        """Make sure that the lock file still has its name, by which others know of the run.

        Raises:
            OperationError: it was removed, moved or replaced; raised only once.
            OSError: the whole directory was removed, moved or replaced.
        """
        held, there = self._file_identity, None
        if held is None:
            return
        with contextlib.suppress(OSError):
            status = os.stat(LOCK_FILE, dir_fd=self.descriptor, follow_symlinks=False)
            there = identity_of(status)
        if there != held:
            self.confirm()
            self._file_identity = None
            raise OperationError(
                Operation.LOCK_ACQUIRE,
                f"the lock file {copyable(self.path / LOCK_FILE)} was removed, moved or replaced"
                " while the run was at work",
                remedy="find out who did that, a stage perhaps, then resume",
            )

    def make_again(self) -> bool:
        """Make and lock the directory again if it is gone, for the final record of a run.

        Returns:
            False if something has its name, which is then not touched, or if it cannot be made.
        """
        try:
            if os.path.lexists(self.path) or not files.make_directory(self.path):
                return False
            descriptor = files.open_directory(self.path)
            try:
                _lock_directory(descriptor, self.path / LOCK_FILE)
                if os.listdir(descriptor):  # another has taken its place by now
                    raise FileExistsError(errno.EEXIST, "is not empty", str(self.path))
            except (BusyError, OSError):
                os.close(descriptor)
                return False
        except OSError:
            return False
        self._let_go()
        self._hold(descriptor)
        self.file = -1
        if self._holder is not None:
            with contextlib.suppress(BusyError, OSError):
                self._write(self._holder)
        return True

    def release(self) -> None:
        """Clear the holder and release the lock."""
        if self._holder is not None and self.file >= 0:
            with contextlib.suppress(OSError):
                files.truncate(self.file, 0)
        self._let_go()

    def _let_go(self) -> None:
        for descriptor in (self.file, self.descriptor):
            if descriptor >= 0:
                with contextlib.suppress(OSError):
                    fcntl.flock(descriptor, fcntl.LOCK_UN)  # a forked process may have a copy of it
                with contextlib.suppress(OSError):
                    os.close(descriptor)


def _lock_directory(descriptor: int, path: Path) -> None:
    try:
        _flock(descriptor, path)
    except OSError as error:
        if error.errno not in {errno.EBADF, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL}:
            raise


def _lock_file(directory: HeldDirectory, *, may_make: bool) -> int:
    """Open and lock the lock file, and make sure that it still has its name.

    A file with another name elsewhere (a hard link) may be another directory's: it is not used.
    """
    path = directory.path / LOCK_FILE
    while True:
        descriptor = files.open_lock(path, may_make=may_make, within=directory)
        held = os.fstat(descriptor)
        if held.st_nlink > 1:
            os.close(descriptor)
            if not may_make:
                return -1
            at = directory.descriptor
            files.perform(SystemCall.UNLINK, os.unlink, LOCK_FILE, dir_fd=at)
            continue
        try:
            _flock(descriptor, path)
            there = os.stat(LOCK_FILE, dir_fd=directory.descriptor, follow_symlinks=False)
        except BaseException:
            os.close(descriptor)
            raise
        if identity_of(held) == identity_of(there):
            return descriptor
        os.close(descriptor)


def _flock(descriptor: int, path: Path) -> None:
    """Take the lock at once, or raise BusyError with its holder.

    A lock without a named holder may belong to a process that only looks (`status`): it counts as
    busy only after a few more tries.
    """
    for _ in range(LOOKERS_TRIES):
        try:
            exclusively = fcntl.LOCK_EX | fcntl.LOCK_NB
            files.perform(SystemCall.LOCK, fcntl.flock, descriptor, exclusively)
        except BlockingIOError:
            holder = _read_holder(path)
            if holder.pid is not None:
                raise BusyError(copyable(path.parent), holder) from None
            time.sleep(LOOKERS_WAIT_SECONDS)
        else:
            return
    raise BusyError(copyable(path.parent), Holder())


def _read_holder(path: Path) -> Holder:
    """Return the holder that a lock file names, or an empty one if none of this directory."""
    try:
        identity = identity_of(os.stat(path.parent))
        return _holder_in(files.read_bounded(path, HOLDER_BYTES_MAX), identity)
    except OSError:
        return Holder()


def named_holder(output_directory: Path) -> Holder:
    """Return the holder that a lock file names, held or not, under any number of its device."""
    try:
        inode = os.stat(output_directory).st_ino
        text = files.read_bounded(output_directory / LOCK_FILE, HOLDER_BYTES_MAX)
        device, named = json.loads(text)["directory"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return Holder()
    return _holder_in(text, Identity(device, inode)) if named == inode else Holder()


def holder_of(output_directory: Path) -> Holder | None:
    """Return the current holder of the directory, or None if there is none. Writes nothing.

    Raises:
        CommandError: that cannot be determined.
    """
    if not os.path.isdir(output_directory):
        return None
    try:
        OutputLock.acquire(output_directory).release()
    except BusyError as busy:
        return busy.holder
    except RecordingError as error:
        cause = error.__cause__
        if isinstance(cause, FileNotFoundError | NotADirectoryError):
            return None
        is_denied = isinstance(cause, PermissionError)
        why = files.reason(cause) if isinstance(cause, OSError) else str(error)
        raise CommandError(
            f"cannot tell whether a run is at work in {copyable(output_directory)}: {why}",
            remedy="look as the user whose run it is" if is_denied else "repair that, or try again",
        ) from error
    return None


def _holder_in(text: bytes, identity: Identity) -> Holder:
    """Return the holder that a text names, or an empty one unless all its values are valid."""
    try:
        known = json.loads(text)
        if known["directory"] != list(identity):  # copied from another directory
            return Holder()
        pid, words = known["pid"], [known[key] for key in ("host", "since", "run_id", "held_by")]
        held_by, hears = HeldBy(words.pop()), known.get("hears")
    except (ValueError, KeyError, TypeError, RecursionError):
        return Holder()
    if type(pid) is not int or not 0 < pid <= PID_MAX or not all(isinstance(x, str) for x in words):
        return Holder()
    if not isinstance(hears, str | None):
        return Holder()
    host, since, run_id = words
    return Holder(pid, host, since, run_id, held_by, hears)
