"""The reader of many runs: the contents of rows, what is read again, and odd files."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from fsm_orchestrator.inspection import many_runs
from fsm_orchestrator.inspection.at_work import Doing, stages_at_work
from fsm_orchestrator.inspection.looking import Looked, look_at, overview_of
from fsm_orchestrator.inspection.many_runs import ManyRuns, Place
from fsm_orchestrator.inspection.overview import RunOverview
from fsm_orchestrator.vocabulary import Standing
from tests.command.supervision_cases import working
from tests.support.command import CHECKPOINT, EVENTS, PASSING, REPORT, orchestrate, stages
from tests.support.command import shell as stage
from tests.support.patience import PATIENCE_SECONDS, wait_until

DONE, FAILED, SILENT, WAITING, BLOCKED, TIMEOUT, UNEARNED = (
    *("done", "failed", "silent", "waiting", "blocked", "timeout", "unearned"),
)


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with a run of each end."""
    cwd = tmp_path_factory.mktemp("seeds")
    orchestrate("./done", *PASSING, *stages("echo planned"), cwd=cwd)
    orchestrate("./failed", *PASSING, *stages("echo no such host >&2; exit 3"), cwd=cwd)
    orchestrate("./silent", *PASSING, *stages("echo to stdout; exit 3"), cwd=cwd)
    orchestrate("./waiting", *PASSING[:4], *stages(), cwd=cwd)
    orchestrate("./blocked", *PASSING[:2], "--ci-status", "failure", *stages(), cwd=cwd)
    slow = (*stages("echo slow; sleep 60"), "--manager-timeout-ms", "50")
    orchestrate("./timeout", *PASSING, *slow, cwd=cwd)
    orchestrate("./unearned", *PASSING, *stage("manager", "true"), cwd=cwd)
    shutil.rmtree(cwd / "state", ignore_errors=True)
    return cwd


