"""Causes that prevent a bundle, their messages, and that no partial file is left."""

from __future__ import annotations

import errno
import os
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from fsm_orchestrator.bundle import making
from fsm_orchestrator.bundle.making import Asked, make
from fsm_orchestrator.cli.main import run_command_line
from fsm_orchestrator.disk import files
from fsm_orchestrator.errors import BusyError, CommandError, Holder, UsageError
from fsm_orchestrator.record.checkpoint_reader import load_saved
from fsm_orchestrator.record.record_check import Finding
from fsm_orchestrator.secrets.state_key import own_key
from tests.bundle.bundle_cases import bundle, bundled, members
from tests.bundle.conftest import Runs
from tests.command.supervision_cases import working
from tests.support.command import (
    CHECKPOINT,
    COMMAND,
    EVENTS,
    REPORT,
    environment,
    orchestrate,
    shell,
)
from tests.support.outcome_runs import OUTCOMES
from tests.support.patience import PATIENCE_SECONDS


def replaced(name: str, old: str, new: str) -> Callable[[Path], None]:
    """Return a function that replaces a text in a file of a run."""

    def change(out: Path) -> None:
        text = (out / name).read_text()
        assert old in text
        (out / name).write_text(text.replace(old, new, 1))

    return change


def without(name: str) -> Callable[[Path], None]:
    """Return a function that removes a file of a run."""
    return lambda out: (out / name).unlink()


def _cut(path: Path, lines: int) -> None:
    """Remove the last lines of a file, as a power cut may."""
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-lines]))


class Case(NamedTuple):
    """A fault of a run, and the message about it."""

    change: Callable[[Path], None]
    code: int
    said: str


WRONG = {
    "an event was changed": Case(
        replaced(EVENTS, '"level": "debug"', '"level": "error"'),
        *(1, "orchestrator_events.jsonl was changed (line 2 does not continue"),
    ),
    "the events are gone": Case(without(EVENTS), 1, f"cannot read {{out}}/{EVENTS}"),
    "the last events are gone": Case(
        lambda out: _cut(out / EVENTS, 3),
        *(
            1,
            "the last 3 events of the run are not in {out}/orchestrator_events.jsonl: a power cut",
        ),
    ),
    "all events are gone": Case(lambda out: _cut(out / EVENTS, 99), 1, "of the run are not in"),
    "the checkpoint was changed": Case(
        replaced(CHECKPOINT, '"started_in":"', '"started_in":"/x'),
        *(1, "orchestrator_checkpoint.json was changed"),
    ),
    "the checkpoint is torn": Case(
        lambda out: os.truncate(out / CHECKPOINT, 5000),
        *(1, "{out}/orchestrator_checkpoint.json is torn, and the events are used instead"),
    ),
    "the checkpoint is gone": Case(without(CHECKPOINT), 2, "there is no run in {out}"),
    "the report was changed": Case(
        replaced(REPORT, '"passed": false', '"passed": true'),
        *(1, "contradicts the checkpoint beside it: gate_decisions"),
    ),
    "the report is gone": Case(without(REPORT), 1, "no run has left a report in {out}"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_record_that_was_changed_makes_no_bundle(runs: Runs, tmp_path: Path, name: str) -> None:
    """The message has the file, the fault and the place, and nothing is written."""
    case = WRONG[name]
    shutil.copytree(runs("waiting"), tmp_path / "copy")
    out = tmp_path / "copy" / "out"
    case.change(out)
    ended = bundle(tmp_path / "copy", tmp_path / "b")
    assert (ended.code, ended.stdout) == (case.code, ""), ended
    assert case.said.format(out=out) in ended.stderr
    assert not (tmp_path / "b").exists()


def test_a_report_that_was_changed_where_it_was_left_is_refused(tmp_path: Path) -> None:
    """The private state knows the original, whatever the report says."""
    out = OUTCOMES["waiting"].make(tmp_path)
    replaced(REPORT, '"exit_code": 3', '"exit_code": 3 ')(out)
    ended = bundle(tmp_path, tmp_path / "b")
    assert ended.code == 1
    assert "orchestrator_run_report.json was changed" in ended.stderr


def test_a_run_at_work_makes_no_bundle(tmp_path: Path) -> None:
    """The message names the holder; an archived run of the same directory can still be bundled."""
    out = OUTCOMES["waiting"].make(tmp_path)
    run_id = str(orchestrate("report", "./out", cwd=tmp_path).stdout).partition('"run_id": "')[2]
    run_id = run_id.partition('"')[0]
    with working(tmp_path, *shell("manager", "echo here; exec sleep 60")) as process:
        ended = bundle(tmp_path, tmp_path / "b")
        assert ended.code == 75
        assert f"{out} is held by another orchestrator: process {process.pid}" in ended.stderr
        bundled(tmp_path, tmp_path / "archived", "--run-id", run_id)
    assert not (tmp_path / "b").exists()


def test_a_file_is_not_overwritten_unless_told_to(runs: Runs, tmp_path: Path) -> None:
    """An existing file stays unchanged; --force replaces it, privately."""
    path = tmp_path / "b"
    path.write_text("mine")
    ended = bundle(runs("waiting"), path)
    assert (ended.code, path.read_text()) == (2, "mine")
    assert f"{path} is there already\n  name a new file, or give --force" in ended.stderr
    assert bundle(runs("waiting"), path, "--force").code == 0
    assert path.stat().st_mode & 0o777 == 0o600
    assert members(path)


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("fifo", "is a fifo, not a regular file"),
        ("none/b", "cannot write {0}/none/b: no such file or directory"),
        ("-", "a bundle is written to a file"),
    ],
)
def test_a_place_that_cannot_be_written_to_is_refused(
    runs: Runs, tmp_path: Path, place: str, said: str
) -> None:
    """A FIFO is refused with --force too, and so is stdout: a bundle is no text."""
    os.mkfifo(tmp_path / "fifo")
    path = "-" if place == "-" else tmp_path / place
    ended = orchestrate("bundle", "./out", path, "--force", cwd=runs("waiting"))
    assert ended.code in {1, 2}
    assert said.format(tmp_path) in ended.stderr
    assert [*tmp_path.iterdir()] == [tmp_path / "fifo"]


