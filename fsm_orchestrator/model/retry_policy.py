"""When a failed attempt of a stage is followed by another one, and after which wait.

`RetryPolicy` is what one source says (options, config file, lifecycle), null where it does not.
"""

from typing import Annotated, Final

from pydantic import Field, Strict

from fsm_orchestrator.model.base import StrictModel
from fsm_orchestrator.model.limits import GraceMilliseconds, number, unset
from fsm_orchestrator.model.stage_options import BOUNDS
from fsm_orchestrator.vocabulary import DEFAULT_BACKOFF_MS, DEFAULT_BACKOFF_MS_MAX, Backoff

ExitCodes = Annotated[
    tuple[Annotated[int, number(BOUNDS["exit_codes"])], ...],
    Strict(strict=False),
    Field(max_length=255),
]


class RetryPolicy(StrictModel):
    """One source's settings for retries of a stage; null where it does not say."""

    max_attempts: Annotated[int, number(BOUNDS["max_attempts"])] | None = unset("max_attempts")
    exit_codes: ExitCodes | None = unset("exit_codes")
    timeouts: bool | None = unset("timeouts")
    backoff: Annotated[Backoff, Strict(strict=False)] | None = unset("backoff")
    backoff_ms: GraceMilliseconds | None = unset("backoff_ms")
    backoff_ms_max: GraceMilliseconds | None = unset("backoff_ms_max")

    def over(self, lower: "RetryPolicy | None") -> "RetryPolicy":
        """Return this policy, and where it does not say, what `lower` does."""
        if lower is None:
            return self
        return lower.model_copy(update=self.model_dump(exclude_none=True))

    @property
    def names_nothing(self) -> bool:
        """Whether it asks for retries and does not say after what."""
        return (self.max_attempts or 1) > 1 and not self.exit_codes and not self.timeouts


DEFAULT_RETRY: Final = RetryPolicy(
    max_attempts=1,
    exit_codes=(),
    timeouts=False,
    backoff=Backoff.FIXED,
    backoff_ms=DEFAULT_BACKOFF_MS,
    backoff_ms_max=DEFAULT_BACKOFF_MS_MAX,
)
