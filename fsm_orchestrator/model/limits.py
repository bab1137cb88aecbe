"""The limits of a stage: as every model has them, and as they are passed on from there."""

from operator import attrgetter
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple

from fsm_orchestrator.constants import (
    DEFAULT_KILL_GRACE_MS,
    DEFAULT_OUTPUT_LIMIT_BYTES,
    DEFAULT_TIMEOUT_MS,
)
from fsm_orchestrator.model.declared import BaseModel, Field
from fsm_orchestrator.model.lazily import lazily
from fsm_orchestrator.model.option_kinds import GRACE_MILLISECONDS, MILLISECONDS, Bounds
from fsm_orchestrator.model.promises import StageLimit
from fsm_orchestrator.model.stage_options import BOUNDS, OPTION_OF_KEY

if TYPE_CHECKING:
    from fsm_orchestrator.model.budget import Units
else:
    Units = lazily("fsm_orchestrator.model.budget", "Units")


def number(bounds: Bounds) -> Any:
    """Return the constraints of a field that holds a whole number within bounds."""
    return Field(strict=True, ge=bounds.least, le=bounds.most)


def unset(key: str) -> Any:
    """Return the field of a stage's setting that may be missing; null if it is."""
    return Field(default=None, description=OPTION_OF_KEY[key].description)


Milliseconds = Annotated[int, number(MILLISECONDS)]
GraceMilliseconds = Annotated[int, number(GRACE_MILLISECONDS)]
Bytes = Annotated[int, number(BOUNDS["output_limit_bytes"])]


class GivenLimits(NamedTuple):
    """The limits that one source gives for a stage; None where it gives none."""

    timeout_ms: int | None = None
    kill_grace_ms: int | None = None
    idle_timeout_ms: int | None = None
    slow_after_ms: int | None = None
    output_limit_bytes: int | None = None
    memory_bytes_max: int | None = None
    processes_max: int | None = None
    cpu_seconds_max: int | None = None
    file_bytes_max: int | None = None

    @property
    def has_of_usage(self) -> bool:
        """True if there is a limit on what a stage may use, which only a keeper can enforce."""
        return any(getattr(self, one.value) is not None for one in StageLimit)

    def over(self, lower: "GivenLimits") -> "GivenLimits":
        """Return these limits, completed by those of `lower`."""
        return GivenLimits(*(b if a is None else a for a, b in zip(self, lower, strict=True)))


class Limits(GivenLimits):
    """The limits of a process in force; None where there is none. Two of them are always set."""

    timeout_ms: int
    kill_grace_ms: int


LIMIT_FIELDS: Final = GivenLimits._fields
_limits_in: Final = attrgetter(*LIMIT_FIELDS)

DEFAULT_LIMITS: Final = Limits(
    timeout_ms=DEFAULT_TIMEOUT_MS,
    kill_grace_ms=DEFAULT_KILL_GRACE_MS,
    output_limit_bytes=DEFAULT_OUTPUT_LIMIT_BYTES,
)


class RunLimitFields(BaseModel):
    """The keys of a model that has the limits of a run over all its stages."""

    run_timeout_ms: Milliseconds | None = Field(
        default=None,
        description="How long each invocation may work, in milliseconds: stages, gates, waits and"
        " retries; no limit unless given.",
    )
    total_timeout_ms: Milliseconds | None = Field(
        default=None,
        description="How long all invocations of the run together may work, in milliseconds; no"
        " limit unless given.",
    )
    budget: Units | None = Field(
        default=None,
        description="How much of each unit all attempts of all stages together may spend, as they"
        " meter it, by the unit's name.",
    )

    @property
    def has_run_limits(self) -> bool:
        """True if any limit of a run was given."""
        return bool(self.run_timeout_ms or self.total_timeout_ms or self.budget)


class LimitFields(BaseModel):
    """The keys of a model that has the limits of a stage."""

    timeout_ms: Milliseconds | None = unset("timeout_ms")
    kill_grace_ms: GraceMilliseconds | None = unset("kill_grace_ms")
    idle_timeout_ms: Milliseconds | None = unset("idle_timeout_ms")
    slow_after_ms: Milliseconds | None = unset("slow_after_ms")
    output_limit_bytes: Bytes | None = unset("output_limit_bytes")
    memory_bytes_max: Bytes | None = unset("memory_bytes_max")
    processes_max: Annotated[int, number(BOUNDS["processes_max"])] | None = unset("processes_max")
    cpu_seconds_max: Annotated[int, number(BOUNDS["cpu_seconds_max"])] | None = unset(
        "cpu_seconds_max"
    )
    file_bytes_max: Bytes | None = unset("file_bytes_max")

    @property
    def limits(self) -> GivenLimits:
        """The limits among the model's keys."""
        return GivenLimits(*_limits_in(self))
