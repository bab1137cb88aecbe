"""`status` of very many runs: counted, sorted, filtered, and kept in memory only as lines."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import pytest

from fsm_orchestrator.cli import console, run_list
from fsm_orchestrator.cli.run_changes import ChangeLines
from fsm_orchestrator.cli.run_list import BATCH_RUNS, Asked, write_list
from fsm_orchestrator.cli.style import plain
from fsm_orchestrator.inspection.many_runs import Changes
from fsm_orchestrator.inspection.overview import RunOverview
from fsm_orchestrator.inspection.run_directories import run_directories
from fsm_orchestrator.inspection.selecting import Selection
from fsm_orchestrator.model.listing import Order
from fsm_orchestrator.stages.output_files import latest_logs
from fsm_orchestrator.text.cells import cells
from fsm_orchestrator.text.hidden import HIDDEN
from fsm_orchestrator.vocabulary import ExitCode, Standing
from tests.support.command import (
    CHECKPOINT,
    COMMAND,
    EVENTS,
    PASSING,
    REPORT,
    environment,
    orchestrate,
)
from tests.support.command import shell as stage
from tests.support.patience import PATIENCE_SECONDS

BATCH: Final = 3


class Reader:
    """A stream for the result whose reader goes away after some writes."""

    def __init__(self, writes_max: int = 1000, width: int | None = None) -> None:
        self.pieces: list[str] = []
        self.writes_max = writes_max
        self.is_terminal = width is not None
        self.width = width or 80

    @property
    def is_broken(self) -> bool:
        """Return whether the reader is gone."""
        return len(self.pieces) >= self.writes_max

    def write(self, text: str) -> None:
        """Take text."""
        self.pieces.append(plain(text))

    def show(self, text: str) -> None:
        """Take painted text."""
        self.write(text)


def run(number: int, standing: Standing | None = Standing.DONE, **more: Any) -> RunOverview:
    """Return a run of a list."""
    at = f"2026-01-01T00:00:{number % 60:02}.000Z"
    trouble = "cannot be read" if standing is None else None
    known: dict[str, Any] = {"since": at, "started_at": at, "finished_at": at, "trouble": trouble}
    return RunOverview(f"runs/run-{number}", standing=standing, **known | more)


def listed(
    monkeypatch: pytest.MonkeyPatch,
    reader: Reader,
    runs: Iterable[RunOverview],
    asked: Asked | None = None,
    *,
    as_json: bool = False,
) -> ExitCode:
    """Write the list and return its exit code."""
    monkeypatch.setattr(console, "stdout", lambda: reader)
    monkeypatch.setattr(run_list, "BATCH_RUNS", BATCH)
    return write_list(runs, Asked(parent="runs") if asked is None else asked, as_json=as_json)


def test_worst_is_first_under_the_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs of equal standing are listed newest first; batches share one head and its columns."""
    stand = [Standing.DONE, Standing.WORKING, Standing.FAILED, None, Standing.BLOCKED]
    runs = [run(one, stand[one % 5]) for one in range(1, 11)]
    reader = Reader()
    assert listed(monkeypatch, reader, runs) is ExitCode.FAILED
    counts, *lines = "".join(reader.pieces).splitlines()
    assert counts == (
        "10 runs in runs:  ✗ 2 unreadable  ✗ 2 failed  ! 2 blocked  → 2 working  ✓ 2 done"
    )
    names = [line.split()[1] for line in lines[1:]]
    assert names == [f"run-{one}" for one in (8, 3, 7, 2, 9, 4, 6, 1, 10, 5)]
    assert len({line.index(word) for line in lines[3:] for word in (line.split()[2],)}) == 1
    assert len(reader.pieces) == 2 + 4


ENDS: Final = {1: "00:02", 2: "59:00", 3: "00:20"}
ORDERS: Final = {
    Order.NAME: ["run-1", "run-2", "run-3"],
    Order.NEWEST: ["run-3", "run-2", "run-1"],
    Order.OLDEST: ["run-1", "run-2", "run-3"],
    Order.LONGEST: ["run-2", "run-3", "run-1"],
}


