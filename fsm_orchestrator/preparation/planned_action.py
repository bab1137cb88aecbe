"""What an invocation would do about a stage, as a plan says it."""

from __future__ import annotations

from enum import StrEnum


class PlannedAction(StrEnum):
    """What an invocation would do about a stage."""

    RUN = "run"
    FAIL = "fail"
    """It would be started, and cannot be as things are."""
    VERIFY = "verify"
    """What it did would be verified again, and it would not be run."""
    SKIP = "skip"
    PASS_OVER = "pass_over"  # noqa: S105 - nobody's password
    NOT_REACHED = "not_reached"
