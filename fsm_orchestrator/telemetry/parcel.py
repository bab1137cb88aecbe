"""What is sent of an invocation, and what came of sending it. Loads nothing of the SDK."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from fsm_orchestrator.telemetry.lines import Line
from fsm_orchestrator.telemetry.measures import Measure
from fsm_orchestrator.telemetry.spans import Span


class Sent(NamedTuple):
    """What came of sending: None where all was taken, else why not; and how much was taken."""

    problem: str | None
    spans: int = 0
    measures: int = 0
    lines: int = 0

    def with_part(self, part: Sent) -> Sent:
        """Return all that was taken by now, where a part was taken before."""
        return Sent(
            self.problem,
            self.spans or part.spans,
            self.measures or part.measures,
            self.lines or part.lines,
        )


class Parcel(NamedTuple):
    """What is to be sent of an invocation.

    Attributes:
        began: when it began, in nanoseconds, and `over` when it ended: its measures are of that.
        instance: tells it from every other, where somebody adds its sums to others.
    """

    version: str
    began: int
    over: int
    instance: str
    spans: Sequence[Span]
    measures: Sequence[Measure]
    lines: Sequence[Line]
