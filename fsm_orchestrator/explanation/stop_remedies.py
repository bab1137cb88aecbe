"""The remedies for a run that was asked to end, by the reason."""

from __future__ import annotations

from typing import Final, assert_never

from fsm_orchestrator.vocabulary import StopReason

_WITHOUT_ENGINE: Final = "where no engine hands it on, resume"
LOST: Final = f"nothing is broken: the worker that has the run now continues it; {_WITHOUT_ENGINE}"


def asked_remedy(reason: StopReason | None) -> str:
    """Return the remedy, without its period; `reason` is None if the record has none."""
    match reason:
        case StopReason.LEASE_LOST | StopReason.FENCED:
            return LOST
        case StopReason.HANDED_OVER:
            return (
                "nothing is broken: a worker of the other task queue continues it;"
                f" {_WITHOUT_ENGINE}"
            )
        case StopReason.SHUTDOWN:
            return f"nothing is broken: another worker continues it; {_WITHOUT_ENGINE}"
        case StopReason.SIGNAL | StopReason.REQUESTED | StopReason.CANCELLED | None:
            return "nothing is broken: resume when the run may continue"
        case _:
            assert_never(reason)
