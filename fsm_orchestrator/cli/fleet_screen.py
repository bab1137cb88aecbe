"""A fleet on stderr: a table that is redrawn, or a line for each finished run."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Final

from fsm_orchestrator.cli.console import Console, has_unicode
from fsm_orchestrator.cli.formatting import columns
from fsm_orchestrator.cli.live_lines import SPINNER, SPINNER_ASCII, TURNS_A_SECOND, elapsed_words
from fsm_orchestrator.cli.redrawn import Redrawn
from fsm_orchestrator.cli.screen import Line, mark_of, painted, shortened, shown
from fsm_orchestrator.cli.style import Mark, lead_cells
from fsm_orchestrator.errors import OutputError
from fsm_orchestrator.fleet.observing import FleetObserver, FleetView, Working
from fsm_orchestrator.fleet.report import Course, FleetEntry
from fsm_orchestrator.model.listing import WORST_FIRST
from fsm_orchestrator.text.cells import cut_in_middle
from fsm_orchestrator.text.hidden import printable
from fsm_orchestrator.text.terminal import shown_line
from fsm_orchestrator.text.units import span_words

LOOK_SECONDS: Final = 0.1
NAME_CELLS_MAX: Final = 30
_STANDINGS: Final = tuple(one for one in WORST_FIRST if not one.is_held)
"""The standings of a run that is not at work, in the order in which they are counted."""
_COURSES: Final = {
    Course.REFUSED: "refused",
    Course.WORKING: "working",
    Course.SUBMITTED: "left to the engine",
    Course.TO_COME: "to come",
    Course.NOT_STARTED: "not started",
}
_QUIET: Final = frozenset(
    {Course.SKIPPED, Course.LEFT, Course.SUBMITTED, Course.TO_COME, Course.NOT_STARTED}
)
"""The courses that are counted, but not shown run by run."""


def screen_of(out: Console, *, is_quiet: bool) -> FleetObserver:
    """Return an observer that shows a fleet there: a redrawn table, or a line for each run."""
    if out.may_be_redrawn and not is_quiet:
        return _Table(out)
    return _Lines(out, is_quiet=is_quiet)


def counts_words(view: FleetView) -> str:
    """Return how many runs stand where, the worst first."""
    counts = view.counts
    told = [(counts[one], one.words) for one in _STANDINGS]
    told += [(counts[one], words) for one, words in _COURSES.items()]
    return ", ".join(f"{count} {words}" for count, words in told if count)


def entry_line(entry: FleetEntry) -> Line:
    """Return the line of a finished run."""
    standing = entry.standing
    mark = Mark.BAD if standing is None else mark_of(standing)
    words = entry.course.value.replace("_", " ") if standing is None else standing.words
    took = f" ({entry.course.value})" if entry.course is Course.RESUMED else ""
    reason = f": {shown_line(entry.reason)}" if entry.reason and mark is not Mark.GOOD else ""
    return Line(f"{entry.name}: {words}{took}{reason}", mark)


def untold_lines(entry: FleetEntry) -> Iterator[Line]:
    """Yield a line for each notice of the end of a run that could not be delivered."""
    yield from (Line(f"{entry.name}: {shown_line(one)}", Mark.WAITING) for one in entry.untold)


class _Lines:
    """A line for each finished run; when quiet, only for those that did not end well."""

    interval_seconds: float | None = None
    wants_words = False

    def __init__(self, out: Console, *, is_quiet: bool) -> None:
        self._out = out
        self._is_quiet = is_quiet
        self._has_begun = False

    def has_changed(self, view: FleetView, entry: FleetEntry) -> None:
        """Write the line."""
        if entry.course is Course.WORKING:
            self._begin(view)
            return
        line = entry_line(entry)
        if entry.course not in _QUIET and not (self._is_quiet and line.mark is Mark.GOOD):
            self._out.show(shown([line]))
        if entry.untold:
            self._out.show(shown(untold_lines(entry)))

    def look(self, view: FleetView) -> None:
        """Show nothing: nothing has changed."""

    def close(self, view: FleetView) -> None:
        """Show nothing more."""

    def _begin(self, view: FleetView) -> None:
        if not self._has_begun and not self._is_quiet:
            self._has_begun = True
            self._out.show(shown([Line(f"fleet: {counts_words(view)}; {view.jobs} at a time")]))


class _Table:
    """A line with all counts, and one for each run at work, redrawn in place."""

    interval_seconds: float | None = LOOK_SECONDS
    wants_words = True

    def __init__(self, out: Console) -> None:
        self._out = out
        self._redrawn = Redrawn(out)
        self._settled: list[Line] = []
        self._drawn_at = 0.0

    def has_changed(self, view: FleetView, entry: FleetEntry) -> None:
        """Keep the line of a run that did not end well above the table."""
        line = entry_line(entry)
        if entry.course not in _QUIET | {Course.WORKING} and line.mark is not Mark.GOOD:
            self._settled.append(line)
        self._settled += untold_lines(entry)
        self.look(view)

    def look(self, view: FleetView) -> None:
        """Draw the table, a few times a second."""
        now = time.monotonic()
        if now - self._drawn_at >= LOOK_SECONDS:
            self._drawn_at = now
            self._draw([*self._lines(view, now)])

    def close(self, view: FleetView) -> None:
        """Leave only the settled lines."""
        del view
        self._draw([])

    def _draw(self, lines: list[Line]) -> None:
        width = self._out.width - 1
        settled, self._settled = self._settled, []
        fitting = [
            line._replace(text=shortened(line.text, width - (lead_cells() if line.mark else 0)))
            for line in lines
        ]
        with contextlib.suppress(OutputError):  # only messages are lost: the fleet continues
            self._redrawn.draw([*painted(fitting)], [*painted(settled)])

    def _lines(self, view: FleetView, now: float) -> Iterator[Line]:
        yield Line(f"{counts_words(view)}{_left_words(view)}")
        room = max(self._out.size[1] - 4, 1)
        working = list(view.working.values())
        rows = [_row(one, now) for one in working[:room]]
        yield from (Line(text) for text in columns(rows))
        if len(working) > room:
            yield Line(f"  and {len(working) - room} more at work", is_dim=True)
        if view.stopped_by is not None:
            yield Line("ending what is at work; once more kills it", Mark.WAITING)


def _row(one: Working, now: float) -> tuple[str, ...]:
    spinner = SPINNER if has_unicode() else SPINNER_ASCII
    sign = spinner[int(now * TURNS_A_SECOND) % len(spinner)]
    limit = f" of {span_words(one.timeout_ms)}" if one.timeout_ms else ""
    attempt = f" {one.attempt}" if one.attempt > 1 else ""
    stage = f"{one.stage}{attempt}" if one.stage else "begins"
    name = cut_in_middle(one.name, NAME_CELLS_MAX, "…" if has_unicode() else "...")
    words = printable(shown_line(one.words).strip())
    return f"{sign} {name}", stage, f"{elapsed_words(now - one.since)}{limit}", words


def _left_words(view: FleetView) -> str:
    left = view.left_seconds
    return "" if left is None else f"; about {span_words(max(1, round(left)) * 1000)} left"
