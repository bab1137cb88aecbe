"""Rows of many runs as a table that uses the available width."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from fsm_orchestrator.cli.run_words import age_words, mark_of_run, told_words, took_words
from fsm_orchestrator.cli.screen import Line, shortened
from fsm_orchestrator.cli.style import Mark, ellipsis, lead_cells
from fsm_orchestrator.inspection.overview import RunOverview
from fsm_orchestrator.inspection.selecting import standing_words
from fsm_orchestrator.text.cells import cells, cut, cut_in_middle, padded
from fsm_orchestrator.text.hidden import copyable

NAME_CELLS_MIN: Final = 20
_HEAD: Final = ("run", "stands", "for", "took", "reason or last words")
_TOLD_CELLS_MIN: Final = 30
"""The minimum width left for reasons."""
_STANDING_CELLS: Final = 20
_NARROW: Final = ((0, NAME_CELLS_MIN), (1, 12), (0, 12), (1, 8))
"""The widths of columns on a very narrow screen, applied one step after the other."""
_GAP: Final = "  "


class Row(NamedTuple):
    """The columns of a run."""

    mark: Mark
    name: str
    standing: str
    age: str
    took: str
    told: str
    is_trouble: bool = False
    """True if `told` says why the run cannot be read: a path, and then the reason."""

    @property
    def texts(self) -> tuple[str | bool, ...]:
        """The columns after the mark, and whether the last of them says why it cannot be read."""
        return self[1:]


def row_of(run: RunOverview, shown: str, width: int | None) -> Row:
    """Return the row of a run, under the name `shown`; its text is no longer than `width` shows."""
    is_trouble = run.trouble is not None
    return Row(
        mark_of_run(run.standing),
        copyable(shown),
        standing_words(run.standing),
        age_words(run),
        took_words(run),
        told_words(run)[: None if is_trouble else width],
        is_trouble,
    )


class Table:
    """The columns of a table, as wide as its rows require.

    Text that does not fit in `width` loses the end of a reason, and the middle of a long name and
    of a message about an unreadable run. If little room is left for reasons, the columns before
    them shrink.
    """

    def __init__(self, width: int | None, *, has_took: bool = True) -> None:
        self._room = None if width is None else max(width, NAME_CELLS_MIN) - lead_cells()
        self._ellipsis = ellipsis()
        self._widths = [*map(len, _HEAD)]
        self._has_took = has_took

    def note(self, row: Row) -> None:
        """Make room for a row."""
        taken = (cells(row.name), cells(row.standing), len(row.age), len(row.took), 0)
        self._widths = [*map(max, self._widths, taken)]

    def fit(self) -> None:
        """Fix the width of each column, once all rows were noted."""
        if self._room is None:
            return
        self._widths[0] = min(self._widths[0], max(self._room // 3, NAME_CELLS_MIN))
        if self._left < _TOLD_CELLS_MIN:
            self._widths[1] = min(self._widths[1], _STANDING_CELLS)
        if self._left < _TOLD_CELLS_MIN:
            self._has_took = False
        for column, width in _NARROW:
            if self._left < _TOLD_CELLS_MIN:
                self._widths[column] = min(self._widths[column], width)

    @property
    def _left(self) -> int:
        """The number of cells left for reasons."""
        before = self._widths[: 4 if self._has_took else 3]
        return (self._room or 0) - sum(before) - len(_GAP) * len(before)

    def head(self) -> Line:
        """Return the head of the columns."""
        return Line(f"{'':<{lead_cells()}}{self._text(_HEAD)}", is_dim=True)

    def line(self, row: Row) -> Line:
        """Return the line of a row that was noted."""
        name = cut_in_middle(row.name, self._widths[0], self._ellipsis)
        standing = cut(row.standing, self._widths[1], self._ellipsis)
        told = row.told
        if self._room is not None:
            room = max(self._left, 1)
            is_trouble = row.is_trouble
            told = (
                cut_in_middle(told, room, self._ellipsis) if is_trouble else shortened(told, room)
            )
        return Line(self._text((name, standing, row.age, row.took, told)), row.mark)

    def _text(self, row: Sequence[str]) -> str:
        *before, told = row
        if not self._has_took:
            before.pop()
        padding = zip(before, self._widths, strict=False)
        text = _GAP.join([*(padded(one, width) for one, width in padding), told]).rstrip()
        return text if self._room is None else shortened(text, self._room)
