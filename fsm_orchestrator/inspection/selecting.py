"""Selects and orders runs of many: by standing, since when, by name."""

from __future__ import annotations

import fnmatch
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final, NamedTuple, assert_never

from fsm_orchestrator.clock import SystemClock
from fsm_orchestrator.inspection.overview import RunOverview
from fsm_orchestrator.model.listing import UNREADABLE, WORST_FIRST, Order
from fsm_orchestrator.text.instants import instant
from fsm_orchestrator.vocabulary import Standing

NEEDING_PEOPLE: Final = (
    Standing.WAITING,
    Standing.BLOCKED,
    Standing.FAILED,
    Standing.TIMEOUT,
    Standing.NOT_CLOSABLE,
    Standing.INTERRUPTED,
    Standing.SUSPENDED,
)
"""The standings that only a person can change; those to act on at once come first."""
_WORST: Final[Mapping[Standing | None, int]] = {
    one: rank for rank, one in enumerate((None, *WORST_FIRST))
}
_PEOPLE: Final[Mapping[Standing | None, int]] = {
    one: rank for rank, one in enumerate((*NEEDING_PEOPLE, None, Standing.WORKING, Standing.DONE))
}
_LONG_AGO: Final = "0001-01-01T00:00:00.000Z"


Key = tuple[float, float, str]


class Selection(NamedTuple):
    """The runs that are selected; all by default.

    Attributes:
        standings: their standings; None among them stands for runs that cannot be read.
        since: the earliest time since which they have that standing. A run at work, or one that
            cannot be read, is never left out by that.
        names: patterns (glob) of their names.
    """

    standings: frozenset[Standing | None] = frozenset()
    since: datetime | None = None
    names: tuple[str, ...] = ()

    def takes(self, run: RunOverview) -> bool:
        """Return whether a run is selected."""
        if self.standings and run.standing not in self.standings:
            return False
        if not self.takes_name(run.name):
            return False
        if self.since is None or run.standing is None or run.standing.is_held:
            return True
        return run.since is None or instant(run.since) >= self.since

    def takes_name(self, name: str) -> bool:
        """Return whether a run with that name can be selected: others need not be looked at."""
        return not self.names or any(fnmatch.fnmatchcase(name, one) for one in self.names)


def standing_words(standing: Standing | None) -> str:
    """Return a standing as people read it."""
    return UNREADABLE if standing is None else standing.words


def counted_worst_first(
    standings: Iterable[Standing | None],
) -> list[tuple[Standing | None, int]]:
    """Return the number of runs with each standing, the worst first."""
    counts = Counter(standings)
    return [(one, counts[one]) for one in _WORST if counts[one]]


def key_of(run: RunOverview, order: Order) -> Key:
    """Return the sort key of a run; equally bad ones are sorted newest first, all ties by name."""
    since = instant(run.since or _LONG_AGO).timestamp()
    match order:
        case Order.WORST:
            return (_WORST[run.standing], -since, run.output_directory)
        case Order.NAME:
            return (0, 0, run.output_directory)
        case Order.NEWEST:
            return (0, -since, run.output_directory)
        case Order.OLDEST:
            return (0, since, run.output_directory)
        case Order.LONGEST:
            return (0, -(took_seconds(run) or 0), run.output_directory)
        case _:
            assert_never(order)


def by_need(runs: Iterable[RunOverview]) -> list[RunOverview]:
    """Return runs by need for a person: the longest first, but of done runs the newest."""

    def key(run: RunOverview) -> Key:
        since = instant(run.since or _LONG_AGO).timestamp()
        is_done = run.standing is Standing.DONE
        return _PEOPLE[run.standing], -since if is_done else since, run.output_directory

    return sorted(runs, key=key)


def took_seconds(run: RunOverview) -> float | None:
    """Return how long the latest invocation took, or has taken; None if that is not known."""
    if run.started_at is None:
        return None
    if run.finished_at is not None and run.holder is None:
        end = instant(run.finished_at)
    elif run.holder is not None:
        end = SystemClock().now()
    else:
        return None
    return max(0.0, (end - instant(run.started_at)).total_seconds())
