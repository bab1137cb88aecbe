"""When a failed attempt of a stage is followed by another one of itself, and after which wait.

`RetryPolicy` is what one source says (options, config file, lifecycle), null where it does not;
`resolved` is what counts. Pure.
"""

from typing import Annotated, Final

from pydantic import Field, Strict

from fsm_orchestrator.model.base import StrictModel
from fsm_orchestrator.model.limits import GraceMilliseconds
from fsm_orchestrator.vocabulary import ATTEMPTS_MAX, Backoff

DEFAULT_BACKOFF_MS: Final = 1_000
DEFAULT_BACKOFF_MS_MAX: Final = 60_000

ExitCodes = Annotated[
    tuple[Annotated[int, Field(strict=True, ge=1, le=255)], ...],
    Strict(strict=False),
    Field(max_length=255),
]


class RetryPolicy(StrictModel):
    """What one source says about retries of a stage; null where it does not say."""

    max_attempts: Annotated[int, Field(strict=True, ge=1, le=ATTEMPTS_MAX)] | None = Field(
        default=None,
        description="How many attempts the stage has, the first included; 1 means no retry.",
    )
    exit_codes: ExitCodes | None = Field(
        default=None, description="The exit codes after which it is tried again."
    )
    timeouts: bool | None = Field(
        default=None, description="Whether it is tried again after a timeout."
    )
    backoff: Annotated[Backoff, Strict(strict=False)] | None = Field(
        default=None,
        description="Whether the wait before each retry is the same, or doubles each time.",
    )
    backoff_ms: GraceMilliseconds | None = Field(
        default=None, description="The wait before the first retry, in milliseconds."
    )
    backoff_ms_max: GraceMilliseconds | None = Field(
        default=None, description="The longest wait, in milliseconds."
    )

    def over(self, lower: "RetryPolicy | None") -> "RetryPolicy":
        """This policy, and where it does not say, what `lower` does."""
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
