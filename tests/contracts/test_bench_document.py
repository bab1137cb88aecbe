"""The tables of docs/performance.md are those that the benchmark suite makes of its samples."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import pytest

from tests.bench import document, figures_peers, table
from tests.bench.document import BEGIN, END, Samples, block
from tests.bench.figure import Row, Unit

MEASURED: Final = re.compile(r"[\d.]+ ms|[\d.]+|\d+, [\d.]+")
DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "performance.md"


def kept(*rows: tuple[str, Row]) -> Samples:
    """Return the samples of some rows, as read back from the file that keeps them."""
    about = {"cores": "2", "CPU": "one", "scratch directory": "/somewhere"}
    return Samples(json.loads(json.dumps(table.document_of(rows, about, is_quick=True))))


def shape_of(text: str) -> Sequence[tuple[str, int]]:
    """Return the first cell of each line of each table, and the number of its cells."""
    made = text[text.index(BEGIN) : text.index(END)]
    rows = [line.strip("|").split("|") for line in made.splitlines() if line.startswith("|")]
    return [(cells[0].strip(), len(cells)) for cells in rows]


def test_tables_of_the_document_are_those_that_are_made() -> None:
    """They agree line by line and column by column; only measured values may differ."""
    text = DOCUMENT.read_text()
    assert shape_of(text) == shape_of(block(kept()))
    rows = [line.strip("| ").split(" | ") for line in text[text.index(BEGIN) :].splitlines()]
    numbers = [one for cells in rows if len(cells) > 1 for one in cells[1:]]
    assert any(map(MEASURED.fullmatch, numbers))


def test_made_tables_have_medians_and_the_ratios_of_the_pairs() -> None:
    """A ratio is not that of the medians: both parts of a pair were measured at the same moment."""
    imports = "python -c 'import pydantic, transitions, structlog'"
    cold = Row(
        label="run of two stages, alone",
        ours=(0.3, 0.2, 0.9),
        floor=(0.1, 0.1, 0.3),
        floor_is=imports,
    )
    rates: Any = {"ours": (100.0, 120.0), "unit": Unit.RUNS_PER_SECOND}
    peers = [
        Row(label="4 threads", floor=(50.0, 40.0), floor_is=f"{one.name} (more)", **rates)
        for one in figures_peers.PEERS
    ]
    text = block(kept(("command", cold), *(("peers", one) for one in peers)))
    assert "| from start to exit, alone, against the imports | 300.0 ms | 100.0 ms | 3.00 |" in text
    assert "| 4 | 110 | 45, 2.50 | 45, 2.50 | 45, 2.50 |" in text
    assert "cores 2; CPU one." in text
    assert "/somewhere" not in text


def test_document_is_written_between_its_marks(tmp_path: Path) -> None:
    """Text around the marks stays; a document without marks is refused."""
    samples, path = tmp_path / "samples.json", tmp_path / "page.md"
    samples.write_text(json.dumps(table.document_of((), {}, is_quick=True)))
    path.write_text(f"before\n{BEGIN}\noutdated\n{END}\nafter\n")
    document.main([str(samples), str(path)])
    text = path.read_text()
    assert text.startswith(f"before\n{BEGIN}\n")
    assert text.endswith(f"{END}\nafter\n")
    assert "outdated" not in text
    path.write_text("nothing\n")
    with pytest.raises(ValueError, match="not found"):
        document.main([str(samples), str(path)])
    assert path.read_text() == "nothing\n"
