"""The limits of a stage, as configuration, checkpoint and lifecycle all spell them.

One type for each, with what it means; None where it is not said, so that the next source counts.
"""

from typing import Annotated, Final, NamedTuple

from pydantic import Field

from fsm_orchestrator.vocabulary import (
    BYTES_MAX,
    DEFAULT_KILL_GRACE_MS,
    DEFAULT_OUTPUT_LIMIT_BYTES,
    DEFAULT_TIMEOUT_MS,
    MILLISECONDS_MAX,
)

Milliseconds = Annotated[int, Field(strict=True, ge=1, le=MILLISECONDS_MAX)]
GraceMilliseconds = Annotated[int, Field(strict=True, ge=0, le=MILLISECONDS_MAX)]
Bytes = Annotated[int, Field(strict=True, ge=1, le=BYTES_MAX)]

TimeoutMs = Annotated[
    Milliseconds | None, Field(description="How long the stage may run, in milliseconds.")
]
KillGraceMs = Annotated[
    GraceMilliseconds | None,
    Field(
        description=(
            "How long the stage may take to end after SIGTERM before SIGKILL, in milliseconds."
        )
    ),
]
IdleTimeoutMs = Annotated[
    Milliseconds | None,
    Field(
        description=(
            "How long the stage may print nothing, in milliseconds; without it, as long as it runs."
        )
    ),
]
SlowAfterMs = Annotated[
    Milliseconds | None,
    Field(
        description=(
            "After how long the stage is told to be slow, and again after as long, in"
            " milliseconds; without it, never."
        )
    ),
]
OutputLimitBytes = Annotated[
    Bytes | None,
    Field(description="How much the stage may print, stdout and stderr together, in bytes."),
]


class GivenLimits(NamedTuple):
    """The limits that one source gives for a stage; None where it does not say."""

    timeout_ms: int | None = None
    kill_grace_ms: int | None = None
    idle_timeout_ms: int | None = None
    slow_after_ms: int | None = None
    output_limit_bytes: int | None = None

    def over(self, lower: "GivenLimits") -> "GivenLimits":
        """These limits, and where they do not say, those of `lower`."""
        pairs = ((field, getattr(self, field)) for field in LIMIT_FIELDS)
        return GivenLimits(
            **{f: getattr(lower, f) if value is None else value for f, value in pairs}
        )


LIMIT_FIELDS: Final = GivenLimits._fields

DEFAULT_LIMITS: Final = GivenLimits(
    timeout_ms=DEFAULT_TIMEOUT_MS,
    kill_grace_ms=DEFAULT_KILL_GRACE_MS,
    output_limit_bytes=DEFAULT_OUTPUT_LIMIT_BYTES,
)


def limits_in(source: object) -> GivenLimits:
    """The limits among the attributes of a model that has them all."""
    return GivenLimits(**{field: getattr(source, field) for field in LIMIT_FIELDS})


class Limits(NamedTuple):
    """What a process may take. Times in milliseconds; None where there is no limit."""

    timeout_ms: int
    kill_grace_ms: int
    idle_timeout_ms: int | None = None
    slow_after_ms: int | None = None
    output_limit_bytes: int | None = None
