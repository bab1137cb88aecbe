"""Archived runs as lines of a screen: mark, name, where each stood, since when, and its size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from fsm_orchestrator.cli.formatting import age, columns, sentences
from fsm_orchestrator.cli.screen import Line, mark_of
from fsm_orchestrator.cli.style import Mark, lead_cells
from fsm_orchestrator.retention.archived import ArchivedRun
from fsm_orchestrator.text.hidden import copyable
from fsm_orchestrator.text.units import size_words


def archived_lines(runs: Iterable[tuple[ArchivedRun, str | None]], width: int) -> Iterator[Line]:
    """Yield a line for each run, with any remarks about it below."""
    listed = list(runs)
    rows = columns([_row(run) for run, _ in listed], indent="")
    below = " " * (lead_cells() + 2)
    for (run, said), row in zip(listed, rows, strict=True):
        yield Line(row, Mark.BAD if run.standing is None else mark_of(run.standing))
        for text in filter(None, (said, run.trouble)):
            yield from map(Line, sentences(text, width, indent=below, hanging=below))


def _row(run: ArchivedRun) -> tuple[str, ...]:
    standing = "unreadable" if run.standing is None else run.standing.words
    ended = f"{age(run.ended_at)} ago"
    return copyable(run.name), standing, ended, size_words(run.size_bytes)
