"""Duplicates files of one record directory in another, by a link or a durable copy."""

from __future__ import annotations

import errno
import os
import stat
from typing import Final

from fsm_orchestrator.disk import files
from fsm_orchestrator.disk.files import SystemCall
from fsm_orchestrator.disk.held import HeldDirectory
from fsm_orchestrator.disk.moving import COPY_BYTES, copy_open

_NO_LINKS: Final = frozenset(
    {errno.EPERM, errno.EXDEV, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EINVAL}
)
"""The errors of a file system that has no hard links, or allows none to this file."""


def link(name: str, source: HeldDirectory, destination: HeldDirectory) -> None:
    """Link a regular file under its name, or copy it where there are no hard links.

    A file that is not regular, or is gone by now, is left out. An existing one stays.

    Raises:
        OSError: the link or the copy cannot be made.
    """
    both = {"src_dir_fd": source.descriptor, "dst_dir_fd": destination.descriptor}
    if not _is_regular(name, source):
        return
    try:
        files.perform(SystemCall.LINK, os.link, name, name, follow_symlinks=False, **both)
    except (FileNotFoundError, FileExistsError):
        return
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        copy(name, source, destination)


def copy(
    name: str, source: HeldDirectory, destination: HeldDirectory, *, whole_lines: bool = False
) -> None:
    """Copy a regular file durably to a free name; the caller syncs the directory.

    A file that is not regular, or is gone by now, is left out. `whole_lines` leaves out anything
    after the last newline: its writer has not finished that line.

    Raises:
        OSError: it cannot be copied.
    """
    if not _is_regular(name, source):
        return
    try:
        reader = files.open_regular(source.path / name, within=source)
    except FileNotFoundError:
        return
    try:
        size_bytes = os.fstat(reader).st_size
        copied = _end_of_lines(reader, size_bytes) if whole_lines else size_bytes
        copy_open(reader, name, destination, copied)
    finally:
        os.close(reader)


def _is_regular(name: str, directory: HeldDirectory) -> bool:
    try:
        found = os.stat(name, dir_fd=directory.descriptor, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return stat.S_ISREG(found.st_mode)


def _end_of_lines(descriptor: int, size_bytes: int) -> int:
    """Return how many bytes at the beginning of a file are whole lines."""
    end = size_bytes
    while end > 0:
        start = max(0, end - COPY_BYTES)
        at = os.pread(descriptor, end - start, start).rfind(b"\n")
        if at >= 0:
            return start + at + 1
        end = start
    return 0
