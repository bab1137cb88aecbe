"""What a fleet shows of itself while it works."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Protocol

from fsm_orchestrator.fleet.report import Course, FleetEntry
from fsm_orchestrator.vocabulary import Standing


@dataclass(slots=True)
class Working:
    """A run that is worked at now.

    Attributes:
        stage: the stage at work; empty before the first, and between two.
        since: when that began, or the run, by the monotonic clock.
        words: the line that was printed last.
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
    """A fleet as it is now.

    Attributes:
        entries: the runs by name, in the order of the file.
        working: those at work, the one that began first before the others.
        took_seconds: how long each run has taken that this fleet has done with.
        stopped_by: the signal by which it was asked to end.
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
        """How many runs stand where, and how many have yet to be worked at."""
        return Counter(
            one.standing if one.standing is not None and one.course not in _OPEN else one.course
            for one in self.entries.values()
        )

    @property
    def left_seconds(self) -> float | None:
        """How long the rest will take, by what runs have taken so far; None without any."""
        to_come = sum(one.course is Course.TO_COME for one in self.entries.values())
        if not self.took_seconds or not (to_come or self.working):
            return None
        mean = sum(self.took_seconds) / len(self.took_seconds)
        now = time.monotonic()
        rest = sum(max(0.0, mean - (now - one.began)) for one in self.working.values())
        return (to_come * mean + rest) / self.jobs


_OPEN = frozenset({Course.TO_COME, Course.WORKING})


class FleetObserver(Protocol):
    """Whoever is shown what a fleet does. It decides nothing."""

    @property
    def interval_seconds(self) -> float | None:
        """How often it looks again although nothing has changed; None for never."""

    @property
    def wants_words(self) -> bool:
        """Whether it shows what stages print."""

    def has_changed(self, view: FleetView, entry: FleetEntry) -> None:
        """Show that a run has begun, or has been done with."""

    def look(self, view: FleetView) -> None:
        """Show what is known now."""

    def close(self, view: FleetView) -> None:
        """Show the last of it."""
