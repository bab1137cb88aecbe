"""The results for a person and for a program. Prints and writes nothing."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest
from typing import Any, Final

from tests.bench.figure import Row, Unit

Results = Sequence[tuple[str, Row]]
"""Rows, each with the name of its figure."""

_WIDTHS: Final = (33, 10, 10, 30, 6, 6)
_HEADS: Final = ("figure", "ours", "floor", "the floor is", "ratio", "target")
_TO_THE_RIGHT: Final = frozenset({1, 2, 4, 5})
WIDTH: Final = sum(_WIDTHS) + len(_WIDTHS) - 1


def text_of(results: Results, machine: Mapping[str, str]) -> str:
    """Return the table, the notes on its rows, and the machine."""
    lines = [*_line(_HEADS), "-" * WIDTH]
    notes: list[str] = []
    name_before = ""
    for name, row in results:
        if name != name_before:
            lines.extend(_line((f"{name}:",)))
        name_before = name
        mark = ""
        if row.note:
            notes.append(row.note)
            mark = f" [{len(notes)}]"
        if row.trouble:
            said = f"FAILED: {row.trouble}" if row.has_failed else row.trouble
            lines.extend(_wrapped(f"  {row.label}{mark}: {said}", 4))
            continue
        lines.extend(
            _line(
                (
                    f"  {row.label}{mark}",
                    _amount(row.ours_median, row.unit),
                    _amount(row.floor_median, row.unit),
                    row.floor_is,
                    "" if row.ratio is None else f"{row.ratio:.2f}",
                    "" if row.target is None else f"< {row.target:g}",
                )
            )
        )
    lines.append("-" * WIDTH)
    for number, note in enumerate(notes, start=1):
        lines.extend(_wrapped(f"[{number}] {note}", 4))
    lines.append("Medians of samples taken in alternation; the ratio is the median of the pairs'.")
    for key, value in machine.items():
        lines.extend(_wrapped(f"{key}: {value}", 2))
    return "\n".join(lines) + "\n"


def document_of(results: Results, machine: Mapping[str, str], *, is_quick: bool) -> dict[str, Any]:
    """Return the same for a program, with every sample."""
    rows = [
        {
            "figure": name,
            "label": row.label,
            "unit": row.unit.value,
            "ours_median": row.ours_median,
            "floor_median": row.floor_median,
            "ratio": row.ratio,
            "target": row.target,
            "floor_is": row.floor_is,
            "note": row.note,
            "trouble": row.trouble,
            "has_failed": row.has_failed,
            "ours": list(row.ours),
            "floor": list(row.floor),
        }
        for name, row in results
    ]
    return {"machine": dict(machine), "is_quick": is_quick, "rows": rows}


def _amount(value: float | None, unit: Unit) -> str:
    if value is None:
        return ""
    match unit:
        case Unit.SECONDS:
            return f"{value:.2f} s" if value >= 1 else f"{value * 1e3:.2f} ms"
        case Unit.BYTES:
            is_small = value < 1024**2
            return f"{value / 1024:.1f} KiB" if is_small else f"{value / 1024**2:.1f} MiB"
        case Unit.RUNS_PER_SECOND:
            return f"{value:.1f} /s"
        case Unit.COUNT:
            return f"{value:.0f}"


def _line(cells: Sequence[str]) -> Iterable[str]:
    """Yield a row of cells, each wrapped within its column."""
    columns = [
        textwrap.wrap(cell, width, subsequent_indent="    " if index == 0 else "") or [""]
        for index, (cell, width) in enumerate(zip(cells, _WIDTHS, strict=False))
    ]
    for parts in zip_longest(*columns, fillvalue=""):
        aligned = (
            part.rjust(width) if index in _TO_THE_RIGHT else part.ljust(width)
            for index, (part, width) in enumerate(zip(parts, _WIDTHS, strict=False))
        )
        yield " ".join(aligned).rstrip()


def _wrapped(text: str, indent: int) -> list[str]:
    return textwrap.wrap(text, WIDTH, subsequent_indent=" " * indent)
