"""The list of many runs: counts, then a line for each, the worst first.

The worst can only come first once all were read: until then no more is kept of each run than the
text of its line, as bytes. JSON in the order in which runs were named is written as they are read.
"""

from __future__ import annotations

import marshal
from collections import Counter
from collections.abc import Iterable, Iterator
from operator import itemgetter
from typing import Final, NamedTuple

from fsm_orchestrator.cli import console
from fsm_orchestrator.cli.run_table import Row, Table, row_of
from fsm_orchestrator.cli.run_words import counts_lines
from fsm_orchestrator.cli.screen import shown
from fsm_orchestrator.cli.style import Mark
from fsm_orchestrator.inspection.overview import RunOverview
from fsm_orchestrator.inspection.selecting import (
    Key,
    Selection,
    counted_worst_first,
    key_of,
)
from fsm_orchestrator.model.listing import UNREADABLE, Order
from fsm_orchestrator.text.hidden import copyable
from fsm_orchestrator.text.json_output import json_text
from fsm_orchestrator.vocabulary import ExitCode, Standing

BATCH_RUNS: Final = 1000
_BEGIN: Final = '{\n  "runs": [\n'
_INDENT: Final = " " * 4


class Asked(NamedTuple):
    """The parameters of a list of runs.

    Attributes:
        order: None for the default order of the list: the worst first for people.
        failing: the standings that make the list exit with 1. An unreadable run does so too.
        parent: the one directory that they are all in, as it was typed; None for several.
        is_history: True if they are the run in that directory, and those in its archive.
    """

    selection: Selection = Selection()
    order: Order | None = None
    failing: frozenset[Standing | None] = frozenset()
    parent: str | None = None
    is_history: bool = False

    def name_of(self, run: RunOverview) -> str:
        """Return the name of a run in the list, or its whole path as it was typed.

        Runs of one directory are distinguished by their ids.
        """
        if self.is_history:
            return run.run_id or run.name
        return run.output_directory if self.parent is None else run.name


def write_list(runs: Iterable[RunOverview], asked: Asked, *, as_json: bool) -> ExitCode:
    """Write where the requested runs stand; return the exit code for them."""
    found = _Found(runs, asked)
    (_write_json if as_json else _write_lines)(found, asked)
    is_bad = found.is_troubled or any(one in asked.failing for one in found.counts)
    return ExitCode.FAILED if is_bad else ExitCode.DONE


class _Found:
    """The requested runs, counted as they are read."""

    def __init__(self, runs: Iterable[RunOverview], asked: Asked) -> None:
        self._runs = runs
        self._takes = asked.selection.takes
        self.counts: Counter[Standing | None] = Counter()
        self.total = 0
        self.is_troubled = False

    def __iter__(self) -> Iterator[RunOverview]:
        for run in self._runs:
            self.total += 1
            if self._takes(run):
                self.counts[run.standing] += 1
                self.is_troubled |= run.trouble is not None
                yield run


def _write_json(found: _Found, asked: Asked) -> None:
    out, lead = console.stdout(), _BEGIN
    for run in _in_order(found, asked.order):
        text = json_text(run.to_document())
        out.write(lead + _INDENT + text.replace("\n", f"\n{_INDENT}"))
        lead = ",\n"
        if out.is_broken:
            return
    counts = {
        UNREADABLE if standing is None else standing.value: count
        for standing, count in counted_worst_first(found.counts.elements())
    }
    out.write(lead if lead == _BEGIN else "\n")
    told = json_text(counts).replace("\n", "\n  ")
    out.write(f'  ],\n  "counts": {told},\n  "total": {found.total}\n}}\n')


def _in_order(found: _Found, order: Order | None) -> Iterable[RunOverview]:
    if order is None:
        return found
    return sorted(found, key=lambda run: key_of(run, order))


def _write_lines(found: _Found, asked: Asked) -> None:
    out = console.stdout()
    width = out.width if out.is_terminal else None
    table, waiting = Table(width), list[tuple[Key, Mark, bytes]]()
    order = asked.order or Order.WORST
    for run in found:
        row = row_of(run, asked.name_of(run), width)
        table.note(row)
        waiting.append((key_of(run, order), row.mark, marshal.dumps(row.texts)))
    waiting.sort(key=itemgetter(0))
    table.fit()
    where = "" if asked.parent is None else f" in {copyable(asked.parent)}"
    counts = counts_lines(found.counts.elements(), found.total, where, width)
    out.show("".join(f"{line}\n" for line in counts))
    if waiting:
        out.show(shown([table.head()]))
    for start in range(0, len(waiting), BATCH_RUNS):
        if out.is_broken:
            return
        batch = waiting[start : start + BATCH_RUNS]
        rows = (Row(mark, *marshal.loads(texts)) for _, mark, texts in batch)  # noqa: S302 - ours
        out.show(shown(map(table.line, rows)))