@pytest.mark.parametrize("order", ORDERS)
def test_list_is_sorted_as_asked(order: Order, monkeypatch: pytest.MonkeyPatch) -> None:
    """The list is sorted by name, by time of the standing or by duration, as text and as JSON."""
    ends = {one: f"2026-01-01T00:{minute}.000Z" for one, minute in ENDS.items()}
    runs = [run(one, finished_at=ends[one]) for one in (2, 3, 1)]
    reader, as_json = Reader(), Reader()
    asked = Asked(order=order, parent="runs")
    assert listed(monkeypatch, reader, runs, asked) is ExitCode.DONE
    listed(monkeypatch, as_json, runs, asked, as_json=True)
    assert [line.split()[1] for line in "".join(reader.pieces).splitlines()[2:]] == ORDERS[order]
    told = json.loads("".join(as_json.pieces))["runs"]
    assert [one["name"] for one in told] == ORDERS[order]


def test_only_what_is_asked_for_is_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The list is filtered by standing, age and name; a run at work is never too old."""
    runs = [run(1), run(2, Standing.FAILED), run(30, Standing.FAILED), run(4, Standing.WORKING)]
    since = datetime.fromisoformat("2026-01-01T00:00:20Z")
    cases = {
        Selection(): [2, 30, 4, 1],
        Selection(frozenset({Standing.FAILED})): [2, 30],
        Selection(frozenset({Standing.FAILED, Standing.DONE}), since): [30],
        Selection(since=since): [30, 4],
        Selection(names=("run-[0-9]",)): [2, 4, 1],
        Selection(names=("*-1", "*-4")): [4, 1],
        Selection(frozenset({None})): [],
    }
    for selection, expected in cases.items():
        reader = Reader()
        listed(monkeypatch, reader, runs, Asked(selection))
        head, *lines = "".join(reader.pieces).splitlines()
        names = [line.split()[1].removeprefix("runs/run-") for line in lines[1:]]
        assert sorted(map(int, names)) == sorted(expected)
        number = len(expected)
        assert head.startswith(f"{number} of 4 runs" if number < 4 else "4 runs:")


def test_monitor_is_told_by_the_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """The exit code is 1 if a listed run has one of the named standings, or cannot be read."""
    failed = frozenset({Standing.FAILED})
    cases = [
        ([run(1)], failed, ExitCode.DONE),
        ([run(1), run(2, Standing.FAILED)], failed, ExitCode.FAILED),
        ([run(1), run(2, Standing.FAILED)], frozenset({Standing.BLOCKED}), ExitCode.DONE),
        ([run(1), run(2, Standing.FAILED)], frozenset(), ExitCode.DONE),
        ([run(1, None)], failed, ExitCode.FAILED),
        ([run(1, trouble="the checkpoint is believed")], frozenset(), ExitCode.FAILED),
        ([], failed, ExitCode.DONE),
    ]
    for runs, failing, code in cases:
        for as_json in (False, True):
            asked = Asked(failing=failing)
            assert listed(monkeypatch, Reader(), runs, asked, as_json=as_json) is code


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_columns_use_the_width(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """No line is longer than the width, and a reason is shown as far as there is room."""
    reason = "manager: " + "cannot reach the database at all " * 5
    runs = [
        run(1, Standing.FAILED, reason=reason),
        run(2, Standing.NOT_CLOSABLE, reason=reason),
        run(3),
        RunOverview(f"runs/{'a-name-that-goes-on-' * 4}", standing=Standing.DONE),
    ]
    reader = Reader(width=width)
    listed(monkeypatch, reader, runs)
    lines = "".join(reader.pieces).splitlines()
    assert max(map(cells, lines)) <= width
    failed = next(line for line in lines if "run-1" in line)
    assert failed.endswith("…")
    assert len(failed) > width - 15
    if width > 40:
        assert len(failed.partition("manager:")[2]) >= 6
    whole = Reader()
    listed(monkeypatch, whole, runs)
    assert reason.strip() in "".join(whole.pieces)


@pytest.mark.parametrize("width", [80, 120])
def test_reason_is_seen_behind_a_long_path(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unreadable run ends with its cause; a long word in another reason is cut at its end."""
    path = f"/srv/{'a-directory-that-goes-on-' * 8}/report.json"
    runs = [
        run(1, None, trouble=f"cannot read {path}: permission denied"),
        run(2, Standing.FAILED, reason=f"cannot start {path}"),
    ]
    reader = Reader(width=width)
    listed(monkeypatch, reader, runs)
    lines = "".join(reader.pieces).splitlines()
    assert lines[2].endswith(": permission denied")
    assert "cannot read" in lines[2]
    assert lines[3].endswith("…")
    assert "cannot start /srv/a-direct" in lines[3]
    assert max(map(cells, lines)) <= width


