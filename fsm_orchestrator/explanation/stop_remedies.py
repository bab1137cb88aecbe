"""What to do about a run that was asked to end, by why it was."""

from __future__ import annotations

from typing import Final, assert_never

from fsm_orchestrator.vocabulary import StopReason

_WITHOUT_ENGINE: Final = "where no engine hands it on, resume"
LOST: Final = (
    f"nothing is broken: the worker that has the run now goes on with it; {_WITHOUT_ENGINE}"
)


def asked_remedy(reason: StopReason | None) -> str:
    """Return what to do, without a full stop; `reason` is None where the record has none."""
    match reason:
        case StopReason.LEASE_LOST | StopReason.FENCED:
            return LOST
        case StopReason.HANDED_OVER:
            return (
                "nothing is broken: a worker of the other task queue goes on with it;"
                f" {_WITHOUT_ENGINE}"
            )
        case StopReason.SHUTDOWN:
            return f"nothing is broken: another worker goes on with it; {_WITHOUT_ENGINE}"
        case StopReason.SIGNAL | StopReason.REQUESTED | StopReason.CANCELLED | None:
            return "nothing is broken: resume when the run may go on"
        case _:
            assert_never(reason)
