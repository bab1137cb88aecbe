"""The contents of directories, read without following any link: bounded, and never led out.

Directories are walked by their descriptors, so that nothing replaced during the walk leads out of
them either. Only regular files are opened. Globs do not follow links in the parts that have
wildcards.
"""

from __future__ import annotations

import contextlib
import errno
import fnmatch
import os
import re
import stat
from collections.abc import Iterator
from enum import StrEnum
from functools import partial
from typing import Final, NamedTuple

FILES_MAX: Final = 100_000
DEPTH_MAX: Final = 100
TREE_BYTES_MAX: Final = 16 * 1024**3
"""The most bytes read for one digest of a directory or glob."""

_DIRECTORY_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE_FLAGS: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NOCTTY
_WILDCARDS: Final = frozenset("*?[")


class EntryKind(StrEnum):
    """The kind of an entry, links not followed."""

    FILE = "file"
    DIRECTORY = "directory"
    LINK = "link"
    SPECIAL = "special"
    """A FIFO, a socket or a device: never opened."""


class Entry(NamedTuple):
    """A directory, or something below it.

    Attributes:
        path: relative to the directory; empty for the directory itself.
        kind: its kind.
        info: its status, as lstat gives it.
        descriptor: a regular file that is open for reading, until the next entry is requested.
        target: the target of a link.
        problem: why it could not be opened or read; empty if it could.
    """

    path: str
    kind: EntryKind
    info: os.stat_result
    descriptor: int | None = None
    target: str = ""
    problem: str = ""


class TooMuchError(Exception):
    """An error for a directory with more in it than is looked at; the message names the bound."""


def within(size_bytes: int) -> int:
    """Return the size if that much is read.

    Raises:
        TooMuchError: it is more than is read.
    """
    if size_bytes > TREE_BYTES_MAX:
        raise TooMuchError(f"more than {TREE_BYTES_MAX // 1024**3} GiB")
    return size_bytes


def entries_at(root: str, files_max: int = FILES_MAX) -> Iterator[Entry]:
    """Yield what is at a path and everything below it, in the order of names; nothing if gone.

    Raises:
        OSError: the path itself cannot be looked at.
        TooMuchError: there are more than `files_max` entries, or they are nested too deeply.
    """
    try:
        info = os.lstat(root)
    except (FileNotFoundError, NotADirectoryError):
        return
    except ValueError:
        return  # no file can have such a name
    left = _Room(files_max)
    if not stat.S_ISDIR(info.st_mode):
        yield from _single(root, info, None, "")
        return
    descriptor = os.open(root, _DIRECTORY_FLAGS)
    try:
        yield Entry("", EntryKind.DIRECTORY, os.fstat(descriptor))
        yield from _below(descriptor, "", left, 1)
    finally:
        os.close(descriptor)


class _Room:
    """The number of entries that may still come."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._left = most

    def take(self, path: str, depth: int) -> None:
        self._left -= 1
        if self._left < 0:
            raise TooMuchError(f"more than {self._most} files")
        if depth > DEPTH_MAX:
            raise TooMuchError(f"more than {DEPTH_MAX} nested directories, at {path}")


def _below(directory: int, path: str, room: _Room, depth: int) -> Iterator[Entry]:
    with os.scandir(directory) as found:
        names = []
        for one in found:
            room.take(path, depth)
            names.append(one.name)
    for name in sorted(names, key=os.fsencode):
        own = f"{path}/{name}" if path else name
        try:
            info = os.stat(name, dir_fd=directory, follow_symlinks=False)
        except FileNotFoundError:
            continue  # gone since it was listed
        if not stat.S_ISDIR(info.st_mode):
            yield from _single(name, info, directory, own)
            continue
        try:
            inner = os.open(name, _DIRECTORY_FLAGS, dir_fd=directory)
        except OSError as error:
            yield Entry(own, EntryKind.DIRECTORY, info, problem=error.strerror or "unreadable")
            continue
        try:
            yield Entry(own, EntryKind.DIRECTORY, os.fstat(inner))
            yield from _below(inner, own, room, depth + 1)
        finally:
            os.close(inner)


def _single(name: str, info: os.stat_result, directory: int | None, path: str) -> Iterator[Entry]:
    """Yield the one entry of what is not a directory; a file is open until the next."""
    try:
        if stat.S_ISLNK(info.st_mode):
            target = os.readlink(name, dir_fd=directory)
            yield Entry(path, EntryKind.LINK, info, target=target)
            return
        if not stat.S_ISREG(info.st_mode):
            yield Entry(path, EntryKind.SPECIAL, info)
            return
        descriptor = os.open(name, _FILE_FLAGS, dir_fd=directory)
    except OSError as error:
        yield Entry(path, EntryKind.FILE, info, problem=error.strerror or "unreadable")
        return
    try:
        opened = os.fstat(descriptor)
        if stat.S_ISREG(opened.st_mode):
            yield Entry(path, EntryKind.FILE, opened, descriptor)
        else:
            yield Entry(path, EntryKind.SPECIAL, opened)
    finally:
        os.close(descriptor)


def matches_of(pattern: str, files_max: int = FILES_MAX) -> list[str]:
    """Return the paths that match an absolute glob and are not directories, sorted by bytes.

    `**` stands for any number of directories. Names that begin with a dot match as well.

    Raises:
        OSError: a directory on the way cannot be read.
        TooMuchError: there are more than `files_max` entries to look at.
    """
    parts = [part for part in pattern.split("/") if part]
    fixed = 0
    while fixed < len(parts) - 1 and _WILDCARDS.isdisjoint(parts[fixed]):
        fixed += 1
    root = "/" + "/".join(parts[:fixed])
    found = set(_matching(root, parts[fixed:], _Room(files_max), 1))
    return sorted(found, key=os.fsencode)


def fixed_part(pattern: str) -> str:
    """Return the directory that contains everything that can match a glob."""
    parts = pattern.split("/")
    fixed = next(
        (at for at, part in enumerate(parts) if not _WILDCARDS.isdisjoint(part)), len(parts) - 1
    )
    return "/".join(parts[:fixed]) or "/"


def _matching(directory: str, parts: list[str], room: _Room, depth: int) -> Iterator[str]:
    part, *rest = parts
    if part == "**":
        yield from _matching(directory, rest or ["*"], room, depth)
        for name in _names(directory, room, depth, directories=True):
            yield from _matching(os.path.join(directory, name), parts, room, depth + 1)
        return
    fits = partial(re.compile(fnmatch.translate(part)).match)
    if rest:
        for name in _names(directory, room, depth, directories=True):
            if fits(name):
                yield from _matching(os.path.join(directory, name), rest, room, depth + 1)
        return
    for name in _names(directory, room, depth, directories=False):
        if fits(name):
            yield os.path.join(directory, name)


def _names(directory: str, room: _Room, depth: int, *, directories: bool) -> Iterator[str]:
    """Yield the names in a directory: those of directories, or of everything else."""
    with contextlib.ExitStack() as stack:
        try:
            found = stack.enter_context(os.scandir(directory))
        except OSError as error:
            if error.errno in {errno.ENOENT, errno.ENOTDIR}:
                return
            raise
        listed = []
        for one in found:
            room.take(directory, depth)
            if one.is_dir(follow_symlinks=False) is directories:
                listed.append(one.name)
    yield from listed
