"""The actions of an invocation on a stage, as a plan names them."""

from __future__ import annotations

from enum import StrEnum


class PlannedAction(StrEnum):
    """An action that an invocation would take on a stage."""

    RUN = "run"
    FAIL = "fail"
    """It would be started, but cannot be as things are."""
    VERIFY = "verify"
    """Its work would be verified again, without running it."""
    SKIP = "skip"
    PASS_OVER = "pass_over"  # noqa: S105 - nobody's password
    NOT_REACHED = "not_reached"
