"""Reads an archive without trusting it: one pass, flat in memory, nothing unpacked.

It reads only what the writer would write for the same members, byte for byte: each header is made
again from the name and the size in it, members are in the order of their names, and only zeros fill
a block or make the end. So there is one archive for given members, and no name, kind, owner or size
that another program could read differently.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from enum import StrEnum
from typing import BinaryIO, Final

from fsm_orchestrator.bundle import headers
from fsm_orchestrator.bundle.headers import BLOCK_BYTES, END
from fsm_orchestrator.bundle.members import (
    ARCHIVE_BYTES_MAX,
    MEMBERS_MAX,
    NAME_BYTES_MAX,
    MemberKind,
    kind_of,
)

CHUNK_BYTES: Final = 1024**2


class ArchiveProblem(StrEnum):
    """A reason not to read an archive."""

    EMPTY = "empty"
    CUT = "cut"
    """It ends in the middle."""
    NOT_CANONICAL = "not_canonical"
    """A header, or the padding of a block, is not what the writer writes."""
    UNKNOWN_MEMBER = "unknown_member"
    ORDER = "order"
    """A member follows one with a greater name, or with the same name."""
    TOO_LARGE = "too_large"
    TOO_MANY = "too_many"
    TRAILING = "trailing"
    """Something follows the end."""


class ArchiveError(Exception):
    """An error for an archive that is not read.

    Attributes:
        problem: the reason.
        at: the byte at which it was found.
        member: the name of the member in which it was found; None if in none.
    """

    def __init__(self, problem: ArchiveProblem, at: int, member: str | None = None) -> None:
        super().__init__(problem, at, member)
        self.problem = problem
        self.at = at
        self.member = member


class ReadMember:
    """A member of an archive while it is read.

    Attributes:
        sha256: SHA-256 of its bytes, in hexadecimal; empty before all of them were read.
    """

    def __init__(self, source: _Source, name: str, kind: MemberKind, size_bytes: int) -> None:
        self.name = name
        self.kind = kind
        self.size_bytes = size_bytes
        self.sha256 = ""
        self._source = source
        self._left = size_bytes
        self._digest = hashlib.sha256()

    def chunks(self) -> Iterator[bytes]:
        """Yield its bytes, a piece at a time; `members_of` reads past those that were not taken.

        Raises:
            ArchiveError: the archive ends in the middle of it, or is wrong after it.
            OSError: the file cannot be read.
        """
        while self._left:
            chunk = self._source.take(min(CHUNK_BYTES, self._left), self.name)
            self._left -= len(chunk)
            self._digest.update(chunk)
            yield chunk
        if not self.sha256:
            self.sha256 = self._digest.hexdigest()
            self._source.skip_padding(self)

    def read(self) -> bytes:
        """Return all its bytes; only for a kind that is small."""
        return b"".join(self.chunks())


class _Source:
    """The bytes of an archive, from first to last."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.at = 0

    def take(self, size_bytes: int, member: str | None = None) -> bytes:
        """Return the next bytes, exactly as many."""
        found = self.up_to(size_bytes)
        if len(found) < size_bytes:
            raise ArchiveError(ArchiveProblem.CUT, self.at, member)
        return found

    def up_to(self, size_bytes: int) -> bytes:
        """Return the next bytes, fewer only at the end."""
        parts: list[bytes] = []
        left = size_bytes
        while left and (part := self._stream.read(left)):
            parts.append(part)
            left -= len(part)
        self.at += size_bytes - left
        return b"".join(parts)

    def skip_padding(self, member: ReadMember) -> None:
        """Read the padding of a member's last block."""
        at, wanted = self.at, headers.padding(member.size_bytes)
        if self.take(len(wanted), member.name) != wanted:
            raise ArchiveError(ArchiveProblem.NOT_CANONICAL, at, member.name)


def members_of(stream: BinaryIO) -> Iterator[ReadMember]:
    """Yield the members of an archive in their order. Each must be read before the next.

    Raises:
        ArchiveError: it is not an archive that the writer has written.
        OSError: it cannot be read.
    """
    source = _Source(stream)
    last, count = "", 0
    while (member := _next(source, last)) is not None:
        last, count = member.name, count + 1
        if count > MEMBERS_MAX:
            raise ArchiveError(ArchiveProblem.TOO_MANY, source.at, member.name)
        if source.at + member.size_bytes > ARCHIVE_BYTES_MAX:
            raise ArchiveError(ArchiveProblem.TOO_LARGE, source.at, member.name)
        yield member
        for _ in member.chunks():
            pass
    if not count:
        raise ArchiveError(ArchiveProblem.EMPTY, 0)


def _next(source: _Source, last: str) -> ReadMember | None:
    """Read the header of the next member; return None at the end, which nothing may follow."""
    at = source.at
    block = source.up_to(BLOCK_BYTES)
    if not block and not at:
        raise ArchiveError(ArchiveProblem.EMPTY, 0)
    if len(block) < BLOCK_BYTES:
        raise ArchiveError(ArchiveProblem.CUT, source.at)
    if block == END[:BLOCK_BYTES]:
        _end(source)
        return None
    raw_name, size_bytes, header = _said(source, block)
    name = raw_name.decode("ascii", "replace")
    shown = name if len(name) <= NAME_BYTES_MAX else None
    if size_bytes is None or not name.isascii() or headers.header_of(name, size_bytes) != header:
        raise ArchiveError(ArchiveProblem.NOT_CANONICAL, at, None)
    kind = kind_of(name)
    if kind is None:
        raise ArchiveError(ArchiveProblem.UNKNOWN_MEMBER, at, shown)
    if name <= last:
        raise ArchiveError(ArchiveProblem.ORDER, at, name)
    if size_bytes > kind.bytes_max:
        raise ArchiveError(ArchiveProblem.TOO_LARGE, at, name)
    return ReadMember(source, name, kind, size_bytes)


def _said(source: _Source, block: bytes) -> tuple[bytes, int | None, bytes]:
    """Return the name and size that a header gives, and the whole header."""
    if not headers.is_extended(block):
        return headers.name_in(block), headers.size_in(block), block
    at = source.at
    length = headers.size_in(block)
    if length is None or length > headers.EXTENDED_BYTES_MAX:
        raise ArchiveError(ArchiveProblem.NOT_CANONICAL, at)
    records = source.take(length)
    filled = source.take(-length % BLOCK_BYTES)
    inner = source.take(BLOCK_BYTES)
    name, size_bytes = headers.extended_in(records)
    return (
        headers.name_in(inner) if name is None else name,
        headers.size_in(inner) if size_bytes is None else size_bytes,
        block + records + filled + inner,
    )


def _end(source: _Source) -> None:
    at = source.at
    second = source.up_to(BLOCK_BYTES)
    if len(second) < BLOCK_BYTES:
        raise ArchiveError(ArchiveProblem.CUT, source.at)
    if second != END[:BLOCK_BYTES]:
        raise ArchiveError(ArchiveProblem.NOT_CANONICAL, at)
    if source.up_to(1):
        raise ArchiveError(ArchiveProblem.TRAILING, source.at - 1)
