"""The data to send of an invocation, and the result of sending it. Loads nothing of the SDK."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from fsm_orchestrator.telemetry.lines import Line
from fsm_orchestrator.telemetry.measures import Measure
from fsm_orchestrator.telemetry.spans import Span


class Sent(NamedTuple):
    """The result of sending: None if all was taken, else the reason; and how much was taken."""

    problem: str | None
    spans: int = 0
    measures: int = 0
    lines: int = 0

    def with_part(self, part: Sent) -> Sent:
        """Return all that was taken by now, if a part was taken before."""
        return Sent(
            self.problem,
            self.spans or part.spans,
            self.measures or part.measures,
            self.lines or part.lines,
        )


class Parcel(NamedTuple):
    """The data to send of an invocation.

    Attributes:
        began: the time when it began, in nanoseconds, and `over` when it ended; its measures are of
            the time between.
        instance: distinguishes it from every other where its sums are added to theirs.
    """

    version: str
    began: int
    over: int
    instance: str
    spans: Sequence[Span]
    measures: Sequence[Measure]
    lines: Sequence[Line]
