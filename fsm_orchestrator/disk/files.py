"""The one door to the disk: every durable operation of a run goes through these functions.

Each system call in them goes through `perform`, so that a fault can be injected before any. They
raise OSError, which the caller interprets (`recording`). They know nothing of what they write.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple, ParamSpec, TypeVar

from fsm_orchestrator.errors import RecordingError
from fsm_orchestrator.vocabulary import Operation

TEMPORARY_SUFFIX = ".tmp"

Result = TypeVar("Result")
Arguments = ParamSpec("Arguments")


class SystemCall(StrEnum):
    """The system calls by which a run is kept and read."""

    OPEN = "open"
    READ = "read"
    WRITE = "write"
    FSYNC = "fsync"
    RENAME = "rename"
    MKDIR = "mkdir"
    LOCK = "lock"
    TRUNCATE = "truncate"
    UNLINK = "unlink"


def perform(
    operation: SystemCall,  # noqa: ARG001 - for those who inject faults
    call: Callable[Arguments, Result],
    *args: Arguments.args,
    **kwargs: Arguments.kwargs,
) -> Result:
    """Make one system call. This module and lock.py make none without it."""
    return call(*args, **kwargs)


class StagedFile(NamedTuple):
    """Bytes that are durable beside `path` under a temporary name, waiting to take its place."""

    path: Path
    temporary: Path

    def commit(self) -> None:
        """Take the place of `path` atomically. Durable after `sync_directory`."""
        if self.path.is_dir():  # rename(2) would say so too, but only for a non-empty one on all
            raise IsADirectoryError(21, "a directory is in the file's place", str(self.path))
        perform(SystemCall.RENAME, os.replace, self.temporary, self.path)

    def discard(self) -> None:
        """Remove the temporary file, if it is still there."""
        with contextlib.suppress(OSError):
            perform(SystemCall.UNLINK, os.unlink, self.temporary)


def stage_file(path: Path, data: bytes, *, mode: int = 0o666) -> StagedFile:
    """Write `data` durably under a temporary name in the directory of `path`.

    The temporary name is fixed (only the holder of the directory's lock writes there), so what a
    kill left behind is overwritten by the next write. `mode` is subject to the umask.
    """
    staged = StagedFile(path, path.with_name(f".{path.name}{TEMPORARY_SUFFIX}"))
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = perform(SystemCall.OPEN, os.open, staged.temporary, flags, mode)
        try:
            write_all(descriptor, data)
            sync(descriptor)
        finally:
            os.close(descriptor)
    except BaseException:
        staged.discard()
        raise
    return staged


def replace_file(path: Path, data: bytes, *, mode: int = 0o666) -> None:
    """Replace `path` by `data`: temporary file, fsync, rename, fsync of the directory."""
    staged = stage_file(path, data, mode=mode)
    try:
        staged.commit()
    except BaseException:
        staged.discard()
        raise
    sync_directory(path.parent)


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of `data`, continuing short writes."""
    view = memoryview(data)
    while view:
        view = view[perform(SystemCall.WRITE, os.write, descriptor, view) :]


def sync_directory(path: Path) -> None:
    """Make the entries of a directory durable."""
    descriptor = open_directory(path)
    try:
        sync(descriptor)
    finally:
        os.close(descriptor)


def make_directory(path: Path, *, mode: int = 0o777, is_durable: bool = True) -> bool:
    """Make a directory and its parents; return False if it was there.

    Only directories that this call makes get `mode` (subject to the umask). Their names are made
    durable, unless the caller does that.
    """
    missing = []
    was_made = False
    probe = path
    while not probe.exists():
        missing.append(probe)
        probe = probe.parent
    for directory in reversed(missing):
        try:
            perform(SystemCall.MKDIR, os.mkdir, directory, mode)
            was_made = directory == path
        except FileExistsError:
            continue
        try:
            if is_durable:
                sync_directory(directory.parent)
        except OSError:
            with contextlib.suppress(OSError):
                os.rmdir(directory)
            raise
    if not path.is_dir():
        raise NotADirectoryError(20, "not a directory", str(path))
    return was_made


def move(source: Path, destination: Path) -> None:
    """Rename `source` to `destination`, which must not exist, on the same file system."""
    if os.path.lexists(destination):
        raise FileExistsError(17, "already there", str(destination))
    perform(SystemCall.RENAME, os.rename, source, destination)


def open_append(path: Path, *, mode: int = 0o666) -> int:
    """Open a regular file for appending and reading, made if absent; return its descriptor.

    Refuses symbolic links and anything but a regular file (a FIFO would hang the first writer).
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = perform(SystemCall.OPEN, os.open, path, flags, mode)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(22, "not a regular file", str(path))
    return descriptor


def truncate(descriptor: int, size_bytes: int) -> None:
    """Cut an open file to `size_bytes`."""
    perform(SystemCall.TRUNCATE, os.ftruncate, descriptor, size_bytes)


def sync(descriptor: int) -> None:
    """Make what was written to an open file durable."""
    perform(SystemCall.FSYNC, os.fsync, descriptor)


def size_of(path: Path) -> int:
    """Return the size of a file in bytes; 0 if there is none."""
    try:
        return os.stat(path, follow_symlinks=False).st_size
    except OSError:
        return 0


def remove(path: Path) -> None:
    """Remove a file if there is one."""
    with contextlib.suppress(FileNotFoundError):
        perform(SystemCall.UNLINK, os.unlink, path)


def open_directory(path: Path) -> int:
    """Open a directory to be locked or synced; return its descriptor."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    return perform(SystemCall.OPEN, os.open, path, flags)


def open_lock(path: Path, *, may_make: bool) -> int:
    """Open a file to be locked and written, following no link; return its descriptor."""
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    return perform(SystemCall.OPEN, os.open, path, flags | (os.O_CREAT if may_make else 0), 0o666)


def lock(descriptor: int) -> None:
    """Take the exclusive lock of an open file or directory, without waiting.

    Raises:
        BlockingIOError: another process has it.
    """
    perform(SystemCall.LOCK, fcntl.flock, descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def unlock(descriptor: int) -> None:
    """Release what `lock` took, even if another process has a copy of the descriptor."""
    fcntl.flock(descriptor, fcntl.LOCK_UN)


def open_regular(path: Path) -> int:
    """Open a regular file for reading, without waiting; the caller closes the descriptor.

    Raises:
        OSError: it cannot be opened, or is not a regular file.
    """
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = perform(SystemCall.OPEN, os.open, path, flags)
    status = os.fstat(descriptor)
    if stat.S_ISREG(status.st_mode):
        return descriptor
    os.close(descriptor)
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(21, "is a directory", str(path))
    raise OSError(22, "not a regular file", str(path))


def read_bounded(path: Path, size_bytes_max: int) -> bytes:
    """Read the whole of a regular file.

    Raises:
        OSError: it cannot be read, is not a regular file, or is larger than `size_bytes_max`.
    """
    descriptor = open_regular(path)
    try:
        with os.fdopen(descriptor, "rb", closefd=False) as stream:
            data = perform(SystemCall.READ, stream.read, size_bytes_max + 1)
    finally:
        os.close(descriptor)
    if len(data) > size_bytes_max:
        raise OSError(27, f"larger than {size_bytes_max} bytes", str(path))
    return data


@contextlib.contextmanager
def recording(operation: Operation, path: Path) -> Iterator[None]:
    """Do a part of the program's own work on `path`.

    Raises:
        RecordingError: it raised OSError.
    """
    try:
        yield
    except OSError as error:
        raise RecordingError(operation, str(path), reason(error)) from error


def reason(error: OSError) -> str:
    """Describe an OSError without the path, which the caller names."""
    return (error.strerror or str(error)).lower()
