"""`watch` and `status --watch` on terminals and off them: real runs, a real pty, an emulator."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.command.supervision_cases import working
from tests.support.command import COMMAND, PASSING, REPORT, environment, orchestrate, stages, start
from tests.support.epoch_cases import taken_over
from tests.support.patience import PATIENCE_SECONDS
from tests.support.screen import Terminal

pytestmark = pytest.mark.one_in(2)


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return runs that wait, are blocked, failed, and are done."""
    cwd = tmp_path_factory.mktemp("seeds")
    orchestrate("runs/d-done", *PASSING, *stages(), cwd=cwd)
    orchestrate("runs/c-failed", *PASSING, *stages("echo broken >&2; exit 1"), cwd=cwd)
    orchestrate("runs/b-blocked", *PASSING[:2], "--ci-status", "failure", *stages(), cwd=cwd)
    orchestrate("runs/a-waiting", *PASSING[:4], *stages(), cwd=cwd)
    return cwd


@pytest.fixture
def cwd(tmp_path: Path, seeds: Path) -> Path:
    """Return a directory with `runs`, which may be changed."""
    shutil.copytree(seeds, tmp_path, dirs_exist_ok=True)
    return tmp_path


@contextmanager
def watched(*words: str, cwd: Path, **settings: object) -> Iterator[Terminal]:
    """Yield a watch on a terminal, ended by Ctrl-C: then the terminal is restored."""
    with Terminal("watch", *words, cwd=cwd, **settings) as terminal:  # type: ignore[arg-type]
        modes = terminal.modes()
        terminal.until_shown("Ctrl-C ends")
        yield terminal
        terminal.type("\x03")
        assert terminal.end() == 130
        assert terminal.shown == []
        assert terminal.is_cursor_shown
        assert terminal.modes() == modes
        assert b"\x1b[?" not in terminal.raw


@pytest.mark.parametrize(
    ("columns", "env"), [(80, {}), (120, {"NO_COLOR": "1"}), (80, {"LC_ALL": "C"})]
)
def test_runs_that_need_a_person_are_first(columns: int, env: dict[str, str], seeds: Path) -> None:
    """Each has its time, reason and next command; runs that are done are one line."""
    with watched("runs", cwd=seeds, columns=columns, env=env) as terminal:
        lines, raw = terminal.shown, bytes(terminal.raw)
    bad, good = ("x ", "ok") if "LC_ALL" in env else ("✗", "✓")
    gap = " " if "LC_ALL" not in env else " " * 2
    counts = f"4 runs in runs:  {bad.strip()} 1 failed  ! 1 blocked  ! 1 waiting  {good} 1 done"
    assert lines[:2] == [counts, ""]
    assert re.fullmatch(rf"!{gap}a-waiting  waiting  \S+ +waits for review", lines[2])
    assert lines[3].startswith("    fsm-orchestrator runs/a-waiting --resume --review-status")
    assert re.match(rf"!{gap}b-blocked  blocked  \S+ +gate ci is failure, and only", lines[4])
    assert lines[5].startswith("    fsm-orchestrator runs/b-blocked --resume --ci-status success")
    failed = next(line for line in lines if "c-failed  " in line)
    assert re.search(r"failed   \S+ +manager: exited with code 1: broken$", failed)
    done = f"{good} 1 done, the latest "
    assert lines[-2].startswith(done)
    assert lines[-2].endswith("ago: d-done")
    assert max(map(len, lines)) < columns
    assert (b"\x1b[33m" in raw) == ("NO_COLOR" not in env)


def test_next_command_is_the_one_of_status(cwd: Path) -> None:
    """It can be copied unchanged, and is tried as the one of `status` is."""
    with watched("runs", "--state", "waiting", cwd=cwd, columns=200) as terminal:
        command = terminal.shown[3].strip()
    told = orchestrate("status", "runs/a-waiting", cwd=cwd).stdout
    assert f"  resume   {command}" in told