def test_hostile_words_stay_in_their_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Line breaks, tabs, controls and wide characters move nothing, in a name or in a reason."""
    words = "a\nb\tc\x1b[2J\u202e" + "漢" * 60
    runs = [
        run(1, Standing.FAILED, reason=words),
        run(2, Standing.WORKING, last_line=words),
        RunOverview(f"runs/{words}", trouble=words),
    ]
    reader = Reader(width=80)
    listed(monkeypatch, reader, runs)
    lines = "".join(reader.pieces).splitlines()
    assert len(lines) == 5
    assert max(map(cells, lines)) <= 80
    assert HIDDEN.search("".join(lines)) is None
    plain_lines = ChangeLines().text_of({one.name: one for one in runs}, Changes((), (), (words,)))
    assert len(plain_lines.splitlines()) == 5
    assert HIDDEN.search(plain(plain_lines).replace("\n", "")) is None


def test_nothing_more_is_looked_at_once_the_reader_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The list ends when its reader is gone, without reading further runs."""
    looked_at: list[int] = []

    def runs() -> Iterator[RunOverview]:
        for one in range(1000):
            looked_at.append(one)
            yield run(one)

    listed(monkeypatch, Reader(writes_max=2), runs(), as_json=True)
    assert len(looked_at) == 2
    reader = Reader(writes_max=4)
    listed(monkeypatch, reader, runs())
    assert len(reader.pieces) == 4


