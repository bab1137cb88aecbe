"""The people who could not be notified of the end of a run, on screens. Loaded only if needed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from fsm_orchestrator.cli import console
from fsm_orchestrator.cli.formatting import sentences
from fsm_orchestrator.cli.screen import Line, prose_width, shown
from fsm_orchestrator.cli.style import Mark, lead_cells
from fsm_orchestrator.notices.told import untold_of
from fsm_orchestrator.text.json_output import json_line

if TYPE_CHECKING:
    from fsm_orchestrator.inspection.inspected_run import InspectedRun


def untold_text(said: Iterable[str], *, is_json: bool) -> str:
    """Return the lines for the log: for a person, or for a program that reads JSON lines."""
    if is_json:
        lines = ({"level": "warning", "event": "notice_undelivered", "cause": one} for one in said)
        return "".join(map(json_line, lines))
    width = prose_width(console.stderr())
    below = " " * lead_cells()
    lines_of = (sentences(one, width, indent=below, hanging=below) for one in said)
    marked = (
        Line(line[len(below) :] if number == 0 else line, Mark.WAITING if number == 0 else None)
        for lines in lines_of
        for number, line in enumerate(lines)
    )
    return shown(marked)


def untold_sentences(view: InspectedRun) -> Sequence[str]:
    """Return who could not be notified of the last end of a run; empty if all could be."""
    return tuple(one.sentence for one in untold_of(view.directory, view.report.run_id))