def test_what_changes_is_seen(cwd: Path) -> None:
    """New, working and printing runs are seen, lost ones too, and a directory that comes back."""
    options = (
        *stages("echo go; until test -e more; do sleep 0.05; done"),
        "--manager-timeout",
        "5m",
    )
    with watched("runs", cwd=cwd, columns=100) as terminal:
        process = start("runs/new", *PASSING, *options, cwd=cwd)
        terminal.until_shown("1 working")
        terminal.until(lambda it: any(re.search(WORKING, line) for line in it.shown))
        (cwd / "more").write_text("")
        process.communicate(timeout=PATIENCE_SECONDS)
        terminal.until_shown("2 done, the latest ")
        terminal.until(lambda it: any(line.endswith("ago: new") for line in it.shown))
        shutil.rmtree(cwd / "runs" / "c-failed")
        terminal.until(lambda it: not any("failed" in line for line in it.shown))
        (cwd / "runs").rename(cwd / "away")
        terminal.until_shown("0 runs in runs")
        assert any("cannot read" in line for line in terminal.shown)
        (cwd / "away").rename(cwd / "runs")
        terminal.until_shown("1 waiting")
        terminal.until(lambda it: not any("cannot read" in line for line in it.shown))


def test_run_that_is_taken_over_is_followed(cwd: Path) -> None:
    """The output of the later epoch is shown, under the same name."""
    with watched("runs", cwd=cwd, columns=100) as terminal:
        with taken_over(cwd / "runs" / "new") as take_over:
            terminal.until_shown("manager 1")
            terminal.until(lambda it: any(line.endswith("attempt 1") for line in it.shown))
            take_over()
            terminal.until_shown("manager 2")
            terminal.until(lambda it: any(line.endswith("attempt 2") for line in it.shown))
            assert sum("new  " in line for line in terminal.shown) == 1
        terminal.until(lambda it: any(line.endswith("ago: new") for line in it.shown))


WORKING = r"^→ new        working  \d+s +manager 1, \d+s of 5m: go$"


def test_window_of_any_size_holds_it(cwd: Path) -> None:
    """Runs that do not fit are counted; a resized window is used at its new size."""
    for number in range(30):
        shutil.copytree(cwd / "runs" / "c-failed", cwd / "runs" / f"e-{number}")
    with watched(str(cwd / "runs"), cwd=cwd, columns=120, lines=40) as terminal:
        assert len(terminal.shown) == 39
        for columns, lines in ((80, 10), (40, 8), (120, 30)):
            terminal.resize(columns, lines)
            terminal.until(lambda it, height=lines: is_whole(it, height))  # type: ignore[misc]
            assert max(map(len, terminal.shown)) < columns
            assert any("more that need a person" in line for line in terminal.shown)


def is_whole(terminal: Terminal, height: int) -> bool:
    """Return whether the screen is drawn for its size: head at the top, last line near the end."""
    shown = terminal.shown
    is_all = shown[0].startswith("34 runs") and shown[-1] == "Ctrl-C ends"
    return is_all and height - 3 <= len(shown) <= height - 1


