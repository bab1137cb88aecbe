"""Moves a name from one directory into another, also to another file system.

An overlay counts each of its layers as one: a directory from a lower layer cannot be renamed.
"""

from __future__ import annotations

import errno
import os
import stat
import sys

from fsm_orchestrator.disk import files
from fsm_orchestrator.disk.files import SystemCall
from fsm_orchestrator.disk.held import HeldDirectory
from fsm_orchestrator.disk.kinds import kind_of
from fsm_orchestrator.text.hidden import copyable

COPY_BYTES = 1024 * 1024


def move(name: str, source: HeldDirectory, destination: HeldDirectory) -> None:
    """Move `name`, a file of any kind, into a directory that must not have that name.

    If it cannot be renamed there, it is copied, and removed once the copy is durable.

    Raises:
        OSError: it cannot be moved; it is still there, and nothing was overwritten.
    """
    source.confirm()
    if _status(name, destination) is not None:
        raise FileExistsError(errno.EEXIST, "already there", str(destination.path / name))
    try:
        _rename(name, source, name, destination)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        _move_as_copy(name, source, destination)


def copy(name: str, source: HeldDirectory, destination: HeldDirectory) -> None:
    """Copy `name`, a file of any kind, durably into a directory, unless that has it already.

    Raises:
        OSError: it cannot be copied; nothing was overwritten.
    """
    source.confirm()
    if _status(name, destination) is not None:
        return  # copied by a start that was cut short
    _copy_into_place(name, source, destination)


def take_own_copy(name: str, directory: HeldDirectory) -> None:
    """Replace a file that has another name elsewhere (a hard link) with a copy that may be changed.

    Raises:
        OSError: it cannot be copied.
    """
    found = _status(name, directory)
    if found is None or not stat.S_ISREG(found.st_mode) or found.st_nlink == 1:
        return
    temporary = files.temporary_name(name)
    try:
        _copy_file(name, directory, temporary, directory)
        both = {"src_dir_fd": directory.descriptor, "dst_dir_fd": directory.descriptor}
        files.perform(SystemCall.RENAME, os.replace, temporary, name, **both)
    except BaseException:
        _remove(temporary, directory)
        raise


def _status(name: str, directory: HeldDirectory) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=directory.descriptor, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _rename(old: str, source: HeldDirectory, new: str, destination: HeldDirectory) -> None:
    both = {"src_dir_fd": source.descriptor, "dst_dir_fd": destination.descriptor}
    files.perform(SystemCall.RENAME, os.rename, old, new, **both)


def _move_as_copy(name: str, source: HeldDirectory, destination: HeldDirectory) -> None:
    _copy_into_place(name, source, destination)
    files.sync(destination.descriptor)
    _remove(name, source)


def _copy_into_place(name: str, source: HeldDirectory, destination: HeldDirectory) -> None:
    """Copy under a temporary name, and rename the copy to its name once it is complete."""
    temporary = files.temporary_name(name)
    try:
        _copy(name, source, temporary, destination)
        _rename(temporary, destination, name, destination)
    except BaseException:
        _remove(temporary, destination)
        raise


def _copy(name: str, source: HeldDirectory, new: str, destination: HeldDirectory) -> None:
    """Copy a file, a link or a whole directory durably; the caller syncs its name."""
    found = os.stat(name, dir_fd=source.descriptor, follow_symlinks=False)
    if stat.S_ISDIR(found.st_mode):
        with (
            files.below(source, name, may_make=False) as inner,
            files.below(destination, new) as copy,
        ):
            for entry in os.listdir(inner.descriptor):
                _copy(entry, inner, entry, copy)
            os.fchmod(copy.descriptor, stat.S_IMODE(found.st_mode))
            files.sync(copy.descriptor)
    elif stat.S_ISLNK(found.st_mode):
        target = os.readlink(name, dir_fd=source.descriptor)
        os.symlink(target, new, dir_fd=destination.descriptor)
    elif stat.S_ISREG(found.st_mode):
        _copy_file(name, source, new, destination)
    else:
        why = f"{copyable(source.path / name)} is {kind_of(found)}, which is not copied"
        raise OSError(errno.EXDEV, why, name)


def _copy_file(name: str, source: HeldDirectory, new: str, destination: HeldDirectory) -> None:
    reader = files.open_regular(source.path / name, within=source)
    try:
        copy_open(reader, new, destination)
    finally:
        os.close(reader)


def copy_open(
    reader: int, name: str, destination: HeldDirectory, bytes_max: int = sys.maxsize
) -> None:
    """Copy an open file durably to a free name, with its mode and times.

    Raises:
        OSError: it cannot be copied.
    """
    found = os.fstat(reader)
    writer = files.make_new(destination.path / name, within=destination, mode=0o600)
    try:
        left = bytes_max
        while left and (data := os.read(reader, min(left, COPY_BYTES))):
            files.write_all(writer, data)
            left -= len(data)
        os.fchmod(writer, stat.S_IMODE(found.st_mode))
        os.utime(writer, ns=(found.st_atime_ns, found.st_mtime_ns))
        files.sync(writer)
    finally:
        os.close(writer)


def _remove(name: str, directory: HeldDirectory) -> None:
    found = _status(name, directory)
    if found is None:
        return
    if not stat.S_ISDIR(found.st_mode):
        os.unlink(name, dir_fd=directory.descriptor)
        return
    import shutil  # noqa: PLC0415 - rare, and it loads every packer

    shutil.rmtree(name, dir_fd=directory.descriptor)
