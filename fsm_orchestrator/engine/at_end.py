"""The extra environment and the limits of the stage that always runs, once the run has ended."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from fsm_orchestrator.model.limits import Limits


class AtEnd(NamedTuple):
    """The surroundings of the stage that always runs.

    Attributes:
        environment: variables in addition to those of every attempt.
        is_short: True if the run was asked to end, or its time is up: the stage gets its grace
            period to end, and no more.
    """

    environment: Mapping[str, str]
    is_short: bool

    def within(self, limits: Limits) -> Limits:
        """Return the limits of the stage: the given ones, or only its grace period."""
        if not self.is_short:
            return limits
        grace_ms = max(1, min(limits.timeout_ms, limits.kill_grace_ms))
        return limits._replace(timeout_ms=grace_ms, kill_grace_ms=0)
