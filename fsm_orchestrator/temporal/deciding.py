"""The step that follows the result of an invocation: a pure decision, the same in every replay."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

from fsm_orchestrator.temporal.shapes import InvocationResult
from fsm_orchestrator.text.phrases import needs_approval, suggestion

GONE_ON_MAX: Final = 100
"""The most invocations in a row that may be cut off without the run getting any further."""
RETRY_SECONDS_MAX: Final = 3600.0
NEEDS_APPROVAL: Final = "NeedsApproval"
"""The type of the error that refuses a signal where an approval by people is needed."""
_DONE: Final = "done"
_BLOCKED: Final = "blocked"
_FAILED: Final = frozenset({"failed", "timeout"})
_CANCELLED: Final = "cancelled"
_GOES_ON: Final = frozenset({"lease_lost", "fenced", "shutdown", "handed_over"})
"""The stop reasons after which the run continues elsewhere: nobody asked it to end."""


class Next(StrEnum):
    """The next step of a workflow once an invocation has ended."""

    END = "end"
    CANCELLED = "cancelled"
    GO_ON = "go_on"
    RETRY = "retry"
    """Continue after a while."""
    WAIT = "wait"
    """Wait for people."""


def next_after(result: InvocationResult, *, retries_left: int, has_gates: bool) -> Next:
    """Return the next step. `has_gates` is true if signals came since the order."""
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
    """Return whether the run got further in an invocation that was cut off."""
    return before is None or before.state != result.state


def retry_seconds(first: float, used: int) -> float:
    """Return the seconds to wait before a retry, after `used` earlier ones."""
    return float(min(first * 2 ** min(used, 32), RETRY_SECONDS_MAX))


def approval_refusal_of(
    given: dict[str, str], gates: dict[str, list[str]], approval_gates: Sequence[str]
) -> str | None:
    """Return why signals cannot be given that would pass gates which need an approval."""
    for gate, value in given.items():
        if gate in approval_gates and value == gates[gate][0]:
            return needs_approval(gate, value)
    return None


def refusal_of(given: dict[str, str], gates: dict[str, list[str]]) -> str | None:
    """Return the error in the given signals, or None if there is none."""
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
