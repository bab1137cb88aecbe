"""The list of many runs: a line for each, written as they are looked at.

So many runs may be listed that neither their lines are kept until the last is known, nor the
reader waits for it: a batch is aligned and written at a time, and no narrower than those before.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Final

from fsm_orchestrator.cli import console
from fsm_orchestrator.cli.formatting import age, columns
from fsm_orchestrator.cli.screen import Line, mark_of, shortened, shown
from fsm_orchestrator.cli.style import Mark, ellipsis, lead_cells
from fsm_orchestrator.inspection.looking import overview_of
from fsm_orchestrator.inspection.overview import RunOverview
from fsm_orchestrator.text.cells import cut_in_middle
from fsm_orchestrator.text.hidden import copyable
from fsm_orchestrator.text.json_output import json_text
from fsm_orchestrator.vocabulary import ExitCode

BATCH_RUNS: Final = 1000
LINE_WIDTH_MIN: Final = 20
PATH_WIDTH_MAX: Final = 4096
_INDENT: Final = " " * 4


def write_list(named: Iterable[tuple[str, Path]], *, as_json: bool) -> ExitCode:
    """Write where runs stand; return DONE when all can be read, FAILED when not.

    `named` are their directories, each behind what it is shown as. Once nobody reads any more,
    no more are looked at.
    """
    code = ExitCode.DONE

    def looked_at() -> Iterator[RunOverview]:
        nonlocal code
        for name, directory in named:
            run = overview_of(directory, name)
            if run.trouble is not None:
                code = ExitCode.FAILED
            yield run

    (_write_json if as_json else _write_lines)(looked_at())
    return code


def _write_json(runs: Iterator[RunOverview]) -> None:
    out, lead = console.stdout(), '{\n  "runs": [\n'
    for run in runs:
        text = json_text(run.to_document())
        out.write(lead + _INDENT + text.replace("\n", f"\n{_INDENT}"))
        lead = ",\n"
        if out.is_broken:
            return
    out.write("\n  ]\n}\n")


def _write_lines(runs: Iterator[RunOverview]) -> None:
    out = console.stdout()
    table = _Table(out.width if out.is_terminal else None)
    while not out.is_broken and (batch := list(islice(runs, BATCH_RUNS))):
        out.show(table.text_of(batch))


class _Table:
    """The lines so far; none is wider than `width`, and what is cut ends in an ellipsis.

    Of what does not fit the end of a reason or of the last words is left out, and of a long path
    its middle.
    """

    def __init__(self, width: int | None) -> None:
        self._width = width
        self._path_width = PATH_WIDTH_MAX if width is None else max(width // 3, LINE_WIDTH_MIN)
        self._ellipsis = ellipsis()
        self._widths: list[int] = []

    def text_of(self, runs: Sequence[RunOverview]) -> str:
        """Return the lines of more runs as painted text, under the head if they are the first."""
        rows = [self._row(one) for one in runs]
        marks: list[Mark | None] = [
            Mark.BAD if one.standing is None else mark_of(one.standing) for one in runs
        ]
        if not self._widths:
            rows.insert(0, ("run in", "stands", "for", "stage", "reason or last words"))
            marks.insert(0, None)
        lines = columns(rows, indent="", widths=self._widths)
        return shown(map(self._line, marks, lines))

    def _line(self, mark: Mark | None, text: str) -> Line:
        lead, line = lead_cells(), text
        if self._width is not None:
            line = shortened(text, max(self._width, LINE_WIDTH_MIN) - lead)
        return Line(f"{'':<{lead}}{line}" if mark is None else line, mark, is_dim=mark is None)

    def _row(self, run: RunOverview) -> tuple[str, ...]:
        standing = "unreadable" if run.standing is None else run.standing.words
        if run.standing is not None and run.standing.is_held:
            standing = f"{standing}: {run.current_state or '-'}"
        stage = "-" if run.stage is None else f"{run.stage} {run.attempt}"
        reason = run.told
        since = "-" if run.since is None else age(run.since)
        path = cut_in_middle(copyable(run.output_directory), self._path_width, self._ellipsis)
        return path, standing, since, stage, reason
