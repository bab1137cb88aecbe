"""Finds the files that processes could still write to: open or mapped for writing. Linux.

A file is identified by device and inode, whatever name it was opened by. Opens none of them; a
process that cannot be inspected has none here.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import stat
from collections.abc import Iterable, Iterator
from typing import Final

FileId = tuple[int, int]
"""The device and inode of a file."""
DESCRIPTORS_MAX: Final = 65_536
MAPPINGS_MAX: Final = 65_536
_MAPPING_FIELDS: Final = 6  # address, permissions, offset, device, inode, path


def writable_files(pids: Iterable[int]) -> frozenset[FileId]:
    """Return the regular files that any of the processes could write to."""
    found: set[FileId] = set()
    for pid in pids:
        for look in (_open(pid), _mapped(pid)):
            with contextlib.suppress(OSError):  # gone, or cannot be inspected
                found.update(look)
    return frozenset(found)


def _open(pid: int) -> Iterator[FileId]:
    with os.scandir(f"/proc/{pid}/fd") as entries:
        for entry in itertools.islice(entries, DESCRIPTORS_MAX):
            with contextlib.suppress(OSError, ValueError, IndexError):  # closed since
                info = os.stat(entry.path)
                if stat.S_ISREG(info.st_mode) and _is_writable(pid, entry.name):
                    yield info.st_dev, info.st_ino


def _is_writable(pid: int, descriptor: str) -> bool:
    """Return whether a descriptor was opened for writing, by `flags:` and an octal number."""
    with open(f"/proc/{pid}/fdinfo/{descriptor}", "rb") as file:
        words = file.read().split()
    flags = int(words[words.index(b"flags:") + 1], 8)
    return flags & os.O_ACCMODE in {os.O_WRONLY, os.O_RDWR}


def _mapped(pid: int) -> Iterator[FileId]:
    with open(f"/proc/{pid}/maps", "rb") as file:
        for line in itertools.islice(file, MAPPINGS_MAX):
            fields = line.rstrip(b"\n").split(maxsplit=_MAPPING_FIELDS - 1)
            if len(fields) == _MAPPING_FIELDS and fields[1][1:2] + fields[1][3:4] == b"ws":
                yield _mapped_file(pid, fields)


def _mapped_file(pid: int, fields: list[bytes]) -> FileId:
    """Return the file of a mapping: the list itself may name the device below an overlay."""
    inode = int(fields[4])
    for path in (f"/proc/{pid}/map_files/".encode() + fields[0], fields[5]):
        with contextlib.suppress(OSError):
            info = os.stat(path)
            if info.st_ino == inode:
                return info.st_dev, info.st_ino
    major, _, minor = fields[3].partition(b":")
    return os.makedev(int(major, 16), int(minor, 16)), inode
