"""A lifecycle, or a run on it, on a terminal: a line for each state, and how to draw a picture."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from fsm_orchestrator.cli.console import has_unicode
from fsm_orchestrator.cli.formatting import columns, sentences
from fsm_orchestrator.cli.screen import Line, folded
from fsm_orchestrator.cli.style import Mark
from fsm_orchestrator.record.report import Report
from fsm_orchestrator.rendering.diagram.outline import Row, outline
from fsm_orchestrator.rendering.diagram.picture import Mark as Overlay
from fsm_orchestrator.rendering.diagram.picture import Picture, Shape
from fsm_orchestrator.text.cells import cells
from fsm_orchestrator.vocabulary import Outcome, StageStatus

NAMES_WIDTH: Final = 30
_MARK_CELLS: Final = 2
_LEFT_OUT: Final = "conditions, resumes and aborts are left out"


def text_of(
    picture: Picture, width: int, next_rows: Sequence[tuple[str, str]], report: Report | None
) -> Iterator[Line]:
    """Yield the lines; `next_rows` are the commands to type next, empty if nobody can type."""
    yield from map(Line, sentences(f"{picture.name}: {picture.title}", width, indent=""))
    yield Line("")
    notes = None if report is None else _notes(report)
    rows = outline(picture, notes)
    names = [_names(row) for row in rows]
    column = max(map(cells, names))
    for row, name in zip(rows, names, strict=True):
        is_dim = row.mark is Overlay.UNTAKEN
        mark = Mark.LEFT_OUT if is_dim else _mark(row, notes)
        lead = f"{name}{' ' * (column - cells(name))}  "
        said = "; ".join(filter(None, (_what(row), _exits(row))))
        first, *rest = sentences(said, width - 3, indent=lead, hanging=" " * len(lead)) or [name]
        yield Line(first.rstrip(), mark, is_dim)
        yield from (Line(f"{' ' * _MARK_CELLS}{one}", is_dim=is_dim) for one in rest)
    yield Line("")
    captions = picture.captions if report is None else ()
    for caption in (*captions, _LEFT_OUT):
        yield from (Line(one, is_dim=True) for one in sentences(caption, width))
    yield from map(Line, columns(next_rows))


def _notes(report: Report) -> dict[str, str]:
    """Return notes on the states of a run: how stages ended that did not simply succeed."""
    notes = {}
    for one in report.stage_executions:
        if one.attempt and one.status not in {StageStatus.SUCCESS, StageStatus.SKIPPED}:
            notes[one.stage] = f"attempt {one.attempt}: {one.status.value.replace('_', ' ')}"
        elif one.flaky:
            notes[one.stage] = f"attempt {one.attempt}: succeeded"
        else:
            notes.pop(one.stage, None)
    if report.current_state is not None:
        end = "the run is here" if report.terminal_state is None else "the run ended here"
        notes[report.current_state] = end
    return notes


def _names(row: Row) -> str:
    return folded(row.names, NAMES_WIDTH)


def _what(row: Row) -> str:
    return ", ".join(row.details) or (row.shape.value if row.shape is Shape.STAGE else "")


def _exits(row: Row) -> str:
    arrow = "→" if has_unicode() else "->"
    return ", ".join(f"{word} {arrow} {dest}" for word, dest in row.exits)


def _mark(row: Row, notes: Mapping[str, str] | None) -> Mark:
    match row.outcome:
        case Outcome.DONE:
            return Mark.GOOD
        case Outcome.FAILED | Outcome.TIMEOUT:
            return Mark.BAD
        case Outcome.BLOCKED:
            return Mark.WAITING
        case None if notes is None:
            return Mark.AHEAD
        case None:
            is_told_of = any(one in notes for one in (row.names[0], *row.members))
            return Mark.WAITING if is_told_of else Mark.GOOD
