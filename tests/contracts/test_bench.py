"""The benchmark suite measures, keeps what it measured, and says what it could not measure.

How fast anything is, is no matter of a test.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench import bare, table
from tests.bench.__main__ import measured
from tests.bench.figure import Bench, Figure, Row
from tests.bench.registry import FIGURES
from tests.bench.runs_of_ours import run_true

ROOT = Path(__file__).parents[2]
CHEAPEST = "records"


def bench(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the suite as `make bench` does."""
    return subprocess.run(
        [sys.executable, "-m", "tests.bench", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_quick_figure_gives_a_table_with_ratios_and_keeps_its_samples(tmp_path: Path) -> None:
    """The table has a ratio for each row; the file has the samples it comes from."""
    kept = tmp_path / "samples.json"
    done = bench("--quick", "--only", CHEAPEST, "--scratch", tmp_path, "--json", kept)
    assert done.returncode == 0, done.stderr
    document = json.loads(kept.read_bytes())
    assert {row["figure"] for row in document["rows"]} == {CHEAPEST}
    for row in document["rows"]:
        assert len(row["ours"]) == len(row["floor"]) > 1
        [line] = [line for line in done.stdout.splitlines() if line.startswith(f"  {row['label']}")]
        assert f" {row['ratio']:.2f}" in line
    assert max(map(len, done.stdout.splitlines())) <= 100
    assert document["machine"].keys() >= {"cores", "CPU", "Python", "kernel", "packages"}
    assert list(tmp_path.iterdir()) == [kept]


def test_unknown_figure_is_refused() -> None:
    """A figure that is not there is a wrong option, and the message names those that are."""
    done = bench("--only", "speed")
    assert (done.returncode, done.stdout) == (2, "")
    assert all(one.name in done.stderr for one in FIGURES)


def test_failing_figure_is_told_and_the_next_is_measured(tmp_path: Path) -> None:
    """What a figure raises stands in the table by its first line, and fails the suite."""

    def fails(_: Bench) -> list[Row]:
        raise RuntimeError("no such luck\nmore of it")

    def works(_: Bench) -> list[Row]:
        return [Row(label="works", ours=(6.0, 4.0), floor=(2.0, 2.0))]

    results = measured([Figure("first", fails), Figure("second", works)], tmp_path, is_quick=True)
    [failed, worked] = [row for _, row in results]
    assert (failed.has_failed, worked.has_failed, worked.ratio) == (True, False, 2.5)
    text = table.text_of(results, {})
    assert "FAILED: RuntimeError: no such luck\n" in text
    assert "more of it" not in text
    assert list(tmp_path.iterdir()) == []


def test_bare_work_is_as_many_operations_as_the_run_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The floor of a run syncs, renames and writes as often, and as many bytes."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    ours, floor = tmp_path / "ours", tmp_path / "floor"
    with bare.recorded(ours) as steps:
        report = run_true(ours, "/bin/true")
    with bare.recorded(floor) as replayed:
        bare.replay(steps, floor)
    durable = [step for step in steps if step.kind is not bare.Kind.SPAWN]
    assert replayed == durable
    number = bare.counts(durable)
    assert number[bare.Kind.FSYNC_FILE] >= number[bare.Kind.RENAME] >= 2 * len(report.transitions)
