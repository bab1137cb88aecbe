"""The checkpoint's mark of how far the events file had come, and the file's losses since then.

The mark covers what was durable: after a power cut the file may lack what was added later, never
what is marked. Only reads.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, NamedTuple

from fsm_orchestrator.constants import BYTES_MAX
from fsm_orchestrator.disk import files
from fsm_orchestrator.disk.held import HeldDirectory
from fsm_orchestrator.disk.peek import has_too_many_values
from fsm_orchestrator.model.base import Ordinal, Sha256, StrictModel
from fsm_orchestrator.model.declared import Field
from fsm_orchestrator.text.digest import sha256_of
from fsm_orchestrator.text.hidden import copyable

CHUNK_BYTES: Final = 64 * 1024
FOREIGN_LINES_MAX: Final = 1_000
"""The most lines that are passed over in search of an event of this program."""
LINE_BYTES_MAX: Final = 64 * 1024 * 1024
"""The longest line that is read: no event comes near it."""
_NEWLINE: Final = b"\n"
_KEYS: Final = ("at", "event", "schema_version")
"""The keys that every line of this program has, besides its number."""


class EventsMark(StrictModel):
    """The end of the events file when an invocation ended, durable by then."""

    last_seq: Ordinal = Field(le=BYTES_MAX, description="Number of the last event.")
    size_bytes: Ordinal = Field(description="Size of the file up to that event, in bytes.")
    last_line_sha256: Sha256 = Field(
        description="SHA-256 of that event's line without its newline, in hexadecimal."
    )


class Loss(StrEnum):
    """The kind of damage to the events of earlier invocations."""

    MISSING = "missing"
    SHORTER = "shorter"
    CHANGED = "changed"


class LostEvents(NamedTuple):
    """Events that were recorded and are no longer there."""

    loss: Loss
    path: Path
    mark: EventsMark
    size_bytes: int = 0

    @property
    def sentence(self) -> str:
        """The loss, as a sentence."""
        kept = f"its record says {self.mark.last_seq} events in {self.mark.size_bytes} bytes"
        match self.loss:
            case Loss.MISSING:
                return f"the events file {copyable(self.path)} is gone; {kept}"
            case Loss.SHORTER:
                return (
                    f"the events file {copyable(self.path)} was cut to {self.size_bytes}"
                    f" bytes; {kept}"
                )
            case Loss.CHANGED:
                return (
                    f"the events file {copyable(self.path)} was changed: event"
                    f" {self.mark.last_seq} is not"
                    f" the one that was written; {kept}"
                )


def mark_of(last_seq: int, size_bytes: int, last_line: bytes) -> EventsMark:
    """Return the mark of a file that ends with a line."""
    digest = sha256_of(last_line.rstrip(_NEWLINE))
    return EventsMark(last_seq=last_seq, size_bytes=size_bytes, last_line_sha256=digest)


def lost_events(
    path: Path, mark: EventsMark | None, *, within: HeldDirectory | None = None
) -> LostEvents | None:
    """Compare the events file with its mark; return None if everything marked is there.

    Raises:
        OSError: the file cannot be read.
    """
    if mark is None:
        return None
    try:
        descriptor = files.open_regular(path, within=within)
    except FileNotFoundError:
        return LostEvents(Loss.MISSING, path, mark)
    try:
        return lost_in(descriptor, path, mark)
    finally:
        os.close(descriptor)


def lost_in(descriptor: int, path: Path, mark: EventsMark) -> LostEvents | None:
    """Compare the open events file with its mark, like `lost_events`."""
    size_bytes = os.fstat(descriptor).st_size
    if size_bytes < mark.size_bytes:
        return LostEvents(Loss.SHORTER, path, mark, size_bytes)
    line = line_before(descriptor, mark.size_bytes)
    if mark_of(mark.last_seq, mark.size_bytes, line) != mark:
        return LostEvents(Loss.CHANGED, path, mark, size_bytes)
    return None


def line_before(descriptor: int, end: int) -> bytes:
    """Return the line that ends at an offset of an open file, with its newline; empty if none."""
    start = start_of_line(descriptor, end - 1)
    if end - start > LINE_BYTES_MAX:
        return b""
    line = os.pread(descriptor, end - start, start)
    return line if line.endswith(_NEWLINE) else b""


def lines_backwards(descriptor: int, end: int) -> Iterator[bytes]:
    """Yield the whole lines before an offset of an open file, the last one first."""
    rest = b""
    while end > 0:
        start = max(0, end - CHUNK_BYTES)
        chunk = os.pread(descriptor, end - start, start) + rest
        first = chunk.find(_NEWLINE) + 1 if start else 0
        if start and first in {0, len(chunk)}:  # no line is whole yet
            rest = chunk
            if len(rest) > LINE_BYTES_MAX:
                return
        else:
            rest = chunk[:first]
            yield from reversed(chunk[first:].split(_NEWLINE)[:-1])
        end = start


def hole_in(descriptor: int, start: int, end: int) -> int:
    """Return the offset of the first byte that no line can have between two; else `end`."""
    while start < end:
        chunk = os.pread(descriptor, min(CHUNK_BYTES, end - start), start)
        found = chunk.find(b"\0")
        if found >= 0:
            return start + found
        start += max(1, len(chunk))
    return end


def start_of_line(descriptor: int, before: int) -> int:
    """Return the offset after the last newline before another offset; 0 if there is none."""
    end = max(0, before)
    while end > 0:
        start = max(0, end - CHUNK_BYTES)
        found = os.pread(descriptor, end - start, start).rfind(_NEWLINE)
        if found >= 0:
            return start + found + 1
        end = start
    return 0


def document_of(line: bytes) -> dict[str, Any] | None:
    """Return the content of an event's line, or None if it is not a line of this program.

    A line that a stage appended is ignored, unless it is made to look like one of this program.
    """
    if has_too_many_values(line):
        return None
    with contextlib.suppress(ValueError, RecursionError):
        event: Any = json.loads(line)
        is_ours = isinstance(event, dict) and all(key in event for key in _KEYS)
        seq = event.get("seq") if is_ours else None
        if type(seq) is int and 0 < seq <= BYTES_MAX:
            return dict(event)
    return None


def seq_of(line: bytes) -> int | None:
    """Return the number of an event's line, or None if it is not a line of this program."""
    event = document_of(line)
    return None if event is None else int(event["seq"])
