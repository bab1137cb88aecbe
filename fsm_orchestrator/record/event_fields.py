"""The fields that lines of the log have in common."""

from __future__ import annotations

from pydantic import Field

from fsm_orchestrator.model.base import (
    Ordinal,
    RunId,
    SchemaVersion,
    StateName,
    StrictModel,
    Timestamp,
)


class Event(StrictModel):
    """The fields of every line."""

    schema_version: SchemaVersion = Field(description="Version of this format.")
    seq: Ordinal = Field(description="Number of the line in its file, from 1 without gaps.")
    at: Timestamp = Field(description="When it was logged, in UTC.")
    run_id: RunId = Field(description="Identifies the run, over all its invocations.")


class RunEvent(Event):
    """The fields of every line of a run that began."""

    state: StateName = Field(description="The last state that was made durable.")


class StageEvent(RunEvent):
    """The fields of every line about an attempt of a stage."""

    stage: StateName = Field(description="Name of the stage.")
    attempt: Ordinal = Field(description="Number of the attempt, from 1 over all invocations.")
