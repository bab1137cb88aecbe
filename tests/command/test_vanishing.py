"""Directories that disappear during a command or cannot be entered: it works, or says why not."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fsm_orchestrator.cli.main import run_command_line
from fsm_orchestrator.disk import files
from tests.support.command import (
    COMMAND,
    PASSING,
    environment,
    orchestrate,
    report_of,
    shell,
    stages,
)
from tests.support.patience import PATIENCE_SECONDS

pytestmark = pytest.mark.timeout(300)
LOOKS = (
    ("explain", "{out}"),
    ("status", "{out}"),
    ("status", "{above}"),
    ("logs", "{out}"),
    ("report", "{out}"),
    ("report", "{out}", "--html", "-"),
    ("diagram", "--run", "{out}"),
    ("plan", "{out}", "--resume"),
    ("config", "show", "{out}"),
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with a failed run in `out`."""
    directory = tmp_path_factory.mktemp("finished")
    assert orchestrate("out", *PASSING, *stages("echo line", "exit 1"), cwd=directory).code == 1
    return directory


@pytest.mark.parametrize("command", LOOKS, ids=" ".join)
def test_directory_that_goes_away_under_a_look(
    command: tuple[str, ...],
    finished: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A deletion before any of the files is opened costs at most a designed error."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    out, real = tmp_path / "runs" / "out", files.perform
    words = [word.format(out=out, above=out.parent) for word in command]
    for number in range(1, 100):
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(finished / "out", out)
        calls: list[Any] = []

        def perform(operation: Any, call: Any, *args: Any, **places: Any) -> Any:
            calls.append(operation)  # noqa: B023 - called in this turn
            if len(calls) == number:  # noqa: B023 - called in this turn
                shutil.rmtree(out)
            return real(operation, call, *args, **places)

        with monkeypatch.context() as patch:
            patch.setattr(files, "perform", perform)
            code = run_command_line(words)
        assert code in {0, 1, 2}, (number, capsys.readouterr())
        assert "Traceback" not in capsys.readouterr().err
        if len(calls) < number:
            assert number > 1
            return


@pytest.fixture
def no_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Enter a current directory and remove it."""
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    yield tmp_path
    os.chdir(tmp_path)


@pytest.mark.parametrize("command", LOOKS, ids=" ".join)
def test_look_without_a_current_directory(
    command: tuple[str, ...],
    finished: Path,
    no_directory: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A run with an absolute path can be read; for a relative path the reason is given."""
    out = finished / "out"
    words = [word.format(out=out, above=out.parent) for word in command]
    code = run_command_line(words)
    assert code in {0, 1, 2}, capsys.readouterr()
    assert (code == 2) == (command[0] == "plan" or command[0] == "config"), capsys.readouterr()
    code = run_command_line([word.format(out="out", above="./runs") for word in command])
    assert code in {1, 2}, capsys.readouterr()
    assert "Traceback" not in capsys.readouterr().err
    assert no_directory.exists()


@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("setpriv") is None, reason="needs root and setpriv(1)"
)
def test_current_directory_that_may_not_be_entered(tmp_path: Path) -> None:
    """The run works if its files are readable, and reports relative paths that are not."""
    closed, free = tmp_path / "closed", tmp_path / "free"
    for one in (closed, free):
        one.mkdir()
        one.chmod(0o777)
    for one in (tmp_path, *tmp_path.parents[:-2]):
        one.chmod(one.stat().st_mode | 0o055)
    as_nobody = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
    script = 'cd "$1"; chmod 0 "$1"; shift; exec "$@"'
    for output, codes in ((str(free / "out"), {0, 1, 2}), ("out", {2})):
        closed.chmod(0o777)
        done = subprocess.run(
            [
                *("/bin/sh", "-c", script, "sh", str(closed), *as_nobody, *COMMAND, output),
                *(*PASSING, *shell("manager", "true")),
            ],
            cwd=tmp_path,
            env=environment(XDG_STATE_HOME=str(free / "state")),
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        assert done.returncode in codes, done
        assert "Traceback" not in done.stderr
        if done.returncode != 2:
            assert report_of(free / "out")["exit_code"] == done.returncode


def test_report_of_another_run_is_not_named_as_this_one_s(tmp_path: Path) -> None:
    """If a stage puts another run's directory there, its report and its resume are not named."""
    assert orchestrate("./other", *PASSING, *stages("exit 0", "exit 3"), cwd=tmp_path).code == 1
    script = "sleep 0.3; mv out gone; cp -R other out"
    ended = orchestrate("./out", *PASSING, *stages(script), "--log-format", "text", cwd=tmp_path)
    assert ended.code == 1
    assert "another directory is in the place" in ended.stdout
    for word in ("report ", "resume ", "details "):
        assert f"\n  {word}" not in ended.stdout
    assert report_of(tmp_path / "out") == report_of(tmp_path / "other")


def test_name_that_no_directory_can_have_is_refused(tmp_path: Path) -> None:
    """The message does not mention a checkpoint, for none can exist there."""
    ended = orchestrate(f"./{'n' * 300}", *PASSING, *stages(), cwd=tmp_path)
    assert ended.code == 2
    assert "cannot be made: file name too long" in ended.stderr
    assert "checkpoint" not in ended.stderr
    assert os.listdir(tmp_path) == []
