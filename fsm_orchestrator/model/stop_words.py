"""The reasons why a run was asked to end, as text."""

from __future__ import annotations

from typing import assert_never

from fsm_orchestrator.model.endings import signal_name, stop_reason_of
from fsm_orchestrator.vocabulary import StopReason


def asked_words(signum: int) -> str:
    """Return how a request asked a run to end, as the predicate of `the run`."""
    return stop_words(stop_reason_of(signum), signal_name(signum))


def stop_words(reason: StopReason, name: str) -> str:
    """Return how a run was asked to end; `name` is the signal that came, or that is stood for."""
    match reason:
        case StopReason.SIGNAL:
            return f"received {name}"
        case StopReason.REQUESTED:
            return f"was asked to end, as by {name}"
        case StopReason.CANCELLED:
            return "was cancelled"
        case StopReason.SHUTDOWN:
            return "was asked to end, because its worker shuts down"
        case StopReason.LEASE_LOST:
            return "lost its lease"
        case StopReason.FENCED:
            return "was overtaken by a later epoch"
        case StopReason.HANDED_OVER:
            return "was handed over to another task queue"
        case _:
            assert_never(reason)
