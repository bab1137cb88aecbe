"""Digests of files and of directory trees: over a sorted list, bounded, interruptible."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

_READ_BYTES: Final = 1024**2


class Listed(NamedTuple):
    """A file in a list that is digested."""

    path: str
    sha256: str
    size_bytes: int


def digest_of(
    descriptor: int,
    between: Callable[[], object],
    chunk: Callable[[bytes], object] = lambda _data: None,
) -> tuple[str, int]:
    """Return the SHA-256 and the length of what can be read from a descriptor.

    `between` is called before each MiB, and an exception from it ends the reading; `chunk` gets
    each.
    """
    digest, length = hashlib.sha256(), 0
    while True:
        between()
        data = os.read(descriptor, _READ_BYTES)
        if not data:
            return digest.hexdigest(), length
        digest.update(data)
        chunk(data)
        length += len(data)


def list_digest(files: Iterable[Listed]) -> str:
    """Return the SHA-256 of a list of files: of their digests and paths, sorted by path.

    The list has one line per file as sha256sum(1) writes it, ended by a zero byte, just as
    `sha256sum -z` of the sorted paths prints it.
    """
    digest = hashlib.sha256()
    for one in sorted(files, key=lambda file: os.fsencode(file.path)):
        digest.update(f"{one.sha256}  ".encode() + os.fsencode(one.path) + b"\0")
    return digest.hexdigest()


def shown_path(path: str) -> str:
    """Return a path in the form that a record can hold: bytes that are not UTF-8 are escaped."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