@pytest.fixture
def runs(tmp_path: Path, seeds: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a directory with a copy of each of them, at the same place."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copytree(seeds, tmp_path / "runs"))


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Yield the names of the runs that are read."""
    names: list[str] = []

    def noting(directory: Path, shown: str) -> Looked:
        names.append(shown)
        return look_at(directory, shown)

    monkeypatch.setattr(many_runs, "look_at", noting)
    return iter([names])


def at(path: Path) -> ManyRuns:
    """Return the reader of the runs below a directory."""
    return ManyRuns([Place(path.name, path)])


def test_row_says_why_a_run_stands_where_it_does(seeds: Path) -> None:
    """A row has the failed stage's error, the missing signals, or what is lost, for each end."""
    rows = {one.name: one for one in at(seeds).look().rows}
    told = {name: (one.standing, one.told) for name, one in rows.items()}
    assert told == {
        DONE: (Standing.DONE, ""),
        FAILED: (Standing.FAILED, "manager: exited with code 3: no such host"),
        SILENT: (Standing.FAILED, "manager: exited with code 3: to stdout"),
        WAITING: (Standing.WAITING, "waits for review"),
        BLOCKED: (Standing.BLOCKED, "gate ci is failure, and only success passes"),
        TIMEOUT: (Standing.TIMEOUT, "manager: timed out after 50ms: slow"),
        UNEARNED: (Standing.NOT_CLOSABLE, "no binary: executor"),
    }
    for name, row in rows.items():
        report = json.loads((seeds / name / REPORT).read_text())
        assert row.output_directory == f"{seeds.name}/{name}"
        assert (row.run_id, row.exit_code) == (report["run_id"], report["exit_code"])
        assert (row.started_at, row.finished_at) == (report["started_at"], report["finished_at"])
        assert row.since == report["transitions"][-1]["at"]
        assert [one["gate"] for one in row.to_document()["waiting_for"]] == [
            one["gate"] for one in report["waiting_for"] if row.standing is Standing.WAITING
        ]
    assert (rows[FAILED].stage, rows[FAILED].attempt) == ("manager", 1)


def test_only_what_has_changed_is_read_again(runs: Path, looks: Iterator[list[str]]) -> None:
    """A resume, a new run and a removed one are noticed, and nothing else is read."""
    (read,) = looks
    many = at(runs)
    assert len(many.look().rows) == len(read) == 7
    read.clear()
    assert many.look() == ((), (), ())
    assert read == []
    shutil.rmtree(runs / DONE)
    shutil.copytree(runs / BLOCKED, runs / "another")
    os.utime(runs / FAILED / REPORT)
    changes = many.look()
    assert sorted(read) == ["runs/another", "runs/failed"]
    assert [one.name for one in changes.rows] == ["another", "failed"]
    assert changes.gone == ("runs/done",)
    assert many.path_of("runs/failed") == runs / FAILED
    read.clear()
    answers = iter([False, True])
    assert len(at(runs).look(lambda: next(answers)).rows) == len(read) == 1
    shutil.rmtree(runs)
    changes = many.look()
    assert len(changes.gone) == 7
    assert "cannot read" in changes.troubles[0]
    assert not many.rows


def test_run_at_work_is_followed(
    tmp_path: Path, looks: Iterator[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run at work has its stage, start, limit and last line, and is read only when it must be."""
    (read,) = looks
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    script = "echo go; until test -e more; do sleep 0.02; done; echo more; exec sleep 60"
    with working(tmp_path, *stages(script), "--manager-timeout-ms", "50000") as process:
        many = at(tmp_path)
        (row,) = many.look().rows
        assert (row.standing, row.stage, row.last_line) == (Standing.WORKING, "manager", "go")
        (stage_now,) = row.at_work
        assert (stage_now.doing, stage_now.limit_ms) == (Doing.RUNNING, 50_000)
        assert row.holder is not None
        assert row.holder.pid == process.pid
        wait_until(lambda: '"pid":null' not in (tmp_path / "out" / CHECKPOINT).read_text())
        many.look()
        read.clear()
        (tmp_path / "more").write_text("")
        wait_until(lambda: any(one.last_line == "more" for one in many.look().rows))
        assert read == []
        os.kill(process.pid, signal.SIGSTOP)
        wait_until(lambda: many.look().rows)
        assert many.rows[f"{tmp_path.name}/out"].standing is Standing.SUSPENDED
        os.kill(process.pid, signal.SIGCONT)
        wait_until(lambda: many.look().rows)
        assert many.rows[f"{tmp_path.name}/out"].standing is Standing.WORKING
        os.kill(process.pid, signal.SIGKILL)
        process.wait(PATIENCE_SECONDS)
        wait_until(lambda: many.look().rows)
        (row,) = many.rows.values()
        assert (row.standing, row.stage) == (Standing.INTERRUPTED, "manager")
        assert row.told == "its orchestrator died without recording an outcome: more"
        assert row.at_work == ()


def test_value_of_a_secret_is_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines are masked while the value is known; otherwise no line is shown."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    script = "echo key hunter2-hunter2; exec sleep 60"
    options = (*stages(script), "--manager-env", "KEY=hunter2-hunter2")
    out = tmp_path / "out"
    with working(tmp_path, *options) as process:
        assert overview_of(out, "out").last_line == "key ***"
        process.kill()
        process.wait(PATIENCE_SECONDS)
        assert overview_of(out, "out").last_line == "key ***"
        kept = (out / CHECKPOINT).read_bytes()
        (out / CHECKPOINT).write_bytes(b"{")
        assert "hunter2" not in repr(overview_of(out, "out"))
        (out / CHECKPOINT).write_bytes(kept)
        shutil.rmtree(tmp_path / "state")
        row = overview_of(out, "out")
        assert (row.standing, row.last_line) == (Standing.INTERRUPTED, "")


def fifo(path: Path) -> None:
    """Put a FIFO in the place of a file, whose reader would wait forever."""
    path.unlink()
    os.mkfifo(path)


def directory(path: Path) -> None:
    """Put a directory in the place of a file."""
    path.unlink()
    path.mkdir()


def loop(path: Path) -> None:
    """Put a link to itself in the place of a file."""
    path.unlink()
    path.symlink_to(path.name)


@pytest.mark.parametrize("name", [REPORT, CHECKPOINT, EVENTS, "orchestrator.lock", "logs"])
def test_hostile_file_is_a_row(name: str, runs: Path) -> None:
    """Each run stays a row, whatever is in the place of one of its files."""
    texts = [b"", b"{", b"\xff\xfe", b"[" * 100_000, b"null", b'{"run_id": []}', b"\0" * 70_000]
    makers = [
        fifo,
        directory,
        loop,
        *(lambda path, text=text: path.write_bytes(text) for text in texts),
    ]
    names = [DONE, FAILED, SILENT, WAITING, TIMEOUT]
    copies = Path(shutil.copytree(runs, runs.parent / "copies"))
    for index, make in enumerate(makers):
        target = Path(shutil.move(copies / names[index % 5], copies / f"{index}"))
        shutil.copytree(runs / names[index % 5], copies / names[index % 5])
        if name == "logs":
            shutil.rmtree(target / name, ignore_errors=True)
            (target / name).write_bytes(b"")
        else:
            (target / name).touch()
        make(target / name)
    rows = {one.name: one for one in at(copies).look().rows}
    assert len(rows) == len(makers) + 7
    for index in range(len(makers)):
        row = rows[f"{index}"]
        assert row.standing is not None or row.trouble
        if row.standing is Standing.DONE and name in {REPORT, CHECKPOINT, EVENTS}:
            assert row.trouble


def test_events_are_believed_no_further_than_needed(tmp_path: Path) -> None:
    """Forged lines in the events name no unknown stage and no odd number."""
    base = {"seq": 1, "at": "2026-01-01T00:00:00.000Z", "schema_version": 1}
    good = {**base, "event": "stage.started", "stage": "fix", "attempt": 2, "timeout_ms": 5}
    odd = [
        {**base, "event": []},
        {**good, "stage": "../x"},
        {**good, "stage": "\x1b[2J"},
        {**good, "stage": "e", "at": "now"},
        {**good, "stage": "f", "at": "2026-99-99T99:99:99.999Z"},
        {**good, "stage": "b", "timeout_ms": True, "attempt": "x"},
        {**good, "event": "stage.retrying", "stage": "c", "wait_ms": 10**40},
        {**good, "event": "verification.started", "stage": "d"},
        {**good, "stage": "ended"},
        {**good, "event": "stage.ended", "stage": "ended"},
    ]
    lines = [json.dumps(one) for one in [{**base, "event": "transition"}, good, *odd]]
    (tmp_path / EVENTS).write_text("\n".join([*lines, "not JSON", '{"seq": 2, "ev']))
    found = [(one.stage, one.attempt, one.doing, one.limit_ms) for one in stages_at_work(tmp_path)]
    assert found == [
        ("fix", 2, Doing.RUNNING, 5),
        ("b", 1, Doing.RUNNING, None),
        ("c", 2, Doing.RETRYING, None),
        ("d", 2, Doing.VERIFYING, 5),
    ]


def test_row_of_a_name_that_is_no_text(runs: Path) -> None:
    """A directory whose name is not UTF-8, or could drive a terminal, is a row."""
    for name in (b"caf\xe9", b"\x1b[2J", b"a\nb"):
        shutil.copytree(runs / DONE, runs / os.fsdecode(name))
    rows = at(runs).look().rows
    assert {one.name for one in rows} >= {"caf\udce9", "\x1b[2J", "a\nb"}
    assert all(isinstance(one, RunOverview) for one in rows)
