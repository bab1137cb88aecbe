"""The one door to the disk: every durable operation of a run goes through these functions.

Each system call in them goes through `perform`, so that a fault can be injected before any. They
raise OSError, which the caller interprets (`recording`). They know nothing of what they write.

Anything else in the place of a file (a FIFO, a link, a device) is never followed, waited for or
written to. With `within`, a path is a name in that directory, and goes through its descriptor.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Final, ParamSpec, TypeAlias, TypeVar

from fsm_orchestrator.disk.held import HeldDirectory
from fsm_orchestrator.disk.kinds import confirm, read_open, refuse_other_kinds
from fsm_orchestrator.errors import RecordingError
from fsm_orchestrator.text.hidden import copyable
from fsm_orchestrator.vocabulary import Operation

TEMPORARY_SUFFIX: Final = ".tmp"
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_SAFE: Final = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC

_Place: TypeAlias = tuple[Path | str, int | None]  # a name, and the descriptor of its directory

Result = TypeVar("Result")
Arguments = ParamSpec("Arguments")


class SystemCall(StrEnum):
    """The system calls that write and read a run."""

    OPEN = "open"
    READ = "read"
    WRITE = "write"
    FSYNC = "fsync"
    RENAME = "rename"
    MKDIR = "mkdir"
    LOCK = "lock"
    TRUNCATE = "truncate"
    UNLINK = "unlink"
    LINK = "link"


def perform(
    operation: SystemCall,  # noqa: ARG001 - for those who inject faults
    call: Callable[Arguments, Result],
    *args: Arguments.args,
    **kwargs: Arguments.kwargs,
) -> Result:
    """Make one system call. This module and lock.py make none without it."""
    return call(*args, **kwargs)


class StagedFile:
    """Bytes next to `path` under a temporary `name`, waiting to take its place."""

    def __init__(self, path: Path, name: str, within: HeldDirectory | None = None) -> None:
        self.path = path
        self._name = name
        self._within = within
        self._is_waiting = True

    @property
    def temporary(self) -> Path:
        """The path of the bytes while they wait."""
        return self.path.with_name(self._name)

    def commit(self) -> None:
        """Take the place of `path` atomically; durable after `sync_directory`."""
        name, at = _place(self.path, self._within)
        both = {"src_dir_fd": at, "dst_dir_fd": at}
        try:
            perform(SystemCall.RENAME, os.replace, self._place[0], name, **both)
        except IsADirectoryError:
            raise IsADirectoryError(
                21, "a directory is in the file's place", str(self.path)
            ) from None
        self._is_waiting = False

    def discard(self) -> None:
        """Remove the temporary file, unless it has taken its place."""
        if self._is_waiting:
            name, at = self._place  # even if the directory lost its name: the file is this one's
            with contextlib.suppress(OSError):
                perform(SystemCall.UNLINK, os.unlink, name, dir_fd=at)

    @property
    def _place(self) -> _Place:
        if self._within is None:
            return self.temporary, None
        return self._name, self._within.descriptor


def stage_file(
    path: Path,
    data: bytes,
    *,
    mode: int = 0o666,
    within: HeldDirectory | None = None,
    is_durable: bool = True,
) -> StagedFile:
    """Write `data` under a temporary name in the directory of `path`, durably if `is_durable`.

    The temporary name is new and cannot be guessed, so nothing can lie in wait for it. stale.py
    removes what a kill leaves behind. `mode` is subject to the umask.
    """
    staged = StagedFile(path, temporary_name(path.name), within)
    try:
        descriptor = make_new(staged.temporary, mode=mode, within=within)
        try:
            write_all(descriptor, data)
            if is_durable:
                sync(descriptor)
        finally:
            os.close(descriptor)
    except BaseException:
        staged.discard()
        raise
    return staged


def temporary_name(name: str) -> str:
    """Return a new, unguessable name for a file that is to be called `name`."""
    return f".{name}.{os.urandom(8).hex()}{TEMPORARY_SUFFIX}"


def make_new(path: Path, *, mode: int = 0o666, within: HeldDirectory | None = None) -> int:
    """Make a file where there is none, and open it for writing; return its descriptor."""
    return _open(_place(path, within), _NEW, mode)


def replace_file(
    path: Path, data: bytes, *, mode: int = 0o666, within: HeldDirectory | None = None
) -> None:
    """Replace `path` with `data`: temporary file, fsync, rename, fsync of the directory."""
    staged = stage_file(path, data, mode=mode, within=within)
    try:
        staged.commit()
    finally:
        staged.discard()
    sync_directory(path.parent, within=within)


def _place(path: Path, within: HeldDirectory | None) -> _Place:
    """Return the name to use, and the descriptor of the directory that it is relative to.

    Raises:
        OSError: that directory has lost its name.
    """
    if within is None:
        return path, None
    within.confirm()
    return path.name, within.descriptor


def _open(place: _Place, flags: int, mode: int = 0o666, *, is_link_good: bool = False) -> int:
    """Open what is in a place without waiting, following a link only if `is_link_good`."""
    name, at = place
    flags |= _SAFE & ~os.O_NOFOLLOW if is_link_good else _SAFE
    return perform(SystemCall.OPEN, os.open, name, flags, mode, dir_fd=at)


def _open_regular(place: _Place, flags: int, mode: int = 0o666, *, is_link_good: bool) -> int:
    """Open a regular file in a place, or make it if `flags` ask for that.

    It is looked at before it is opened, because opening a device may do something.
    """
    name, at = place
    try:
        refuse_other_kinds(os.stat(name, dir_fd=at, follow_symlinks=is_link_good), name)
    except FileNotFoundError:
        if not flags & os.O_CREAT:
            raise
        with contextlib.suppress(FileExistsError):  # something appeared since
            return _open(place, flags | os.O_EXCL, mode)
    descriptor = _open(place, flags, mode, is_link_good=is_link_good)
    confirm(descriptor, name)
    return descriptor


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of `data`, continuing short writes."""
    view = memoryview(data)
    while view:
        view = view[perform(SystemCall.WRITE, os.write, descriptor, view) :]


