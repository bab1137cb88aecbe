"""The sources of members: the bytes are read once to be listed, once to be kept.

No bundle is made if a file is not the same when it is read again.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from fsm_orchestrator.bundle.members import MemberKind, kind_of
from fsm_orchestrator.bundle.statement import ListedMember
from fsm_orchestrator.disk import files
from fsm_orchestrator.errors import CommandError
from fsm_orchestrator.text.digest import sha256_of
from fsm_orchestrator.text.hidden import copyable
from fsm_orchestrator.text.units import exact_size

_CHUNK_BYTES: Final = 1024**2
Look = Callable[[Path], Callable[[bytes], object]]
"""A function that returns, for a file, what gets every piece of it on the first reading."""


def unseen(_path: Path) -> Callable[[bytes], object]:
    """Look at nothing."""
    return lambda _piece: None


class Source(NamedTuple):
    """A member before it is written.

    Attributes:
        data: its bytes, if they are held; else they are read from `path`.
        is_link_good: True if `path` may be a link to the file.
    """

    name: str
    kind: MemberKind
    sha256: str
    size_bytes: int
    data: bytes | None = None
    path: Path | None = None
    is_link_good: bool = False

    @property
    def listed(self) -> ListedMember:
        """The statement's entry for it."""
        return ListedMember(
            name=self.name, kind=self.kind, sha256=self.sha256, sizeBytes=self.size_bytes
        )

    def chunks(self) -> Iterator[bytes]:
        """Yield its bytes.

        Raises:
            CommandError: its file can no longer be read.
        """
        if self.path is None:
            yield self.data or b""
            return
        try:
            descriptor = files.open_regular(self.path, is_link_good=self.is_link_good)
            try:
                yield from _pieces(descriptor, self.size_bytes)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise CommandError(
                f"cannot read {copyable(self.path)}: {files.reason(error)}"
            ) from None


def held(name: str, data: bytes) -> Source:
    """Return a member whose bytes are held."""
    kind = kind_of(name)
    if kind is None:
        raise ValueError(name)
    if len(data) > kind.bytes_max:
        raise _too_large(name, kind)
    return Source(name, kind, sha256_of(data), len(data), data)


def from_file(
    name: str,
    path: Path,
    look: Look,
    *,
    is_link_good: bool = False,
    size_bytes_max: int | None = None,
) -> Source:
    """Return a member for a file, or for the beginning of one, digested.

    Raises:
        OSError: it cannot be read.
        CommandError: it is larger than a bundle takes.
    """
    kind = kind_of(name)
    if kind is None:
        raise ValueError(name)
    descriptor = files.open_regular(path, is_link_good=is_link_good)
    try:
        size_bytes = os.fstat(descriptor).st_size
        if size_bytes_max is not None:
            size_bytes = min(size_bytes, size_bytes_max)
        if size_bytes > kind.bytes_max:
            raise _too_large(str(path), kind)
        digest, length, seen = hashlib.sha256(), 0, look(path)
        for chunk in _pieces(descriptor, size_bytes):
            digest.update(chunk)
            seen(chunk)
            length += len(chunk)
    finally:
        os.close(descriptor)
    return Source(name, kind, digest.hexdigest(), length, path=path, is_link_good=is_link_good)


def _pieces(descriptor: int, size_bytes: int) -> Iterator[bytes]:
    """Yield that many bytes of an open file, fewer only if it has no more."""
    while size_bytes and (chunk := os.read(descriptor, min(_CHUNK_BYTES, size_bytes))):
        size_bytes -= len(chunk)
        yield chunk


def _too_large(name: str, kind: MemberKind) -> CommandError:
    return CommandError(
        f"{copyable(name)} is larger than a bundle takes: {exact_size(kind.bytes_max)}"
    )
