"""A line for each run whose standing changed, for output that cannot be redrawn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from fsm_orchestrator.cli.run_words import counts_lines, in_one_line, mark_of_run
from fsm_orchestrator.cli.screen import Line, shown
from fsm_orchestrator.cli.style import Mark
from fsm_orchestrator.clock import SystemClock, timestamp
from fsm_orchestrator.inspection.many_runs import Changes
from fsm_orchestrator.inspection.overview import RunOverview
from fsm_orchestrator.inspection.selecting import by_need, standing_words
from fsm_orchestrator.text.hidden import copyable
from fsm_orchestrator.vocabulary import Standing


class _Stand(NamedTuple):
    """The facts of a run whose change is news; another line printed by its stage is not."""

    run_id: str | None
    standing: Standing | None
    state: str | None
    stage: str | None
    attempt: int
    reason: str


class ChangeLines:
    """The lines for changes since the previous call; the first covers all runs not yet done."""

    def __init__(self) -> None:
        self._stood: dict[str, _Stand] | None = None
        self._troubles: tuple[str, ...] = ()

    def text_of(self, rows: Mapping[str, RunOverview], changes: Changes) -> str:
        """Return the lines for the changes, as painted text."""
        at = timestamp(SystemClock().now())
        stood, self._stood = self._stood, {shown: _stand_of(row) for shown, row in rows.items()}
        text = ""
        if stood is None:
            counts = counts_lines([one.standing for one in rows.values()], len(rows), "", None)
            text, stood = f"{at}  {counts[0]}\n", self._done_of(rows)
        troubles, self._troubles = self._troubles, changes.troubles
        lines = [
            Line(f"{at}  {in_one_line(one)}", Mark.BAD)
            for one in changes.troubles
            if one not in troubles
        ]
        lines += (Line(f"{at}  {copyable(one)}: gone") for one in stood if one not in rows)
        return text + shown([*lines, *self._changed(at, rows, stood)])

    def _done_of(self, rows: Mapping[str, RunOverview]) -> dict[str, _Stand]:
        return {k: _stand_of(row) for k, row in rows.items() if row.standing is Standing.DONE}

    def _changed(
        self, at: str, rows: Mapping[str, RunOverview], stood: Mapping[str, _Stand]
    ) -> Iterator[Line]:
        news = (row for shown, row in rows.items() if stood.get(shown) != _stand_of(row))
        for row in by_need(news):
            words = standing_words(row.standing)
            if row.at_work:
                told = ", ".join(f"{one.stage} {one.attempt}" for one in row.at_work)
            else:
                told = in_one_line(row.trouble or row.reason)
            said = ": ".join(filter(None, (copyable(row.output_directory), words, told)))
            yield Line(f"{at}  {said}", mark_of_run(row.standing))


def _stand_of(row: RunOverview) -> _Stand:
    return _Stand(
        row.run_id,
        row.standing,
        row.current_state,
        row.stage,
        row.attempt,
        row.trouble or row.reason,
    )