def test_a_directory_gets_a_file_of_the_runs_name(runs: Runs, tmp_path: Path) -> None:
    """`bundle OUT .` names the file after the run."""
    assert bundle(runs("fixed clock"), tmp_path).code == 0
    assert [one.name for one in tmp_path.iterdir()] == ["fixed.fsmbundle"]


# -- in the middle ---------------------------------------------------------------------------------


@pytest.fixture
def out(runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Yield a run whose private state is this process's, to be bundled into `made`."""
    monkeypatch.setenv("XDG_STATE_HOME", str(runs("done") / "state"))
    (tmp_path / "made").mkdir()
    yield runs("done") / "out"
    assert [*(tmp_path / "made").iterdir()] == []


def made_in(tmp_path: Path, out: Path, **asked: Any) -> None:
    """Make a bundle in this process."""
    make(out, tmp_path / "made" / "b", Asked(record_key=own_key(out), **asked))


@pytest.mark.parametrize("after", [0, 3, 20])
def test_a_full_disk_leaves_nothing(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    """A lack of room at any moment is reported, and the written part is removed."""
    count, write = 0, files.write_all

    def full(descriptor: int, data: bytes) -> None:
        nonlocal count
        count += 1
        if count > after:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(descriptor, data)

    monkeypatch.setattr(files, "write_all", full)
    with pytest.raises(CommandError, match="made/b: no space left on device"):
        made_in(tmp_path, out)


def test_an_interrupt_leaves_nothing(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C in the middle of the archive leaves no file."""

    def interrupted(_descriptor: int, _data: bytes) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(files, "write_all", interrupted)
    with pytest.raises(KeyboardInterrupt):
        made_in(tmp_path, out)


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_that_asks_to_end_leaves_nothing(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, signum: int
) -> None:
    """A canceled command leaves no partial bundle, and names the signal."""

    def asked(_descriptor: int, _data: bytes) -> None:
        os.kill(os.getpid(), signum)
        time.sleep(PATIENCE_SECONDS)

    monkeypatch.setattr(files, "write_all", asked)
    code = run_command_line(["bundle", str(out), str(tmp_path / "made" / "b")])
    assert code == 128 + signum
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


@pytest.mark.parametrize("change", ["longer", "shorter", "other", "gone"])
def test_a_file_that_changes_meanwhile_makes_no_bundle(
    runs: Runs, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    """It is read twice, and must be the same; additions to a log do not count."""
    del out
    shutil.copytree(runs("done"), tmp_path / "copy")
    log = tmp_path / "copy" / "out" / "logs" / "manager.1.stdout.log"

    def meanwhile(*_args: object) -> tuple[()]:
        match change:
            case "longer":
                log.write_text("planned\nmore\n")
            case "shorter":
                log.write_text("plan")
            case "other":
                log.write_text("PLANNED\n")
            case _:
                log.unlink()
        return ()

    monkeypatch.setattr(making, "signatures_by", meanwhile)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "copy" / "state"))
    if change == "longer":
        made_in(tmp_path, tmp_path / "copy" / "out")
        assert members(tmp_path / "made" / "b")[f"logs/{log.name}"] == b"planned\n"
        (tmp_path / "made" / "b").unlink()
        return
    said = f"cannot read {log}" if change == "gone" else f"{log} was changed while it was read"
    with pytest.raises(CommandError, match=said):
        made_in(tmp_path, tmp_path / "copy" / "out")


def test_a_run_that_was_resumed_meanwhile_makes_no_bundle(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The included checkpoint must be the one that all was derived from."""
    load = load_saved
    monkeypatch.setattr(making, "load_saved", lambda one: load(one)._replace(data=b"another"))
    monkeypatch.setattr(making, "checked", lambda *_: Finding())
    with pytest.raises(CommandError, match=r"checkpoint\.json was changed while it was read"):
        made_in(tmp_path, out)


def test_a_run_that_begins_meanwhile_makes_no_bundle(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The directory must be free at the end as well."""
    holders = iter([None, Holder(1, "host", "now", "run")])
    monkeypatch.setattr(making, "holder_of", lambda _: next(holders))
    with pytest.raises(BusyError):
        made_in(tmp_path, out)


def test_a_file_that_comes_meanwhile_is_not_overwritten(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The place is checked again just before the bundle gets its name."""

    def meanwhile(*_args: object) -> tuple[()]:
        (tmp_path / "made" / "b").write_text("mine")
        return ()

    monkeypatch.setattr(making, "signatures_by", meanwhile)
    with pytest.raises(UsageError):
        made_in(tmp_path, out)
    assert (tmp_path / "made" / "b").read_text() == "mine"
    (tmp_path / "made" / "b").unlink()


def test_the_real_program_leaves_nothing_behind_where_no_file_may_be_so_large(
    runs: Runs, tmp_path: Path
) -> None:
    """A limit of the system (ulimit -f) is reported as such."""
    words = shlex.join([*COMMAND, "bundle", "./out", str(tmp_path / "b")])
    ended = subprocess.run(
        ["/bin/sh", "-c", f"ulimit -f 8; exec {words}"],
        cwd=runs("done"),
        env=environment(XDG_STATE_HOME=str(runs("done") / "state")),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1, ended
    assert f"cannot write {tmp_path}/b: file too large" in ended.stderr
    assert [*tmp_path.iterdir()] == []


def test_nobody_has_to_read_what_it_says(runs: Runs, tmp_path: Path) -> None:
    """The bundle is written completely, even with `| head -0`."""
    reader, writer = os.pipe()
    os.close(reader)
    ended = subprocess.run(
        [*COMMAND, "bundle", "./out", str(tmp_path / "b")],
        cwd=runs("done"),
        env=environment(XDG_STATE_HOME=str(runs("done") / "state")),
        stdout=writer,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(writer)
    assert b"Traceback" not in ended.stderr
    assert members(tmp_path / "b")
