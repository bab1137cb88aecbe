"""The notices of the ends of a run, delivered or not: a line for each notice and end.

The file is beside the record and no part of it: an ended run's record is not changed. It decides
only whether somebody is notified again; a forged line silences a notice, and nothing else. It goes
to the archive with its run.
"""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Annotated, Final

from fsm_orchestrator.constants import NOTICES_FILE
from fsm_orchestrator.disk import files
from fsm_orchestrator.model.base import Count, Ordinal, RunId, SchemaVersion, StrictModel, Timestamp
from fsm_orchestrator.model.declared import Field, ValidationError
from fsm_orchestrator.model.told_ends import ToldEnd

SIZE_BYTES_MAX: Final = 256 * 1024
"""The size beyond which a file is begun again with its last lines."""
KEPT_BYTES: Final = 64 * 1024
WAY_CHARACTERS_MAX: Final = 500
PROBLEM_CHARACTERS_MAX: Final = 500


class Told(StrictModel):
    """A notice of one end of a run, delivered or not."""

    schema_version: SchemaVersion = Field(description="Version of this format.")
    run_id: RunId = Field(description="Identifies the run.")
    invocation: Ordinal = Field(description="Number of the invocation that had ended.")
    at: Timestamp = Field(description="When the delivery was over, in UTC.")
    event: ToldEnd = Field(description="The end that the notice is about.")
    standing: Annotated[str, Field(max_length=64)] = Field(
        description="Equal for two ends after which the run stands as before."
    )
    name: Annotated[str, Field(max_length=64)] = Field(
        description="Distinguishes this way from others."
    )
    to: Annotated[str, Field(max_length=WAY_CHARACTERS_MAX)] = Field(
        description="The way, for people."
    )
    tries: Count = Field(description="How often it was tried.")
    problem: Annotated[str, Field(max_length=PROBLEM_CHARACTERS_MAX)] | None = Field(
        description="Why it could not be delivered; null where it was."
    )

    @property
    def sentence(self) -> str:
        """The sentence for a person about who was not notified, and why."""
        times = "" if self.tries <= 1 else f" ({self.tries} tries)"
        return f"{self.event.value} was not delivered: {self.to}: {self.problem}{times}"


def told_of(directory: Path, run_id: str) -> tuple[Told, ...]:
    """Return the notices of a run whose files are in `directory`, oldest first."""
    try:
        data = files.read_bounded(directory / NOTICES_FILE, SIZE_BYTES_MAX * 2)
    except OSError:
        return ()
    lines = (_parsed(line) for line in data.split(b"\n"))
    return tuple(one for one in lines if one is not None and one.run_id == run_id)


def untold_of(directory: Path, run_id: str) -> tuple[Told, ...]:
    """Return the notices of the last end that could not be delivered."""
    known = told_of(directory, run_id)
    latest = {one.name: one for one in known if one.invocation == known[-1].invocation}
    return tuple(one for one in latest.values() if one.problem is not None)


def note(directory: Path, lines: tuple[Told, ...]) -> OSError | None:
    """Add lines to the file; return why that failed, or None."""
    path = directory / NOTICES_FILE
    data = b"".join(one.model_dump_json().encode() + b"\n" for one in lines)
    try:
        _make_room(path)
        descriptor = files.open_append(path, mode=0o600)
        try:
            size_bytes = os.fstat(descriptor).st_size
            if size_bytes and os.pread(descriptor, 1, size_bytes - 1) != b"\n":
                data = b"\n" + data  # a torn line
            files.write_all(descriptor, data)
        finally:
            os.close(descriptor)
    except OSError as error:
        return error
    return None


def _make_room(path: Path) -> None:
    """Begin a long file again with its last lines."""
    with contextlib.suppress(FileNotFoundError):
        if os.lstat(path).st_size <= SIZE_BYTES_MAX:
            return
        data = files.read_bounded(path, SIZE_BYTES_MAX * 2)
        kept = data[-KEPT_BYTES:]
        files.replace_file(path, kept[kept.find(b"\n") + 1 :], mode=0o600)


def _parsed(line: bytes) -> Told | None:
    """Return the notice of a line; None if it is not this program's, or torn."""
    if not line:
        return None
    with contextlib.suppress(ValidationError, ValueError, RecursionError):
        json.loads(line)
        return Told.model_validate_json(line)
    return None
