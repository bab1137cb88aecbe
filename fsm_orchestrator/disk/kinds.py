"""The kinds of files: only a regular file is ever opened and read."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from pathlib import Path
from typing import Final

_KINDS: Final = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}

_FIRST_BLOCK_BYTES: Final = 32 * 1024
_BLOCK_BYTES_MAX: Final = 1024 * 1024


def kind_of(status: os.stat_result) -> str | None:
    """Return the kind of a file as text, or None for a regular file."""
    kind = stat.S_IFMT(status.st_mode)
    return None if kind == stat.S_IFREG else _KINDS.get(kind, "of an unknown kind")


def refuse_odd_place(path: Path) -> None:
    """Raise OSError if something other than a regular file is where one is to be written.

    Replacing a FIFO or a device would take it from its users.
    """
    with contextlib.suppress(FileNotFoundError):
        refuse_other_kinds(os.stat(path), path)


def refuse_other_kinds(status: os.stat_result, name: Path | str) -> None:
    """Raise OSError unless the status is that of a regular file."""
    kind = kind_of(status)
    if kind is None:
        return
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, f"is {kind}", str(name))
    if stat.S_ISLNK(status.st_mode):
        raise OSError(errno.ELOOP, f"is {kind}, which is not followed", str(name))
    raise OSError(errno.EINVAL, f"is {kind}, not a regular file", str(name))


def confirm(descriptor: int, name: Path | str) -> None:
    """Check an opened file: close it and raise OSError unless it is a regular file."""
    try:
        refuse_other_kinds(os.fstat(descriptor), name)
    except OSError:
        os.close(descriptor)
        raise


def read_open(descriptor: int, size_bytes_max: int, size_bytes: int = 0) -> bytes:
    """Read an open file from its position to its end, at most `size_bytes_max`, without a stream.

    `size_bytes` is its size, if known: this saves the read that finds the end.
    """
    blocks, have, asked_bytes = [], 0, _FIRST_BLOCK_BYTES
    while have < size_bytes_max:
        block = os.read(descriptor, min(size_bytes_max - have, asked_bytes))
        blocks.append(block)
        have += len(block)
        if not block or have == size_bytes:
            break
        asked_bytes = _BLOCK_BYTES_MAX
    return b"".join(blocks)
