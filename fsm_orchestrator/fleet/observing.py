"""The state that a fleet shows while it works."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Protocol

from fsm_orchestrator.fleet.report import Course, FleetEntry
from fsm_orchestrator.vocabulary import Standing


@dataclass(slots=True)
class Working:
    """A run at work now.

    Attributes:
        stage: the stage at work; empty before the first.
        since: the time when that stage began, or the run, by the monotonic clock.
        words: the last line that the stage printed.
    """

    name: str
    is_resume: bool
    began: float
    since: float
    stage: str = ""
    attempt: int = 0
    timeout_ms: int = 0
    words: str = ""


@dataclass(slots=True)
class FleetView:
    """The current state of a fleet.

    Attributes:
        entries: the runs by name, in file order.
        working: the runs at work, in the order in which they began.
        took_seconds: the time that each turn of a run took.
        stopped_by: the signal that asked the fleet to end.
    """

    jobs: int
    entries: dict[str, FleetEntry]
    began: float
    working: dict[str, Working] = field(default_factory=dict)
    took_seconds: list[float] = field(default_factory=list)
    stopped_by: int | None = None
    requests: int = 0

    @property
    def counts(self) -> Counter[Standing | Course]:
        """The number of runs by standing, or by course while a run is still to come or at work."""
        return Counter(
            one.standing if one.standing is not None and one.course not in _OPEN else one.course
            for one in self.entries.values()
        )

    @property
    def left_seconds(self) -> float | None:
        """The estimated seconds left, by the mean of the runs so far; None without a basis."""
        to_come = sum(one.course is Course.TO_COME for one in self.entries.values())
        if not self.took_seconds or not (to_come or self.working):
            return None
        mean = sum(self.took_seconds) / len(self.took_seconds)
        now = time.monotonic()
        rest = sum(max(0.0, mean - (now - one.began)) for one in self.working.values())
        return (to_come * mean + rest) / self.jobs


_OPEN = frozenset({Course.TO_COME, Course.WORKING})


class FleetObserver(Protocol):
    """An observer that is shown a fleet's work. It decides nothing."""

    @property
    def interval_seconds(self) -> float | None:
        """The seconds between two looks while nothing changes; None for no such looks."""

    @property
    def wants_words(self) -> bool:
        """True if it shows what stages print."""

    def has_changed(self, view: FleetView, entry: FleetEntry) -> None:
        """Show the changed entry of a run."""

    def look(self, view: FleetView) -> None:
        """Show the current state."""

    def close(self, view: FleetView) -> None:
        """Show the final state."""
