"""When a failed attempt of a stage is followed by another one, and after which wait.

`RetryPolicy` is what one source says (options, config file, lifecycle), null where it does not.
"""

from typing import Annotated, Final

from fsm_orchestrator.constants import DEFAULT_BACKOFF_MS, DEFAULT_BACKOFF_MS_MAX
from fsm_orchestrator.model.base import StrictModel
from fsm_orchestrator.model.declared import Field, Strict
from fsm_orchestrator.model.endings import signal_number
from fsm_orchestrator.model.execution import StageExecution
from fsm_orchestrator.model.limits import GraceMilliseconds, number, unset
from fsm_orchestrator.model.stage_options import BOUNDS
from fsm_orchestrator.vocabulary import Backoff, Ending

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

    def allows_another(self, execution: StageExecution, attempts: int) -> bool:
        """Answer whether another attempt follows: one is left, and the way it ended is named.

        `attempts` is how many the stage has had at this piece of work, this one included.
        """
        if attempts >= (self.max_attempts or 1):
            return False
        match execution.ending:
            case Ending.TIMED_OUT | Ending.WENT_QUIET:
                return bool(self.timeouts)
            case Ending.EXITED:
                return execution.exit_code in (self.exit_codes or ())
            case Ending.SIGNALED:  # as a shell counts it
                number = signal_number(execution.signal or "")
                return number is not None and 128 + number in (self.exit_codes or ())
            case _:
                return False

    def wait_ms(self, retry: int) -> int:
        """Return how long to wait before a retry, counted from 1."""
        first = DEFAULT_BACKOFF_MS if self.backoff_ms is None else self.backoff_ms
        longest = DEFAULT_BACKOFF_MS_MAX if self.backoff_ms_max is None else self.backoff_ms_max
        doublings = min(retry - 1, 31) if self.backoff is Backoff.EXPONENTIAL else 0
        return int(min(first << doublings, longest))


DEFAULT_RETRY: Final = RetryPolicy(
    max_attempts=1,
    exit_codes=(),
    timeouts=False,
    backoff=Backoff.FIXED,
    backoff_ms=DEFAULT_BACKOFF_MS,
    backoff_ms_max=DEFAULT_BACKOFF_MS_MAX,
)
