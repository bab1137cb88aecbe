"""The benchmark suite measures, keeps its samples, and reports what it could not measure.

No test judges how fast anything is.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import threading
from pathlib import Path
from typing import Final

import pytest

from tests.bench import __main__ as bench_main
from tests.bench import bare, figures_peers, table
from tests.bench.__main__ import measured
from tests.bench.figure import Bench, Figure, Row
from tests.bench.measure import BUDGET, ROUNDS_MIN, interleaved
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
    """The table has a ratio for each row; the file has the samples behind it."""
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


def test_unknown_figure_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """An unknown figure is a wrong option, and the message names the existing ones."""
    with pytest.raises(SystemExit) as ended:
        bench_main.main(["--only", "speed"])
    said = capsys.readouterr()
    assert (ended.value.code, said.out) == (2, "")
    assert all(one.name in said.err for one in FIGURES)


def test_failing_figure_is_told_and_the_next_is_measured(tmp_path: Path) -> None:
    """The table shows the first line of a figure's error, and the suite fails."""

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


def test_figure_whose_time_is_up_takes_no_more_samples_than_it_needs() -> None:
    """The whole suite ends in bounded time, however slow the machine is."""
    taken: list[int] = []
    BUDGET.begin(0)
    try:
        [samples] = interleaved(50, lambda: taken.append(0), warm_up=False)
    finally:
        BUDGET.begin(math.inf)
    assert len(samples) == len(taken) == ROUNDS_MIN


def test_figure_that_hangs_has_failed_and_the_next_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A figure that hangs is ended by an error, as if it had raised one itself."""
    monkeypatch.setattr(bench_main, "HANGS_AFTER_SECONDS", 0.05)

    def hangs(_: Bench) -> list[Row]:
        threading.Event().wait()
        return []

    def works(_: Bench) -> list[Row]:
        return [Row(label="works", ours=(6.0,), floor=(2.0,))]

    figures = [Figure("first", hangs, share=0), Figure("second", works)]
    failed, worked = [row for _, row in measured(figures, tmp_path, is_quick=True)]
    assert (failed.has_failed, worked.ratio) == (True, 3.0)
    assert failed.trouble.startswith("TimeoutError: not measured after")


SYNCS: Final = 8
"""The number of times that a run of two stages waits for its disk: three steps, and the files at
the end."""


def test_bare_work_is_as_many_operations_as_the_run_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The floor of a run syncs, renames and writes as often as a run, and as many bytes."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    run_true(tmp_path / "first", "/bin/true")  # also makes the key of the private state, once
    ours, floor = tmp_path / "ours", tmp_path / "floor"
    with bare.recorded(ours) as steps:
        report = run_true(ours, "/bin/true")
    with bare.recorded(floor) as replayed:
        bare.replay(steps, floor)
    durable = [step for step in steps if step.kind is not bare.Kind.SPAWN]
    assert replayed == durable
    number = bare.counts(durable)
    assert number[bare.Kind.FSYNC_FILE] + number[bare.Kind.FSYNC_DIRECTORY] == SYNCS
    assert number[bare.Kind.RENAME] >= 2 * len(report.transitions)


def test_peer_that_is_not_installed_is_skipped_and_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Installed peers are measured with each number of threads; the table names the others."""
    asked: list[tuple[str, int]] = []

    def rate(_: Bench, peer: figures_peers.Peer, threads: int) -> float:
        asked.append((peer.name, threads))
        return 2.0 if peer is figures_peers.OURS else 1.0

    monkeypatch.setattr(figures_peers, "is_installed", lambda module: module == "dbos")
    monkeypatch.setattr(figures_peers, "_rate", rate)
    results = measured([Figure("peers", figures_peers.peers_figure)], tmp_path, is_quick=True)
    rows = [row for _, row in results]
    assert asked == [(one, number) for number in (1, 2, 4, 16) for one in ("ours", "DBOS")]
    assert [row.ratio for row in rows if not row.trouble] == [2.0] * 4
    said = [f"{row.label}: {row.trouble}" for row in rows if row.trouble]
    assert [one.partition(" is")[0] for one in said] == [
        "beside Burr: skipped: burr",
        "beside LangGraph: skipped: langgraph.checkpoint.sqlite",
    ]
    assert not any(row.has_failed for row in rows)


def test_module_in_a_package_that_is_not_there_is_not_installed() -> None:
    """No import looks for the module, since that would load the packages above it."""
    assert figures_peers.is_installed("json.decoder")
    assert not figures_peers.is_installed("no_such_package.part")


def test_our_own_program_beside_the_peers_makes_its_runs(tmp_path: Path) -> None:
    """Two runs load what is loaded late; then as many as asked for are made, all of them done."""
    program = (sys.executable, "-m", "tests.bench.peers.ours")
    done = subprocess.run(
        [*program, tmp_path, "2", "4", "/bin/true"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.stderr == ""
    assert float(done.stdout) > 0
    reports = [
        json.loads(one.read_bytes()) for one in tmp_path.glob("*/orchestrator_run_report.json")
    ]
    assert [one["closure_ready"] for one in reports] == [True] * 6