@pytest.mark.parametrize("number", [0, 1, 2, 7])
def test_json_is_one_document_however_many_runs(
    number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each run is written when it is known, indented as everywhere; the counts come at the end."""
    reader = Reader()
    runs = [run(one) for one in range(number)]
    assert listed(monkeypatch, reader, runs, as_json=True) is ExitCode.DONE
    text = "".join(reader.pieces)
    document = json.loads(text)
    assert [one["name"] for one in document["runs"]] == [one.name for one in runs]
    assert (document["total"], document["counts"]) == (number, {"done": number} if number else {})
    if number:
        assert text == json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    assert len(reader.pieces) == number + 2


# Real runs


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run that is done."""
    cwd = tmp_path_factory.mktemp("original")
    orchestrate("./out", *PASSING, *stage("manager", "echo planned"), cwd=cwd)
    return cwd / "out"


def many(parent: Path, original: Path, number: int) -> Path:
    """Make a directory with this number of runs: one run under many names."""
    for index in range(number):
        run = parent / f"run-{index:05}"
        run.mkdir(parents=True)
        for name in (REPORT, CHECKPOINT, EVENTS):
            os.link(original / name, run / name)
    return parent


SPENT: Final = """
import os, resource, subprocess, sys
code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(code, used.ru_utime + used.ru_stime, used.ru_maxrss)
"""


def spent(parent: Path) -> tuple[float, int]:
    """Return the processor seconds and the peak of memory that a list takes."""
    argv = (sys.executable, "-I", "-c", SPENT, *COMMAND, "status", str(parent))
    done = subprocess.run(argv, capture_output=True, text=True, check=True, env=environment())
    code, seconds, peak = done.stdout.split()
    assert code == "0"
    return float(seconds), int(peak)


@pytest.fixture(scope="module")
def more(tmp_path_factory: pytest.TempPathFactory, original: Path) -> Path:
    """Return a directory with more runs than a batch."""
    return many(tmp_path_factory.mktemp("more"), original, BATCH_RUNS + 200)


def test_cost_grows_no_faster_than_the_runs_and_memory_hardly(
    tmp_path: Path, original: Path, more: Path
) -> None:
    """Ten times the runs take less than twelve times as long, and a batch more of memory."""
    few = many(tmp_path / "few", original, (BATCH_RUNS + 200) // 10)
    (seconds, peak), (more_seconds, more_peak) = spent(few), spent(more)
    assert more_seconds < 12 * seconds
    assert more_peak < 1.25 * peak


def test_first_line_may_be_all_that_is_read(more: Path) -> None:
    """`| head -1` gets the counts, and the command ends with success."""
    process = subprocess.Popen(
        [*COMMAND, "status", str(more)], stdout=subprocess.PIPE, env=environment()
    )
    assert process.stdout is not None
    with process.stdout as pipe:
        assert pipe.readline().split()[1:3] == [b"runs", b"in"]
    assert process.wait(PATIENCE_SECONDS) == 0


def test_what_lies_beside_runs_costs_them_nothing(tmp_path: Path, original: Path) -> None:
    """Files, foreign directories, dead links and circular links do not prevent the list."""
    runs = many(tmp_path / "runs", original, 2)
    (runs / "file").write_text("")
    (runs / "foreign" / "deep").mkdir(parents=True)
    (runs / "nowhere").symlink_to("gone")
    (runs / "circle").symlink_to("circle")
    os.mkfifo(runs / "fifo")
    (runs / "linked").symlink_to("run-00001")
    names = [one.name for one in run_directories(runs)]
    assert names == ["linked", "run-00000", "run-00001"]
    ended = orchestrate("status", "runs", cwd=tmp_path)
    assert (ended.code, len(ended.stdout.splitlines())) == (0, 5)


@pytest.mark.unprivileged
def test_directory_that_cannot_be_read_costs_a_line(tmp_path: Path, original: Path) -> None:
    """An unreadable directory among or below others costs a line, and the others are listed."""
    runs = many(tmp_path / "runs", original, 2)
    for shut in (tmp_path / "shut", runs / "own"):
        shut.mkdir(mode=0o000)
    try:
        ended = orchestrate("status", "shut", "runs", cwd=tmp_path)
    finally:
        for shut in (tmp_path / "shut", runs / "own"):
            shut.chmod(0o755)
    lines = ended.stdout.splitlines()
    assert (ended.code, len(lines)) == (1, 6)
    assert ["permission denied" in line for line in lines[2:]] == [True, True, False, False]


def test_logs_of_old_attempts_are_names_only(tmp_path: Path) -> None:
    """Only the regular file with the highest attempt number counts, whatever was written last."""
    logs = tmp_path / "logs"
    logs.mkdir()
    for attempt in range(1, 30):
        for kind in ("stdout", "stderr"):
            (logs / f"fix.{attempt}.{kind}.log").write_text(f"{attempt}")
    os.mkfifo(logs / "fix.30.stdout.log")
    (logs / "plan.7.stdout.log").write_text("")
    os.utime(logs / "fix.3.stdout.log")
    found = sorted((one.stage, one.attempt, one.is_stderr) for one in latest_logs(tmp_path))
    assert found == [("fix", 29, False), ("fix", 29, True), ("plan", 7, False)]
    shutil.rmtree(logs)
    assert latest_logs(tmp_path) == []
