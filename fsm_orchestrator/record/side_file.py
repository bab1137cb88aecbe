"""The file of old invocations: added to before the checkpoint drops them, then checked by its mark.

A crash between the two leaves lines that no mark counts: they are cut off when the next ones are
added. A file that was not touched since all of it was checked is not read again, except for its
last line.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from fsm_orchestrator.constants import INVOCATIONS_FILE
from fsm_orchestrator.disk import files, moving
from fsm_orchestrator.disk.held import HeldDirectory
from fsm_orchestrator.model import declared
from fsm_orchestrator.record.earlier import Earlier, MovedInvocation, SideMark
from fsm_orchestrator.record.events_mark import CHUNK_BYTES, line_before
from fsm_orchestrator.stages.artifact_snapshot import file_clock_ns, next_tick_ns
from fsm_orchestrator.text.hidden import copyable

_OURS: Final = b'{"invocation":'
_SECOND_NS: Final = 1_000_000_000


class Checked(NamedTuple):
    """The part that is kept of old invocations, checked against their file.

    Attributes:
        earlier: that part, with a digest that shows the next reader that the file was checked.
        problem: what happened to the file, as text for people; None if nothing did.
    """

    earlier: Earlier | None
    problem: str | None = None


def append(
    home: HeldDirectory, mark: SideMark | None, moved: Iterable[MovedInvocation]
) -> SideMark:
    """Add lines durably after the marked ones; return the mark of all.

    Raises:
        OSError: they could not be added, or the file is not the one that is marked.
    """
    path = home.path / INVOCATIONS_FILE
    moving.take_own_copy(INVOCATIONS_FILE, home)
    descriptor = files.open_append(path, mode=0o600, within=home)
    try:
        size_bytes = 0 if mark is None else mark.size_bytes
        found_bytes = os.fstat(descriptor).st_size
        if found_bytes < size_bytes:
            raise OSError(5, "the file is shorter than its record says", str(path))
        if found_bytes > size_bytes:
            begins = os.pread(descriptor, len(_OURS), size_bytes)
            if begins != _OURS[: len(begins)]:
                raise OSError(17, "somebody else has written into it", str(path))
            files.truncate(descriptor, size_bytes)
        lines = [one.model_dump_json().encode() for one in moved]
        files.write_all(descriptor, b"".join(line + b"\n" for line in lines))
        files.sync(descriptor)
        next_tick_ns()  # any later write leaves another time
        status = os.fstat(descriptor)
    finally:
        os.close(descriptor)
    if mark is None:
        files.sync_directory(path.parent, within=home)
    digest = "" if mark is None else mark.sha256
    for line in lines:
        digest = hashlib.sha256(digest.encode() + line).hexdigest()
    added = SideMark(
        lines=len(lines) + (0 if mark is None else mark.lines),
        size_bytes=size_bytes + sum(len(line) + 1 for line in lines),
        sha256=digest,
        seen=None,
    )
    return added.model_copy(update={"seen": _seen(added, status)})


def checked(directory: Path, earlier: Earlier | None) -> Checked:
    """Check what a record keeps of its old invocations against their file."""
    if earlier is None:
        return Checked(None)
    path, mark = directory / INVOCATIONS_FILE, earlier.file
    last = earlier.totals.last_number
    has = f"the record of invocations 1 to {last} is in it, in {mark.size_bytes} bytes"
    try:
        descriptor = files.open_regular(path)
    except FileNotFoundError:
        return Checked(earlier, f"{copyable(path)} is gone: {has}")
    except OSError as error:
        return Checked(earlier, f"cannot read {copyable(path)}: {files.reason(error)}")
    try:
        status = os.fstat(descriptor)
        seen = _seen(mark, status)
        if status.st_size < mark.size_bytes:
            return Checked(earlier, f"{copyable(path)} was cut to {status.st_size} bytes: {has}")
        if seen is None or seen != mark.seen:
            if _chained(descriptor, mark.size_bytes) != (mark.lines, mark.sha256):
                return Checked(earlier, f"{copyable(path)} was changed: {has}")
            if seen != _seen(mark, os.fstat(descriptor)):  # it is being written to
                seen = None
        line = line_before(descriptor, mark.size_bytes)
    except OSError as error:
        return Checked(earlier, f"cannot read {copyable(path)}: {files.reason(error)}")
    finally:
        os.close(descriptor)
    try:
        moved = MovedInvocation.model_validate_json(line)
    except declared.ValidationError:
        return Checked(earlier, f"{copyable(path)} was changed: its last line is not an invocation")
    if moved.totals != earlier.totals or moved.invocation.last_number != last:
        return Checked(
            earlier, f"earlier.totals: is not what the last line of {copyable(path)} says"
        )
    known = mark.model_copy(update={"seen": seen})
    return Checked(earlier.model_copy(update={"file": known}))


def problem_in(lines: Iterable[bytes], earlier: Earlier) -> str | None:
    """Return what is wrong with the lines of the whole file, as text for people, or None."""
    mark, last, count, size_bytes, digest = earlier.file, b"", 0, 0, ""
    for line in lines:
        last, count, size_bytes = line, count + 1, size_bytes + len(line)
        digest = hashlib.sha256(digest.encode() + line.rstrip(b"\n")).hexdigest()
    if (count, size_bytes, digest) != (mark.lines, mark.size_bytes, mark.sha256):
        return "it is not the file that the checkpoint marks"
    try:
        moved = MovedInvocation.model_validate_json(last)
    except declared.ValidationError:
        return "its last line is not an invocation"
    if moved.totals != earlier.totals:
        return "its last line has other totals than the checkpoint"
    return None


def _seen(mark: SideMark, status: os.stat_result) -> str | None:
    """Return a digest that recognizes an untouched file, or None if its times cannot show that.

    They cannot while a write would leave the same ones: within a tick of the clock that stamps
    files, or where that clock counts only seconds.
    """
    times = status.st_mtime_ns, status.st_ctime_ns
    if all(one % _SECOND_NS == 0 for one in times) or max(times) >= file_clock_ns():
        return None
    facts = (mark.lines, mark.size_bytes, mark.sha256, status.st_ino, status.st_size, *times)
    return hashlib.sha256(" ".join(map(str, facts)).encode()).hexdigest()


def _chained(descriptor: int, size_bytes: int) -> tuple[int, str]:
    """Return how many lines there are up to an offset, and the last digest of their chain."""
    lines, digest = 0, ""
    current = hashlib.sha256()
    for chunk in _chunks(descriptor, size_bytes):
        *ended, rest = chunk.split(b"\n")
        for line in ended:
            current.update(line)
            lines, digest = lines + 1, current.hexdigest()
            current = hashlib.sha256(digest.encode())
        current.update(rest)
    return lines, digest


def _chunks(descriptor: int, size_bytes: int) -> Iterator[bytes]:
    at = 0
    while at < size_bytes and (
        chunk := os.pread(descriptor, min(CHUNK_BYTES, size_bytes - at), at)
    ):
        at += len(chunk)
        yield chunk
