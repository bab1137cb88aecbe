"""The conditions for another attempt after a failed one of a stage, and the wait before it.

`RetryPolicy` is what one source says (options, config file, lifecycle); null where it says nothing.
"""

import signal
from typing import Annotated, Final

from fsm_orchestrator.constants import DEFAULT_BACKOFF_MS, DEFAULT_BACKOFF_MS_MAX, SIGNAL_BASE
from fsm_orchestrator.model.base import StrictModel
from fsm_orchestrator.model.declared import Field, Strict
from fsm_orchestrator.model.endings import signal_name
from fsm_orchestrator.model.execution import StageExecution
from fsm_orchestrator.model.limits import GraceMilliseconds, number, unset
from fsm_orchestrator.model.option_kinds import Backoff, RetrySignal
from fsm_orchestrator.model.stage_options import BOUNDS
from fsm_orchestrator.vocabulary import Ending

ExitCodes = Annotated[
    tuple[Annotated[int, number(BOUNDS["exit_codes"])], ...],
    Strict(strict=False),
    Field(max_length=255),
]
RetrySignals = Annotated[
    tuple[Annotated[RetrySignal, Strict(strict=False)], ...],
    Strict(strict=False),
    Field(max_length=len(RetrySignal)),
]


class RetryPolicy(StrictModel):
    """The settings of one source for retries of a stage; null where it says nothing."""

    max_attempts: Annotated[int, number(BOUNDS["max_attempts"])] | None = unset("max_attempts")
    exit_codes: ExitCodes | None = unset("exit_codes")
    killed_by: RetrySignals | None = unset("killed_by")
    timeouts: bool | None = unset("timeouts")
    backoff: Annotated[Backoff, Strict(strict=False)] | None = unset("backoff")
    backoff_ms: GraceMilliseconds | None = unset("backoff_ms")
    backoff_ms_max: GraceMilliseconds | None = unset("backoff_ms_max")

    def over(self, lower: "RetryPolicy | None") -> "RetryPolicy":
        """Return this policy, completed by that of `lower`."""
        if lower is None:
            return self
        return lower.model_copy(update=self.model_dump(exclude_none=True))

    @property
    def names_nothing(self) -> bool:
        """True if the policy asks for retries but does not say after what."""
        after = self.exit_codes or self.killed_by or self.timeouts
        return (self.max_attempts or 1) > 1 and not after

    def allows_another(self, execution: StageExecution, attempts: int) -> bool:
        """Return whether another attempt follows: one is left, and the way this one ended is named.

        `attempts` is the number of attempts at this piece of work so far, including this one.
        """
        if attempts >= (self.max_attempts or 1):
            return False
        match execution.ending:
            case Ending.TIMED_OUT | Ending.WENT_QUIET:
                return bool(self.timeouts)
            case Ending.EXITED:
                return execution.exit_code in self._codes
            case Ending.SIGNALED:  # as shells count it
                return SIGNAL_BASE + _number_of(execution.signal) in self._codes
            case _:
                return False

    @property
    def _codes(self) -> tuple[int, ...]:
        """The exit codes that count; for a signal, the code by which a shell reports it."""
        by_signal = (SIGNAL_BASE + getattr(signal, one.value) for one in self.killed_by or ())
        return (*(self.exit_codes or ()), *by_signal)

    @property
    def meant_signals(self) -> dict[int, str]:
        """The given exit codes by which shells report signals, which were probably meant."""
        if not any(code > SIGNAL_BASE for code in self.exit_codes or ()):
            return {}
        from fsm_orchestrator.model.exit_words import SIGNAL_OF_CODE as KNOWN  # noqa: PLC0415 - rare

        return {code: KNOWN[code] for code in self.exit_codes or () if code in KNOWN}

    def wait_ms(self, retry: int) -> int:
        """Return the wait before a retry, counted from 1."""
        first = DEFAULT_BACKOFF_MS if self.backoff_ms is None else self.backoff_ms
        longest = DEFAULT_BACKOFF_MS_MAX if self.backoff_ms_max is None else self.backoff_ms_max
        doublings = min(retry - 1, 31) if self.backoff is Backoff.EXPONENTIAL else 0
        return int(min(first << doublings, longest))


NO_RETRY: Final = RetryPolicy()
"""The policy of a source that says nothing."""
DEFAULT_RETRY: Final = RetryPolicy(
    max_attempts=1,
    exit_codes=(),
    killed_by=(),
    timeouts=False,
    backoff=Backoff.FIXED,
    backoff_ms=DEFAULT_BACKOFF_MS,
    backoff_ms_max=DEFAULT_BACKOFF_MS_MAX,
)


def _number_of(name: str | None) -> int:
    """Return the number of a signal that a record names; 0 if the record names none."""
    return next((one for one in signal.valid_signals() if signal_name(one) == name), 0)
