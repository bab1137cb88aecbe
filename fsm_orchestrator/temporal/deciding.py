"""What follows from the result of an invocation: a pure decision, the same in every replay."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

from fsm_orchestrator.temporal.shapes import InvocationResult
from fsm_orchestrator.text.phrases import needs_approval, suggestion

GONE_ON_MAX: Final = 100
"""How many invocations in a row may be cut off without the run getting any further."""
RETRY_SECONDS_MAX: Final = 3600.0
NEEDS_APPROVAL: Final = "NeedsApproval"
"""The type of the error by which a signal is refused where people are to approve."""
_DONE: Final = "done"
_BLOCKED: Final = "blocked"
_FAILED: Final = frozenset({"failed", "timeout"})
_CANCELLED: Final = "cancelled"
_GOES_ON: Final = frozenset({"lease_lost", "fenced", "shutdown", "handed_over"})
"""The reasons to stop after which the run goes on elsewhere: nobody asked it to end."""


class Next(StrEnum):
    """What a workflow does once an invocation has ended."""

    END = "end"
    CANCELLED = "cancelled"
    GO_ON = "go_on"
    RETRY = "retry"
    """Go on after a while."""
    WAIT = "wait"
    """Wait for people."""


def next_after(result: InvocationResult, *, retries_left: int, has_gates: bool) -> Next:
    """Return what follows. `has_gates` says that signals came since it was ordered."""
    if result.outcome == _DONE:
        return Next.END
    if result.stop_reason == _CANCELLED:
        return Next.CANCELLED
    if result.stop_reason in _GOES_ON:
        return Next.GO_ON
    if result.outcome == _BLOCKED:
        return Next.GO_ON if has_gates else Next.WAIT
    if result.outcome in _FAILED and result.stop_reason is None and retries_left > 0:
        return Next.RETRY
    return Next.WAIT


def is_further(before: InvocationResult | None, result: InvocationResult) -> bool:
    """Return whether the run has come further in an invocation that was cut off."""
    return before is None or before.state != result.state


def retry_seconds(first: float, used: int) -> float:
    """Return how long to wait before a retry, when so many were made."""
    return float(min(first * 2 ** min(used, 32), RETRY_SECONDS_MAX))


def approval_refusal_of(
    given: dict[str, str], gates: dict[str, list[str]], approval_gates: Sequence[str]
) -> str | None:
    """Return why signals cannot be given by which gates are to pass that people approve."""
    for gate, value in given.items():
        if gate in approval_gates and value == gates[gate][0]:
            return needs_approval(gate, value)
    return None


def refusal_of(given: dict[str, str], gates: dict[str, list[str]]) -> str | None:
    """Return what is wrong with signals that were given; None where nothing is."""
    for gate, value in given.items():
        if gate not in gates:
            return (
                f"there is no gate {gate!r}{suggestion(gate, gates)}; the gates of this run are"
                f" {', '.join(gates)}"
            )
        values = gates[gate]
        if value not in values:
            return (
                f"{gate} cannot be {value!r}{suggestion(value, values)}; it is one of"
                f" {', '.join(values)}"
            )
    return None
