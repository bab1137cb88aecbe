"""A bundle that was read once from its first byte to its last: its members, and where they are.

Small members are held, within a bound for all of them together; large ones are only digested.
Others may change the file in the meantime: what is read again is digested again.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple, cast

from fsm_orchestrator.bundle.archive_reader import ArchiveError, ReadMember, members_of
from fsm_orchestrator.bundle.members import MemberKind
from fsm_orchestrator.disk import files
from fsm_orchestrator.errors import UsageError
from fsm_orchestrator.record.events_mark import LINE_BYTES_MAX
from fsm_orchestrator.text.hidden import copyable

HELD_BYTES_MAX: Final = 256 * 1024**2
"""The most bytes of small members that are held, all together."""
CHUNK_BYTES: Final = 1024**2
_LARGE: Final = frozenset(
    {
        *(MemberKind.EVENTS, MemberKind.INVOCATIONS, MemberKind.LOG),
        *(MemberKind.ARTIFACT, MemberKind.EVIDENCE),
    }
)
"""The kinds that are not held, but read again where they are needed."""


class ChangedMeanwhileError(Exception):
    """An error for a file that was changed while it was read."""


class MemberFacts(NamedTuple):
    """The facts about a member.

    Attributes:
        begins: where its bytes begin in the archive.
        data: all its bytes; None if they are not held.
    """

    name: str
    kind: MemberKind
    size_bytes: int
    sha256: str
    begins: int
    data: bytes | None


class OpenedBundle:
    """The members of an archive, by their names.

    Attributes:
        path: the absolute path of the file.
        members: the members, as far as the archive could be read.
        error: why it could not be read to its end; None if it could.
        sha256: SHA-256 of the whole file; None if it could not be read.
        is_too_large: True if it has more small members than are held.
    """

    def __init__(self, stream: BinaryIO, path: str) -> None:
        """Read an archive from its start; the stream must be seekable."""
        self.path = path
        self.members: dict[str, MemberFacts] = {}
        self.error: ArchiveError | None = None
        self.is_too_large = False
        self._stream = stream
        digested = _Digested(stream)
        held_bytes = 0
        try:
            for member in members_of(cast("BinaryIO", digested)):
                begins = digested.at
                is_held = member.kind not in _LARGE
                held_bytes += member.size_bytes if is_held else 0
                self.is_too_large = held_bytes > HELD_BYTES_MAX
                if self.is_too_large:
                    break
                self._take(member, begins, is_held=is_held)
        except ArchiveError as error:
            self.error = error
        is_whole = self.error is None and not self.is_too_large
        self.sha256 = digested.digest.hexdigest() if is_whole else None

    def _take(self, member: ReadMember, begins: int, *, is_held: bool) -> None:
        data = member.read() if is_held else None
        for _ in () if is_held else member.chunks():
            pass
        self.members[member.name] = MemberFacts(
            member.name, member.kind, member.size_bytes, member.sha256, begins, data
        )

    def data_of(self, name: str) -> bytes | None:
        """Return all of a member that is held, or None if there is none."""
        found = self.members.get(name)
        return None if found is None else found.data

    def chunks(self, name: str) -> Iterator[bytes]:
        """Yield the bytes of a member, a piece at a time.

        Raises:
            ChangedMeanwhileError: they are not those that were read before; raised after the last.
        """
        member, digest = self.members[name], hashlib.sha256()
        at, left = member.begins, member.size_bytes
        while left:
            self._stream.seek(at)
            chunk = self._stream.read(min(CHUNK_BYTES, left))
            if not chunk:
                break
            at, left = at + len(chunk), left - len(chunk)
            digest.update(chunk)
            yield chunk
        if digest.hexdigest() != member.sha256:
            raise ChangedMeanwhileError

    def end_of(self, name: str, size_bytes: int) -> bytes:
        """Return the last bytes of a member, as they are in the file now."""
        member = self.members[name]
        taken = min(size_bytes, member.size_bytes)
        self._stream.seek(member.begins + member.size_bytes - taken)
        return self._stream.read(taken)

    def whole(self, name: str) -> bytes:
        """Return all of a member that is not held, but of a small kind.

        Raises:
            ChangedMeanwhileError: it is not what was read before.
        """
        return b"".join(self.chunks(name))

    def lines(self, name: str) -> Iterator[bytes]:
        """Yield the lines of a member with their ends; the last one may have none.

        Only a part is yielded of a line that is longer than any that this program writes.

        Raises:
            ChangedMeanwhileError: they are not what was read before.
        """
        rest = b""
        for chunk in self.chunks(name):
            *whole, rest = (rest + chunk).split(b"\n")
            for line in whole:
                yield line + b"\n"
            if len(rest) > LINE_BYTES_MAX:
                break
        if rest:
            yield rest

    def of_kind(self, kind: MemberKind) -> Iterator[MemberFacts]:
        """Yield the members of a kind, in order."""
        return (one for one in self.members.values() if one.kind is kind)


class _Digested(io.RawIOBase):
    """A stream that digests what is read from it."""

    def __init__(self, stream: BinaryIO) -> None:
        self._source = stream
        self.digest = hashlib.sha256()
        self.at = 0

    def read(self, size: int = -1, /) -> bytes:
        """Return the next bytes."""
        data = self._source.read(size)
        self.digest.update(data)
        self.at += len(data)
        return data


def open_file(path: Path) -> BinaryIO:
    """Open the file of a bundle; the caller closes it.

    Raises:
        UsageError: there is no file that can be read.
    """
    try:
        return os.fdopen(files.open_regular(path, is_link_good=True), "rb")
    except OSError as error:
        raise UsageError(
            f"cannot read {copyable(path)}: {files.reason(error)}", remedy="name a bundle"
        ) from None
