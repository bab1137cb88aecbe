"""The report of a fleet: the result of each run, and of all."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Final, Literal

from fsm_orchestrator.model.base import Count, RunId, SchemaVersion, Sha256, StrictModel, Timestamp
from fsm_orchestrator.model.declared import Field
from fsm_orchestrator.text.json_output import escaped
from fsm_orchestrator.vocabulary import ExitCode, Standing

FLEET_FILE: Final = "fleet.json"
_WORST_FIRST: Final = (
    ExitCode.INTERNAL,
    ExitCode.FAILED,
    ExitCode.TIMEOUT,
    ExitCode.BLOCKED,
    ExitCode.DONE,
)


class Course(StrEnum):
    """The course that a run took in this fleet."""

    RAN = "ran"
    RESUMED = "resumed"
    SKIPPED = "skipped"
    """The run was already done."""
    LEFT = "left"
    """The run had already ended without being done, and was not to be tried again."""
    REFUSED = "refused"
    """The run could not be started or resumed."""
    NOT_STARTED = "not_started"
    """The fleet ended before the run's turn."""
    SUBMITTED = "submitted"
    """The engine continues the run; this fleet has ended."""
    TO_COME = "to_come"
    WORKING = "working"


class FleetEntry(StrictModel):
    """One run of the fleet."""

    name: str = Field(description="Its name, and that of its directory.")
    course: Course = Field(description="What this fleet did about it.")
    reason: str = Field(description="Why, or why it stands where it does, as a sentence.")
    run_id: RunId | None = Field(description="Identifies the run; null where there is none yet.")
    standing: Standing | None = Field(description="Where it stands; null where that is not known.")
    exit_code: int | None = Field(
        description="The exit code that it counts with; null as long as it has none."
    )
    concurrency_key: str | None = Field(
        description="Runs with the same key are never at work at once; null for no key."
    )
    priority: int = Field(description="Runs with a higher priority come first.")
    started_at: Timestamp | None = Field(
        description="When this fleet began to work on it, in UTC; null if it did not."
    )
    finished_at: Timestamp | None = Field(
        description="When this fleet finished with it, in UTC; null if it has not."
    )
    untold: tuple[str, ...] = Field(
        default=(),
        description="The `[[notify]]` notices of its end that were not delivered, as sentences.",
    )


class FleetReport(StrictModel):
    """The report of a fleet: fleet.json."""

    schema_version: SchemaVersion = Field(description="Version of this format.")
    product: Literal["fsm-orchestrator"] = Field(description="The program that wrote the report.")
    source: str = Field(description="Absolute path of the fleet's file; `-` for stdin.")
    sha256: Sha256 = Field(description="SHA-256 of its bytes, in hexadecimal.")
    jobs: Count = Field(description="How many runs are worked on at once.")
    started_at: Timestamp = Field(description="When this fleet began, in UTC.")
    finished_at: Timestamp | None = Field(description="When it ended, in UTC; null while it works.")
    exit_code: int | None = Field(
        description="What the command exits with, the worst of all runs; null while it works."
    )
    runs: tuple[FleetEntry, ...] = Field(description="The runs, in the order of the file.")

    def to_json(self) -> bytes:
        """Return the bytes of the file: indented, in fixed key order, with a newline at the end."""
        return escaped(self.model_dump_json(indent=2)).encode() + b"\n"


def worst_of(codes: Iterable[int]) -> int:
    """Return the worst exit code by the order 70, 1, 124, 3, 0; any other counts as 1."""
    known = {code if code in _WORST_FIRST else ExitCode.FAILED for code in codes}
    return next((int(code) for code in _WORST_FIRST if code in known), ExitCode.DONE)
