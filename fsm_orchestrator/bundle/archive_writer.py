"""Writes the archive: members in the order of their names, a piece at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable

from fsm_orchestrator.bundle.headers import END, header_of, padding


class OtherSizeError(Exception):
    """An error for a member without its announced size: its file has changed in the meantime."""


class ArchiveWriter:
    """A writer of members, then the end. Holds one piece of one member at a time."""

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._write = write
        self._last = ""

    def add(self, name: str, size_bytes: int, chunks: Iterable[bytes]) -> str:
        """Write a member after those with lesser names; return the SHA-256 of its bytes.

        Raises:
            OtherSizeError: it has more or fewer bytes.
        """
        if name <= self._last:
            raise ValueError(f"{name} after {self._last}")
        self._last = name
        self._write(header_of(name, size_bytes))
        digest, left = hashlib.sha256(), size_bytes
        for chunk in chunks:
            left -= len(chunk)
            if left < 0:
                raise OtherSizeError(name)
            digest.update(chunk)
            self._write(chunk)
        if left:
            raise OtherSizeError(name)
        self._write(padding(size_bytes))
        return digest.hexdigest()

    def end(self) -> None:
        """Write the end of the archive."""
        self._write(END)