def test_terminal_that_was_another_s_meanwhile(cwd: Path) -> None:
    """Ctrl-Z gives it to the shell; `fg` draws it again, and Ctrl-C still ends it."""
    with watched("runs", cwd=cwd) as terminal:
        os.kill(terminal.process.pid, signal.SIGTSTP)
        _, status = os.waitpid(terminal.process.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        terminal.until(lambda it: it.shown == [])
        os.kill(terminal.process.pid, signal.SIGCONT)
        terminal.until_shown("Ctrl-C ends")


def test_status_is_watched_as_a_list(cwd: Path) -> None:
    """The worst run is first, below the column heads; a change is seen."""
    with Terminal("status", "runs", "--watch", "--sort", "name", cwd=cwd) as terminal:
        terminal.until_shown("Ctrl-C ends")
        names = [line.split()[1] for line in terminal.shown[3:-1]]
        assert names == ["a-waiting", "b-blocked", "c-failed", "d-done"]
        assert terminal.shown[2].split()[:4] == ["run", "stands", "for", "took"]
        (cwd / "runs" / "d-done" / REPORT).write_text("{")
        terminal.until_shown("1 unreadable")
        terminal.type("\x03")
        assert terminal.end() == 130


def lines_of(process: subprocess.Popen[str]) -> Iterator[str]:
    """Yield the output of a watch, without times."""
    assert process.stdout is not None
    for line in process.stdout:
        yield re.sub(r"\d{4}-\S+Z  ", "", line.rstrip("\n"))


@pytest.mark.parametrize("command", [("watch", "runs"), ("status", "runs", "--watch")])
def test_change_is_a_line_off_a_terminal(command: tuple[str, ...], cwd: Path) -> None:
    """At first each run that is not done has a line; then each that changes or is gone."""
    process = start(*command, cwd=cwd)
    lines = lines_of(process)
    assert [next(lines) for _ in range(4)] == [
        "4 runs:  ✗ 1 failed  ! 1 blocked  ! 1 waiting  ✓ 1 done",
        "! runs/a-waiting: waiting: waits for review",
        "! runs/b-blocked: blocked: gate ci is failure, and only success passes",
        "✗ runs/c-failed: failed: manager: exited with code 1: broken",
    ]
    with working(cwd / "runs", *stages("echo go; exec sleep 60")) as run:
        seen = [next(lines)]
        while "manager 1" not in seen[-1]:
            seen.append(next(lines))
        assert seen[-1] == "→ runs/out: working: manager 1"
        run.send_signal(signal.SIGTERM)
        run.wait(PATIENCE_SECONDS)
    while "failed" not in seen[-1]:
        seen.append(next(lines))
    assert seen[-1].startswith("✗ runs/out: failed: manager: ")
    shutil.rmtree(cwd / "runs")
    gone = sorted(next(lines) for _ in range(6))
    assert "runs/d-done: gone" in gone
    assert any("cannot read" in line for line in gone)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 130


@pytest.mark.parametrize(
    ("words", "env"), [((), {"TERM": "dumb"}), (("--plain",), {}), ((), {"CI": "1"})]
)
def test_terminal_that_is_not_to_be_redrawn(
    words: tuple[str, ...], env: dict[str, str], cwd: Path
) -> None:
    """TERM=dumb, --plain and CI get lines that no cursor overwrites."""
    with Terminal("watch", "runs", *words, cwd=cwd, columns=120, env=env) as terminal:
        terminal.until_shown("runs/c-failed: failed: manager: exited with code 1: broken")
        terminal.type("\x03")
        assert terminal.end() == 130
        assert re.search(rb"\x1b[^\[]|\x1b\[[0-9;]*[^m0-9;]", bytes(terminal.raw)) is None


def test_reader_that_goes_away_has_read_enough(cwd: Path) -> None:
    """A watch without a reader ends with 0, even if no run changes."""
    env = environment(XDG_STATE_HOME=str(cwd / "state"))
    words = [*COMMAND, "watch", "runs"]
    process = subprocess.Popen(words, cwd=cwd, env=env, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert b"4 runs" in process.stdout.readline()
    process.stdout.close()
    assert process.wait(timeout=PATIENCE_SECONDS) == 0


def test_directory_that_is_not_there_is_refused(cwd: Path) -> None:
    """A missing directory is refused before anything is shown."""
    ended = orchestrate("watch", "nowhere", cwd=cwd)
    assert (ended.code, ended.stdout) == (2, "")
    assert "nowhere does not exist" in ended.stderr


def test_watch_in_the_background_leaves_the_screen_to_others(cwd: Path) -> None:
    """It draws nothing in the background, whatever is typed; in the foreground it does."""
    script = (
        f"set -m; {' '.join(COMMAND)} watch runs & sleep 2; echo typed; sleep 1; fg > /dev/null"
    )
    with Terminal("-c", script, cwd=cwd, command=("bash",)) as terminal:
        terminal.until_shown("typed")
        assert terminal.shown == ["typed"]
        terminal.until_shown("Ctrl-C ends")
        terminal.type("\x03")
        terminal.end()
        assert terminal.shown == ["typed"]
