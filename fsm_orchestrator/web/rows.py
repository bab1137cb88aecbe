"""The rows of the page: each run in a few words, those that need a person first.

Every text is ready to be shown: hidden characters are spelled out, and stages' output is masked
already. The next command of a run is tried as `explain` tries it, apart from the looks: only for
runs that may have one, a few at a time, and kept until the run changes.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor, Future
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, NamedTuple

from fsm_orchestrator.disk.where import record_of
from fsm_orchestrator.explanation.next_command import next_command
from fsm_orchestrator.inspection.at_work import StageAtWork
from fsm_orchestrator.inspection.many_runs import ManyRuns, Place
from fsm_orchestrator.inspection.overview import RunOverview
from fsm_orchestrator.inspection.selecting import by_need
from fsm_orchestrator.model.listing import UNREADABLE
from fsm_orchestrator.text.digest import sha256_of
from fsm_orchestrator.text.hidden import printable, shell_words
from fsm_orchestrator.text.phrases import span_ms
from fsm_orchestrator.text.units import span_words
from fsm_orchestrator.vocabulary import Standing
from fsm_orchestrator.web.board import Listing

ROWS_MAX: Final = 2_000
"""The largest number of runs on a page; of more, the last in the order are only counted."""
OFFERS_SECONDS_MAX: Final = 0.1
"""The seconds spent on next commands between two looks, unless one takes longer."""
KEY_LENGTH: Final = 16
_NOT_ENDED: Final = {Standing.WAITING, Standing.BLOCKED, Standing.WORKING, Standing.SUSPENDED}
"""The standings that are temporary, and do not date from an end."""


class Group(StrEnum):
    """The groups of runs, by who has to act now, in the order in which the page shows them."""

    PERSON = "person"
    """Somebody is awaited."""
    LOOK = "look"
    """It did not end well, or cannot continue on its own."""
    WORKING = "working"
    DONE = "done"


class Rows:
    """The rows of all runs in a directory, which may itself be a run's."""

    def __init__(self, directory: Path) -> None:
        self._runs = ManyRuns([Place(str(directory), directory)])
        self._offers: _Offers = {}
        self._offering: Future[_Offers] | None = None
        self._made: dict[str, _Made] = {}

    def look(self, pool: Executor) -> Listing:
        """Look again. Never raises for existing files; next commands are found in `pool`."""
        troubles = self._runs.look().troubles
        runs = by_need(self._runs.rows.values())
        shown = runs[:ROWS_MAX]
        if self._offering is None or self._offering.done():
            self._offers = {} if self._offering is None else self._offering.result()
            self._offering = pool.submit(_offers_of, shown, self._offers)
        self._made = {one.output_directory: self._made_of(one) for one in shown}
        about = {
            "counts": Counter(_look_of(one) for one in runs),
            "left_out": len(runs) - len(shown),
            "troubles": [printable(one) for one in troubles],
        }
        return Listing({one.row["key"]: one.row for one in self._made.values()}, about)

    def directory_of(self, key: str) -> Path | None:
        """Return the directory of a run's record, or None if it is gone."""
        named = (shown for shown, one in self._made.items() if one.row["key"] == key)
        found = next(map(Path, named), None)
        return None if found is None else record_of(found)

    def _made_of(self, run: RunOverview) -> _Made:
        """Return the row of a run: the same object as before if the run has not changed."""
        offer = self._offers.get(run.output_directory)
        command = () if offer is None or offer.run is not run else offer.words
        made = self._made.get(run.output_directory)
        if made is not None and made.run is run and made.command == command:
            return made
        row = {
            "key": _key_of(run.output_directory),
            "name": printable(run.name),
            "run_id": run.run_id or "",
            "look": _look_of(run),
            "group": _group_of(run),
            "since": run.since,
            "has_ended": run.standing is not None and run.standing not in _NOT_ENDED,
            "took": _took(run),
            "at_work": [_at_work(one) for one in run.at_work],
            "told": printable(run.told),
            "is_printed": not (run.trouble or run.reason),
            "command": list(command),
        }
        return _Made(run, command, row)


class _Made(NamedTuple):
    """A row, and what it was made from."""

    run: RunOverview
    command: tuple[str, ...]
    row: Mapping[str, Any]


class _Offer(NamedTuple):
    """A next command, and the run for which it was found."""

    run: RunOverview
    words: tuple[str, ...]


_Offers = Mapping[str, _Offer]


def _offers_of(runs: Sequence[RunOverview], known: _Offers) -> _Offers:
    """Return the known next commands, and as many more as there is time for.

    One may take long: the artifacts of completed stages are checked as a resume would check them.
    """
    until = time.monotonic() + OFFERS_SECONDS_MAX
    offers = dict[str, _Offer]()
    for run in runs:
        if _group_of(run) not in {Group.PERSON, Group.LOOK}:
            continue
        offer, shown = known.get(run.output_directory), run.output_directory
        if offer is not None and offer.run is run:
            offers[shown] = offer
        elif time.monotonic() < until:
            offers[shown] = _Offer(run, tuple(shell_words(next_command(Path(shown), shown))))
    return offers


def _key_of(directory: str) -> str:
    return sha256_of(directory.encode(errors="surrogateescape"))[:KEY_LENGTH]


def _look_of(run: RunOverview) -> str:
    return UNREADABLE if run.standing is None else run.standing.value


def _stage_words(stage: str, attempt: int) -> str:
    return stage if attempt == 1 else f"{stage}, attempt {attempt}"


def _took(run: RunOverview) -> str:
    """Return how long the latest invocation of a done run took."""
    if run.standing is not Standing.DONE or run.started_at is None or run.finished_at is None:
        return ""
    return span_words(span_ms(run.started_at, run.finished_at))


def _at_work(one: StageAtWork) -> dict[str, Any]:
    return {
        "stage": _stage_words(one.stage, one.attempt),
        "since": one.since,
        "limit_ms": one.limit_ms,
        "limit": "" if one.limit_ms is None else span_words(one.limit_ms),
        "doing": one.doing.value,
    }


def _group_of(run: RunOverview) -> Group:
    match run.standing:
        case Standing.WAITING | Standing.BLOCKED:
            return Group.PERSON
        case Standing.WORKING:
            return Group.WORKING
        case Standing.DONE:
            return Group.DONE
        case _:
            return Group.LOOK
