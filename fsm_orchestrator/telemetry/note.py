"""The results of sending the invocations of a run: lines of a file beside its logs.

The file is no part of the record: it says nothing about the run, and exists only if something was
to be sent.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from fsm_orchestrator.clock import SystemClock, timestamp
from fsm_orchestrator.constants import LOGS_DIRECTORY, SCHEMA_VERSION, SENT_FILE
from fsm_orchestrator.disk import files
from fsm_orchestrator.disk.held import HeldDirectory
from fsm_orchestrator.model import declared
from fsm_orchestrator.model.base import Count, Ordinal, RunId, SchemaVersion, StrictModel, Timestamp
from fsm_orchestrator.model.declared import Field
from fsm_orchestrator.model.trace import TraceId, own_trace
from fsm_orchestrator.record.report import Report
from fsm_orchestrator.telemetry.parcel import Sent

FILE_BYTES_MAX: Final = 16 * 1024 * 1024
_LOOK_SECONDS: Final = 0.05


class Note(StrictModel):
    """The result of sending one invocation."""

    schema_version: SchemaVersion = Field(description="Version of this format.")
    at: Timestamp = Field(description="When it was sent, in UTC.")
    run_id: RunId = Field(description="The run.")
    invocation: Ordinal = Field(description="Number of the invocation.")
    trace_id: TraceId = Field(description="Id of the trace that it belongs to, in hexadecimal.")
    problem: str | None = Field(description="Why it was not taken; null where it was.")
    spans: Count = Field(description="How many spans were taken.")
    metrics: Count = Field(description="How many metrics were taken.")
    logs: Count = Field(description="How many log records were taken.")


class Noted(NamedTuple):
    """The known notes of a run's invocations: the last of each, by its number."""

    by_number: dict[int, Note]

    def is_taken(self, number: int) -> bool:
        """Return whether an invocation was taken; once is enough."""
        note = self.by_number.get(number)
        return note is not None and note.problem is None

    def part_of(self, number: int) -> Sent:
        """Return the part of an invocation that was taken, if the whole was not."""
        note = self.by_number.get(number)
        return Sent(None) if note is None else Sent(None, note.spans, note.metrics, note.logs)

    @property
    def untaken(self) -> tuple[Note, ...]:
        """The invocations that were not taken, in order."""
        return tuple(one for _, one in sorted(self.by_number.items()) if one.problem is not None)


def now() -> str:
    """Return the time in the form of notes."""
    return timestamp(SystemClock().now())


def untaken(report: Report, problem: str) -> Note:
    """Return the note of an invocation of which nothing was taken."""
    told = None if report.origin is None else report.origin.trace
    trace = own_trace(report.run_id) if told is None else told
    return Note(
        schema_version=SCHEMA_VERSION,
        at=now(),
        run_id=report.run_id,
        invocation=report.latest_number,
        trace_id=trace.trace_id,
        problem=problem,
        spans=0,
        metrics=0,
        logs=0,
    )


@contextlib.contextmanager
def alone(directory: Path, seconds: float) -> Iterator[None]:
    """Keep others from sending the same run at the same time, as far as its directory allows.

    A process that already sends it is waited for, but no longer than that may take.
    """
    descriptor = None
    deadline = time.monotonic() + seconds
    with contextlib.suppress(OSError):
        descriptor = files.open_append(directory / SENT_FILE, mode=0o600)
        while not _is_locked(descriptor) and time.monotonic() < deadline:
            time.sleep(_LOOK_SECONDS)
    try:
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _is_locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def write_note(directory: Path, note: Note) -> None:
    """Add a note to the file of the run in a directory; if that fails, there is none."""
    with contextlib.suppress(OSError):
        held = HeldDirectory(directory, files.open_directory(directory))
        try:
            with files.below(held, LOGS_DIRECTORY) as logs:
                path = directory / SENT_FILE
                descriptor = files.open_append(path, mode=0o600, within=logs)
                try:
                    files.write_all(descriptor, note.model_dump_json().encode() + b"\n")
                finally:
                    os.close(descriptor)
        finally:
            os.close(held.descriptor)


def read_notes(directory: Path, run_id: str) -> Noted:
    """Read the notes of a run; for an invocation that was once taken, that note."""
    by_number: dict[int, Note] = {}
    with contextlib.suppress(OSError):
        path = directory / SENT_FILE
        for line in files.read_bounded(path, FILE_BYTES_MAX).splitlines():
            with contextlib.suppress(declared.ValidationError):
                note = Note.model_validate_json(line)
                known = by_number.get(note.invocation)
                if note.run_id == run_id and (known is None or known.problem is not None):
                    by_number[note.invocation] = note
    return Noted(by_number)
