"""The decision to retry a failed attempt, and the delay before it."""

from fsm_orchestrator.model.execution import StageExecution
from fsm_orchestrator.model.retry_policy import RetryPolicy
from fsm_orchestrator.vocabulary import (
    DEFAULT_BACKOFF_MS,
    DEFAULT_BACKOFF_MS_MAX,
    Backoff,
    Ending,
)


def may_retry(policy: RetryPolicy, execution: StageExecution, attempts: int) -> bool:
    """Answer whether another attempt follows: there is one left, and the way it ended is named.

    `attempts` is how many the stage has had at this piece of work, this one included.
    """
    if attempts >= (policy.max_attempts or 1):
        return False
    match execution.ending:
        case Ending.TIMED_OUT | Ending.WENT_QUIET:
            return bool(policy.timeouts)
        case Ending.EXITED:
            return execution.exit_code in (policy.exit_codes or ())
        case _:
            return False


def wait_ms(policy: RetryPolicy, retry: int) -> int:
    """Return how long to wait before a retry, counted from 1; exact, so that it can be shown."""
    first = DEFAULT_BACKOFF_MS if policy.backoff_ms is None else policy.backoff_ms
    longest = DEFAULT_BACKOFF_MS_MAX if policy.backoff_ms_max is None else policy.backoff_ms_max
    doublings = min(retry - 1, 31) if policy.backoff is Backoff.EXPONENTIAL else 0
    return int(min(first << doublings, longest))
