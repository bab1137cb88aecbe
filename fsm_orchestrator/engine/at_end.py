"""What the stage that always runs is told when the run has ended, and how long it may take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from fsm_orchestrator.model.limits import Limits


class AtEnd(NamedTuple):
    """The surroundings of the stage that always runs.

    Attributes:
        environment: variables beside those of every attempt.
        is_short: whether the run was asked to end: the stage has its grace to end, and no more.
    """

    environment: Mapping[str, str]
    is_short: bool

    def within(self, limits: Limits) -> Limits:
        """Return what the stage may take, of what was said of it."""
        if not self.is_short:
            return limits
        grace_ms = max(1, min(limits.timeout_ms, limits.kill_grace_ms))
        return limits._replace(timeout_ms=grace_ms, kill_grace_ms=0)
