"""`status` of very many runs: written as they are looked at, no more kept than a batch of them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from fsm_orchestrator.cli import console, run_list
from fsm_orchestrator.cli.run_list import BATCH_RUNS, write_list
from fsm_orchestrator.cli.style import plain
from fsm_orchestrator.inspection.overview import RunOverview
from fsm_orchestrator.inspection.run_directories import run_directories
from fsm_orchestrator.stages.output_files import latest_logs
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
    """A stream of the result that is no terminal; its reader goes away after some writes."""

    def __init__(self, writes_max: int = 1000) -> None:
        self.pieces: list[str] = []
        self.writes_max = writes_max
        self.is_terminal = False
        self.width = 80

    @property
    def is_broken(self) -> bool:
        """Whether nobody reads any more."""
        return len(self.pieces) >= self.writes_max

    def write(self, text: str) -> None:
        """Take text."""
        self.pieces.append(plain(text))

    def show(self, text: str) -> None:
        """Take painted text."""
        self.write(text)


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The runs that are looked at, by name: the 5th stands in a long state, the 8th is broken."""
    names: list[str] = []

    def look(_directory: Path, name: str) -> RunOverview:
        names.append(name)
        trouble = "cannot be read" if name == "run-8" else None
        standing = None if trouble else Standing.FAILED if name == "run-5" else Standing.DONE
        stage = "a_stage_with_a_long_name" if name == "run-5" else "fix"
        return RunOverview(
            output_directory=name, standing=standing, stage=stage, attempt=1, trouble=trouble
        )

    monkeypatch.setattr(run_list, "overview_of", look)
    monkeypatch.setattr(run_list, "BATCH_RUNS", BATCH)
    return names


def written(
    monkeypatch: pytest.MonkeyPatch, reader: Reader, number: int, *, as_json: bool = False
) -> ExitCode:
    """Write the list of so many runs; what it comes to."""
    monkeypatch.setattr(console, "stdout", lambda: reader)
    named = ((f"run-{one}", Path(f"run-{one}")) for one in range(1, number + 1))
    return write_list(named, as_json=as_json)


def test_batch_is_written_before_the_next_is_looked_at(
    looked_at: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under one head; columns and marks never move back to the left."""
    seen: list[int] = []

    class Noting(Reader):
        def show(self, text: str) -> None:
            seen.append(len(looked_at))
            self.write(text)

    reader = Noting()
    assert written(monkeypatch, reader, 10) is ExitCode.FAILED
    assert seen == [3, 6, 9, 10]
    lines = "".join(reader.pieces).splitlines()
    assert len(lines) == 11
    assert lines[0].split()[:2] == ["run", "in"]
    starts = [line.index("fix") for line in lines if "fix" in line]
    assert starts == sorted(starts)
    reasons = [line.index("cannot") for line in lines if "cannot" in line]
    long_one = next(line for line in lines if "a_stage" in line)
    assert reasons[0] > long_one.index("a_stage_with_a_long_name") + len("a_stage_with_a_long_name")


def test_nothing_more_is_looked_at_once_the_reader_is_gone(
    looked_at: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it has read was all that it asked for."""
    assert written(monkeypatch, Reader(writes_max=1), 1000) is ExitCode.DONE
    assert len(looked_at) == BATCH
    looked_at.clear()
    assert written(monkeypatch, Reader(writes_max=2), 1000, as_json=True) is ExitCode.DONE
    assert len(looked_at) == 2


@pytest.mark.parametrize("number", [1, 2, 7])
def test_json_is_one_document_however_many_runs(
    number: int, looked_at: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Indented as everywhere, and each run is written when it is known."""
    reader = Reader()
    assert written(monkeypatch, reader, number, as_json=True) is ExitCode.DONE
    text = "".join(reader.pieces)
    document = json.loads(text)
    assert [one["output_directory"] for one in document["runs"]] == looked_at
    assert text == json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    assert len(reader.pieces) == number + 1


# Real runs


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that is done."""
    cwd = tmp_path_factory.mktemp("original")
    orchestrate("./out", *PASSING, *stage("manager", "echo planned"), cwd=cwd)
    return cwd / "out"


def many(parent: Path, original: Path, number: int) -> Path:
    """A directory of so many runs: one and the same, by other names."""
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
    """The seconds of a processor, and the peak of memory, that a list takes."""
    argv = (sys.executable, "-I", "-c", SPENT, *COMMAND, "status", str(parent))
    done = subprocess.run(argv, capture_output=True, text=True, check=True, env=environment())
    code, seconds, peak = done.stdout.split()
    assert code == "0"
    return float(seconds), int(peak)


@pytest.fixture(scope="module")
def more(tmp_path_factory: pytest.TempPathFactory, original: Path) -> Path:
    """More runs than a batch."""
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
    """`| head -1` gets its line, and the command ends well."""
    process = subprocess.Popen(
        [*COMMAND, "status", str(more)], stdout=subprocess.PIPE, env=environment()
    )
    assert process.stdout is not None
    with process.stdout as pipe:
        assert pipe.readline().split()[:2] == [b"run", b"in"]
    assert process.wait(PATIENCE_SECONDS) == 0


def test_what_lies_beside_runs_costs_them_nothing(tmp_path: Path, original: Path) -> None:
    """Files, foreign directories, links that lead nowhere or in a circle: runs are listed."""
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
    assert (ended.code, len(ended.stdout.splitlines())) == (0, 4)


@pytest.mark.unprivileged
def test_directory_that_cannot_be_read_costs_a_line(tmp_path: Path, original: Path) -> None:
    """One among several, or below one: the others are listed."""
    runs = many(tmp_path / "runs", original, 2)
    for shut in (tmp_path / "shut", runs / "own"):
        shut.mkdir(mode=0o000)
    try:
        ended = orchestrate("status", "shut", "runs", cwd=tmp_path)
    finally:
        for shut in (tmp_path / "shut", runs / "own"):
            shut.chmod(0o755)
    lines = ended.stdout.splitlines()
    assert (ended.code, len(lines)) == (1, 5)
    assert ["permission denied" in line for line in lines[1:]] == [True, True, False, False]


def test_logs_of_old_attempts_are_names_only(tmp_path: Path) -> None:
    """The last attempt's by its number, of regular files alone, whatever was written last."""
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
