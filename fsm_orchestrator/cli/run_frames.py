"""The screens of many runs on a terminal: the worst first, or those first that need a person."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from fsm_orchestrator.cli.formatting import command_lines, shown_path
from fsm_orchestrator.cli.run_list import Asked
from fsm_orchestrator.cli.run_table import Table, row_of
from fsm_orchestrator.cli.run_words import age_words, counts_lines, in_one_line
from fsm_orchestrator.cli.screen import Line, painted, shortened
from fsm_orchestrator.cli.style import Mark, ellipsis, lead_cells
from fsm_orchestrator.explanation.next_command import explaining
from fsm_orchestrator.inspection.many_runs import Changes
from fsm_orchestrator.inspection.overview import RunOverview
from fsm_orchestrator.inspection.selecting import by_need, key_of, standing_words
from fsm_orchestrator.model.listing import Order
from fsm_orchestrator.text.cells import cut
from fsm_orchestrator.text.hidden import copyable
from fsm_orchestrator.vocabulary import Standing

_ENDS: Final = Line("Ctrl-C ends", is_dim=True)
_INDENT: Final = "    "
_COMMAND_LINES_MAX: Final = 2
"""The maximum lines of a shown command; for a longer one, `explain` is shown instead."""

Commands = Callable[[RunOverview], Sequence[str]]
"""The function that finds the next command for a run."""


class ListFrame:
    """As much of the list of `status` as fits."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._runs: list[RunOverview] = []
        self._troubles: tuple[str, ...] = ()

    def note(self, rows: Mapping[str, RunOverview], changes: Changes) -> None:
        """Record the findings."""
        order = self._asked.order or Order.WORST
        self._runs = sorted(rows.values(), key=lambda one: key_of(one, order))
        self._troubles = changes.troubles

    def lines(self, width: int, height: int) -> list[str]:
        """Return as many lines as fit."""
        head = _head(self._runs, self._asked.parent, self._troubles, width)
        room = max(height - len(head) - 2, 1)
        kept = self._runs if len(self._runs) <= room else self._runs[: room - 1]
        lines = _table(kept, self._asked.name_of, width)
        if len(kept) < len(self._runs):
            lines.append(_more(len(self._runs) - len(kept), "runs", width))
        return [*head, *lines, *painted([_ENDS])][:height]


class NeedFrame:
    """The runs that need a person, then those at work, and the number of those that are done."""

    def __init__(self, asked: Asked, next_command: Commands) -> None:
        self._asked = asked
        self._next_command = next_command
        self._commands: dict[str, tuple[RunOverview, Sequence[str]]] = {}
        self._needy: list[RunOverview] = []
        self._working: list[RunOverview] = []
        self._done: list[RunOverview] = []
        self._troubles: tuple[str, ...] = ()

    def note(self, rows: Mapping[str, RunOverview], changes: Changes) -> None:
        """Record the findings."""
        runs = by_need(rows.values())
        self._done = [one for one in runs if one.standing is Standing.DONE]
        self._working = [one for one in runs if one.standing is Standing.WORKING]
        self._needy = [one for one in runs if one.standing not in {Standing.DONE, Standing.WORKING}]
        self._troubles = changes.troubles
        for shown in changes.gone:
            self._commands.pop(shown, None)

    def lines(self, width: int, height: int) -> list[str]:
        """Return as many lines as fit, with some kept for runs at work."""
        runs = [*self._needy, *self._working, *self._done]
        head = _head(runs, self._asked.parent, self._troubles, width)
        done = [*painted(self._done_lines(width))]
        room = max(height - len(head) - len(done) - 1, 1)
        for_working = min(len(self._working), max(1, room // 3))
        shown = [*self._needy[:room], *self._working[:room]]
        lines = dict(zip(map(id, shown), self._table(shown, width), strict=True))
        needy = self._needy_lines(lines, width, room - for_working)
        working = self._working_lines(lines, width, room - len(needy))
        return [*head, *needy, *working, *done, *painted([_ENDS])][:height]

    def _needy_lines(self, lines: Mapping[int, str], width: int, room: int) -> list[str]:
        """Return those that need a person, each above its command; `lines` are those of runs."""
        found: list[str] = []
        for index, run in enumerate(self._needy):
            left = len(self._needy) - index
            space = room - len(found) - (left > 1)
            block = [lines[id(run)], *self._command(run, width)] if space > 0 else []
            if len(block) > space:
                block = block[:1]
            if not block:
                return [*found, _more(left, _needy_words(self._needy[index:]), width)]
            found += block
        return found

    def _working_lines(self, lines: Mapping[int, str], width: int, room: int) -> list[str]:
        kept = self._working if len(self._working) <= room else self._working[: max(room - 1, 0)]
        found = [lines[id(run)] for run in kept]
        if len(kept) < len(self._working) and room > 0:
            found.append(_more(len(self._working) - len(kept), "at work", width))
        return found

    def _table(self, runs: Sequence[RunOverview], width: int) -> list[str]:
        return _table(runs, self._asked.name_of, width, in_brief=True)

    def _done_lines(self, width: int) -> list[Line]:
        if not self._done:
            return []
        latest = self._done[0]
        name = copyable(self._asked.name_of(latest))
        said = f"{len(self._done):,} done, the latest {age_words(latest)} ago: {name}"
        return [Line(shortened(said, width - lead_cells()), Mark.GOOD)]

    def _command(self, run: RunOverview, width: int) -> list[str]:
        """Return the whole next command for a run, or `explain` if the command is too long."""
        known = self._commands.get(run.output_directory)
        if known is None or known[0] is not run:
            known = run, self._next_command(run)
            self._commands[run.output_directory] = known
        lines = command_lines(known[1], _INDENT, width)
        if len(lines) > _COMMAND_LINES_MAX:
            lines = command_lines(explaining(shown_path(run.output_directory)), _INDENT, width)
        return [cut(line, width, ellipsis()) for line in lines]


def _needy_words(runs: Sequence[RunOverview]) -> str:
    counts = Counter(one.standing for one in runs)
    told = [f"{count:,} {standing_words(one)}" for one, count in counts.items()]
    return f"that need a person: {', '.join(told)}"


def _head(
    runs: Iterable[RunOverview], parent: str | None, troubles: Sequence[str], width: int
) -> list[str]:
    standings = [one.standing for one in runs]
    where = "" if parent is None else f" in {copyable(parent)}"
    lines = [Line(shortened(in_one_line(one), width - lead_cells()), Mark.BAD) for one in troubles]
    return [*counts_lines(standings, len(standings), where, width), *painted(lines), ""]


def _table(
    runs: Sequence[RunOverview],
    name_of: Callable[[RunOverview], str],
    width: int,
    *,
    in_brief: bool = False,
) -> list[str]:
    table = Table(width, has_took=not in_brief)
    rows = [row_of(run, name_of(run), width) for run in runs]
    for row in rows:
        table.note(row)
    table.fit()
    head = [table.head()] if rows and not in_brief else []
    return [*painted([*head, *map(table.line, rows)])]


def _more(count: int, what: str, width: int) -> str:
    (line,) = painted([Line(shortened(f"  and {count:,} more {what}", width), is_dim=True)])
    return line
