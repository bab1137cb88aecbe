"""The fields that the lines of the log have in common."""

from __future__ import annotations

from fsm_orchestrator.model.base import (
    Ordinal,
    RunId,
    SchemaVersion,
    Sha256,
    StateName,
    StrictModel,
    Timestamp,
)
from fsm_orchestrator.model.declared import Field
from fsm_orchestrator.secrets.state_key import Mac


class Event(StrictModel):
    """The fields of every line."""

    schema_version: SchemaVersion = Field(description="Version of this format.")
    seq: Ordinal = Field(description="Number of the line in its file, from 1 without gaps.")
    at: Timestamp = Field(description="When it was logged, in UTC.")
    run_id: RunId = Field(description="Identifies the run, over all its invocations.")
    prev: Sha256 | None = Field(
        default=None,
        description=(
            "SHA-256 of the line before it, without its newline; of the first line: of the run's id"
            " and the digest of its lifecycle without limits and retries, a line feed between them."
            " Left out on stderr where the line could not be written."
        ),
    )
    mac: Mac | None = Field(
        default=None,
        description=(
            "The name of a key of the private state, and HMAC-SHA-256 by it, cut to 128 bits, of"
            " the line as it is without this key; left out where there is none."
        ),
    )


class RunEvent(Event):
    """The fields of every line of a run that began."""

    state: StateName = Field(description="The last state that was made durable.")


class StageEvent(RunEvent):
    """The fields of every line about an attempt of a stage."""

    stage: StateName = Field(description="Name of the stage.")
    attempt: Ordinal = Field(description="Number of the attempt, from 1 over all invocations.")