def sync_directory(path: Path, *, within: HeldDirectory | None = None) -> None:
    """Make the entries of a directory durable: those of `within` if it is given."""
    if within is not None:
        sync(within.descriptor)
        return
    descriptor = open_directory(path)
    try:
        sync(descriptor)
    finally:
        os.close(descriptor)


def make_directory(path: Path, *, mode: int = 0o777, is_durable: bool = True) -> bool:
    """Make a directory and its parents; return False if it existed.

    Only directories that this call makes get `mode` (subject to the umask). Their names are made
    durable, unless the caller does that.
    """
    missing = []
    probe = path
    while not probe.exists():
        missing.append(probe)
        probe = probe.parent
    for directory in reversed(missing):
        try:
            perform(SystemCall.MKDIR, os.mkdir, directory, mode)
        except FileExistsError:
            continue
        try:
            if is_durable:
                sync_directory(directory.parent)
        except OSError:
            with contextlib.suppress(OSError):
                os.rmdir(directory)
            raise
        if directory == path:
            return True
    if not os.path.isdir(path):
        raise NotADirectoryError(20, "not a directory", str(path))
    return False


@contextlib.contextmanager
def below(above: HeldDirectory, name: str, *, may_make: bool = True) -> Iterator[HeldDirectory]:
    """Open a directory in another, made if absent; a link is not followed. Durable once synced.

    Raises:
        OSError: it cannot be made or opened, or is not a directory.
    """
    path, at = above.path / name, above.descriptor
    above.confirm()
    if may_make:
        with contextlib.suppress(FileExistsError):
            perform(SystemCall.MKDIR, os.mkdir, name, 0o777, dir_fd=at)
    try:
        descriptor = perform(SystemCall.OPEN, os.open, name, _DIRECTORY | os.O_NOFOLLOW, dir_fd=at)
    except NotADirectoryError:
        raise NotADirectoryError(errno.ENOTDIR, "is no directory", str(path)) from None
    try:
        yield HeldDirectory(path, descriptor)
    finally:
        os.close(descriptor)


def open_append(path: Path, *, mode: int = 0o666, within: HeldDirectory | None = None) -> int:
    """Open a regular file for appending and reading, made if absent; return its descriptor.

    Refuses symbolic links and anything but a regular file.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND
    return _open_regular(_place(path, within), flags, mode, is_link_good=False)


def truncate(descriptor: int, size_bytes: int) -> None:
    """Truncate an open file to `size_bytes`."""
    perform(SystemCall.TRUNCATE, os.ftruncate, descriptor, size_bytes)


def sync(descriptor: int) -> None:
    """Make what was written to an open file durable."""
    perform(SystemCall.FSYNC, os.fsync, descriptor)


def sync_data(descriptor: int) -> None:
    """Make what was written to an open file durable, and of its metadata only the size."""
    perform(SystemCall.FSYNC, getattr(os, "fdatasync", os.fsync), descriptor)  # macOS has none


def remove(path: Path) -> None:
    """Remove a file if it exists."""
    with contextlib.suppress(FileNotFoundError):
        perform(SystemCall.UNLINK, os.unlink, path)


def open_directory(path: Path) -> int:
    """Open a directory to be locked or synced; return its descriptor."""
    return perform(SystemCall.OPEN, os.open, path, _DIRECTORY)


def open_lock(path: Path, *, may_make: bool, within: HeldDirectory | None = None) -> int:
    """Open a regular file to be locked and written; return its descriptor."""
    flags = os.O_RDWR | (os.O_CREAT if may_make else 0)
    return _open_regular(_place(path, within), flags, is_link_good=False)


def open_regular(
    path: Path, *, is_link_good: bool = False, within: HeldDirectory | None = None
) -> int:
    """Open a regular file for reading, without waiting; the caller closes the descriptor.

    `is_link_good` allows a link to one, as for a file that an operator names.

    Raises:
        OSError: it cannot be opened, or is not a regular file.
    """
    return _open_regular(_place(path, within), os.O_RDONLY, is_link_good=is_link_good)


def read_bounded(path: Path, size_bytes_max: int, *, is_link_good: bool = False) -> bytes:
    """Read the whole of a regular file. `is_link_good` as in `open_regular`.

    Raises:
        OSError: it cannot be read, is not a regular file, or is larger than `size_bytes_max`.
    """
    descriptor = _open_regular((path, None), os.O_RDONLY, is_link_good=is_link_good)
    try:
        size_bytes = os.fstat(descriptor).st_size
        data = perform(SystemCall.READ, read_open, descriptor, size_bytes_max + 1, size_bytes)
    finally:
        os.close(descriptor)
    if len(data) > size_bytes_max:
        raise OSError(errno.EFBIG, f"larger than {size_bytes_max} bytes", str(path))
    return data


@contextlib.contextmanager
def recording(operation: Operation, path: Path) -> Iterator[None]:
    """Run the block as a part of this program's own work on `path`.

    Raises:
        RecordingError: the block raised OSError.
    """
    try:
        yield
    except OSError as error:
        raise RecordingError(operation, copyable(path), reason(error)) from error


def reason(error: OSError) -> str:
    """Describe an OSError without the path, which the caller names."""
    return (error.strerror or str(error)).lower()
