"""The file of old invocations: added to before the checkpoint drops them, then checked by its mark.

A crash between the two leaves lines that no mark counts: they are cut when the next ones are added.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from fsm_orchestrator.constants import INVOCATIONS_FILE
from fsm_orchestrator.disk import files, moving
from fsm_orchestrator.disk.held import HeldDirectory
from fsm_orchestrator.model import declared
from fsm_orchestrator.record.earlier import Earlier, MovedInvocation, SideMark
from fsm_orchestrator.record.events_mark import CHUNK_BYTES, line_before

_OURS: Final = b'{"invocation":'


def append(
    home: HeldDirectory, mark: SideMark | None, moved: Iterable[MovedInvocation]
) -> SideMark:
    """Add lines durably behind what is marked; return the mark of all.

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
    finally:
        os.close(descriptor)
    if mark is None:
        files.sync_directory(path.parent, within=home)
    digest = "" if mark is None else mark.sha256
    for line in lines:
        digest = hashlib.sha256(digest.encode() + line).hexdigest()
    return SideMark(
        lines=len(lines) + (0 if mark is None else mark.lines),
        size_bytes=size_bytes + sum(len(line) + 1 for line in lines),
        sha256=digest,
    )


def problem_of(directory: Path, earlier: Earlier | None) -> str | None:
    """Return what became of the old invocations of a record, for a person; None if nothing did."""
    if earlier is None:
        return None
    path, mark = directory / INVOCATIONS_FILE, earlier.file
    last = earlier.totals.last_number
    has = f"the record of invocations 1 to {last} is in it, in {mark.size_bytes} bytes"
    try:
        descriptor = files.open_regular(path)
    except FileNotFoundError:
        return f"{path} is gone: {has}"
    except OSError as error:
        return f"cannot read {path}: {files.reason(error)}"
    try:
        size_bytes = os.fstat(descriptor).st_size
        if size_bytes < mark.size_bytes:
            return f"{path} was cut to {size_bytes} bytes: {has}"
        if _chained(descriptor, mark.size_bytes) != (mark.lines, mark.sha256):
            return f"{path} was changed: {has}"
        line = line_before(descriptor, mark.size_bytes)
    except OSError as error:
        return f"cannot read {path}: {files.reason(error)}"
    finally:
        os.close(descriptor)
    try:
        moved = MovedInvocation.model_validate_json(line)
    except declared.ValidationError:
        return f"{path} was changed: its last line is no invocation"
    if moved.totals != earlier.totals or moved.invocation.last_number != last:
        return f"earlier.totals: is not what the last line of {path} says"
    return None


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
