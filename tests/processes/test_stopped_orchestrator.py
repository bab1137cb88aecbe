"""A stopped orchestrator: limits hold, and Ctrl-Z stops the stage and its clocks too."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.processes.living import stands_still
from tests.support.command import (
    COMMAND,
    PASSING,
    RUN_COMMAND_LINE,
    checkpoint_of,
    environment,
    orchestrate,
    report_of,
    stages,
    start,
)
from tests.support.patience import PATIENCE_SECONDS, wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks at processes in /proc")
WITHOUT = f"""
import sys
from fsm_orchestrator.processes import runner
runner.start_keeper = lambda: "none here"
{RUN_COMMAND_LINE}
sys.exit(run_command_line(sys.argv[1:]))
"""
NO_KEEPER = (sys.executable, "-c", WITHOUT)
WAYS = {"keeper": COMMAND, "no keeper": NO_KEEPER}
GO = "echo $$ > pid; while [ ! -e go ]; do sleep 0.02; done"
HASTES_MS = (1500, 6000)
"""Time limits, the second for a machine that is too busy for the first."""


class Suspect:
    """A run in a directory, with its first stage at work, to be stopped and continued."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.output = directory / "out"
        self._known: list[psutil.Process] = []

    def start(self, script: str, *options: str, command: tuple[str, ...] = COMMAND) -> None:
        """Start the run, and wait until its stage has written its pid."""
        self.directory.mkdir(exist_ok=True)
        words = ("out", *PASSING, *stages(script), *options)
        if command == COMMAND:
            self.process = start(*words, cwd=self.directory)
        else:
            self.process = subprocess.Popen(
                [*command, *words],
                cwd=self.directory,
                env=environment(XDG_STATE_HOME=str(self.directory / "state")),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        self._known.append(psutil.Process(self.process.pid))
        self.stage = self.process_of("pid")

    def process_of(self, name: str) -> psutil.Process:
        """Return the process whose pid is in a file, once it is written."""
        path = self.directory / name
        wait_until(lambda: path.exists() and path.read_text().endswith("\n"), f"no {name}")
        found = psutil.Process(int(path.read_text()))
        self._known.append(found)
        return found

    def stop(self, signum: int = signal.SIGSTOP) -> None:
        """Stop the orchestrator."""
        self.process.send_signal(signum)
        wait_until(lambda: stands_still(self.process.pid), "it is not stopped")

    def go_on(self) -> int:
        """Continue the orchestrator; return its exit code."""
        self.process.send_signal(signal.SIGCONT)
        return self.process.wait(PATIENCE_SECONDS)

    @property
    def execution(self) -> dict[str, Any]:
        """The entry of the first stage in the report."""
        found = report_of(self.output)["stage_executions"][0]
        assert isinstance(found, dict)
        return found

    def close(self) -> None:
        """End what a failing test has left."""
        for process in reversed(self._known):
            if process.is_running():
                process.kill()
        self.process.communicate(timeout=PATIENCE_SECONDS)


@pytest.fixture
def suspects(tmp_path: Path) -> Iterator[Callable[[], Suspect]]:
    """Yield a maker of runs in separate directories, of which nothing is left after the test."""
    made: list[Suspect] = []

    def make() -> Suspect:
        made.append(Suspect(tmp_path / str(len(made))))
        return made[-1]

    yield make
    for one in made:
        one.close()


def has_ended(process: psutil.Process) -> bool:
    """Return True if a process is gone, or waits to be reaped."""
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


# SIGSTOP: the limits continue


@pytest.mark.parametrize("way", WAYS)
def test_late_stage_is_no_success(suspects: Callable[[], Suspect], way: str) -> None:
    """A stage that ends on its own after its time limit has timed out, whenever it is noticed."""
    run = suspects()
    run.start("echo $$ > pid; exec sleep 1.8", "--timeout-ms", "1200", command=WAYS[way])
    run.stop()
    wait_until(lambda: has_ended(run.stage), "it is at work")
    assert run.go_on() == 124
    assert run.execution["ending"] == "timed_out"
    assert run.execution["error"].startswith("timed out after 1.2s; ended ")
    gaps = {"keeper": ("ended_by_keeper", "ended_by_itself"), "no keeper": ("ended_by_itself",)}
    assert run.execution["no_postmortem"] in gaps[way]


@pytest.mark.parametrize("is_deaf", [False, True])
def test_stage_is_ended_at_its_limit_by_who_watches(
    suspects: Callable[[], Suspect], is_deaf: bool
) -> None:
    """The keeper alone ends a stage with all that it started, gently first."""
    run = suspects()
    trap = "trap '' TERM;" if is_deaf else ""
    script = f"{trap} setsid sleep 600 & echo $! > other; {trap} echo $$ > pid; exec sleep 600"
    run.start(script, "--timeout-ms", "700", "--kill-grace-ms", "300")
    other = run.process_of("other")
    run.stop()
    wait_until(lambda: has_ended(run.stage) and has_ended(other), "it is at work")
    assert run.go_on() == 124
    how = "ignored SIGTERM and was killed" if is_deaf else "ended on SIGTERM"
    assert run.execution["error"].startswith(f"timed out after 700ms; {how}")
    assert (run.execution["postmortem"], run.execution["no_postmortem"]) == (
        None,
        "ended_by_keeper",
    )
    told = orchestrate("explain", run.output, "--all", cwd=run.directory).stdout
    assert "no postmortem" in told
    why = "the keeper ended it, because the orchestrator stood still: nobody looked"
    assert why in " ".join(told.split())


def test_record_says_why_nobody_looked_where_the_orchestrator_died(
    suspects: Callable[[], Suspect],
) -> None:
    """The keeper ends what a killed orchestrator had started, and the record has the reason."""
    run = suspects()
    run.start("[ -e pid ] && exit 0; echo $$ > pid; exec sleep 600")
    run.process.kill()
    run.process.wait(PATIENCE_SECONDS)
    wait_until(lambda: has_ended(run.stage), "it is at work")
    why = "the orchestrator died first, and nobody else could look"
    told = orchestrate("explain", run.output, "--all", cwd=run.directory).stdout
    assert why in " ".join(told.split())
    assert orchestrate("./out", "--resume", cwd=run.directory).code == 0
    report = report_of(run.output)
    (interrupted,) = report["earlier_invocations"][0]["stage_executions"]
    assert interrupted["status"] == "interrupted"
    assert interrupted["no_postmortem"] == "orchestrator_died"
    assert run.execution["no_postmortem"] is None


def test_silence_counts_while_nobody_looks(suspects: Callable[[], Suspect]) -> None:
    """Output that comes after too long a silence does not save a stage."""
    run = suspects()
    script = "echo $$ > pid; echo one; sleep 1.6; echo two"
    run.start(script, "--manager-idle-timeout-ms", "900")
    run.stop()
    wait_until(lambda: has_ended(run.stage), "it is at work")
    assert run.go_on() == 124
    assert run.execution["ending"] == "went_quiet"


def test_frozen_host_makes_no_late_stage_a_success(suspects: Callable[[], Suspect]) -> None:
    """An end counts when it is seen if the keeper stood still as well."""
    run = suspects()
    run.start(GO, "--timeout-ms", "1200")
    keeper = run.stage.parent()
    assert keeper is not None
    keeper.suspend()
    run.stop()
    (run.directory / "go").touch()
    wait_until(lambda: has_ended(run.stage), "it is at work")
    time.sleep(1.3)
    keeper.resume()
    assert run.go_on() == 124
    assert "ended on its own, which was seen only after that" in run.execution["error"]


def test_stage_that_ended_in_time_is_a_success(suspects: Callable[[], Suspect]) -> None:
    """A stage that ends in time is not late, even if its end is noticed after its limit."""
    for haste_ms in HASTES_MS:
        run = suspects()
        run.start(GO, "--timeout-ms", str(haste_ms))
        began = time.monotonic()
        run.stop()
        (run.directory / "go").touch()
        wait_until(lambda run=run: has_ended(run.stage), "it is at work")  # type: ignore[misc]
        time.sleep(max(0.0, began + haste_ms / 1000 + 0.1 - time.monotonic()))
        code = run.go_on()
        if code == 0:
            break
    assert code == 0
    assert run.execution["status"] == "success"


def test_stage_that_stops_its_keeper_has_its_limit_all_the_same(
    suspects: Callable[[], Suspect],
) -> None:
    """Both keeper and orchestrator count the time, so the limit holds if one of them is stopped."""
    run = suspects()
    run.start("echo $$ > pid; kill -STOP $PPID; exec sleep 600", "--timeout-ms", "500")
    assert run.process.wait(PATIENCE_SECONDS) == 124
    assert run.execution["ending"] == "timed_out"


# Ctrl-Z: the clocks stand still


@pytest.mark.parametrize("way", WAYS)
def test_suspended_run_stands_still_and_goes_on(suspects: Callable[[], Suspect], way: str) -> None:
    """SIGTSTP stops the stage, what it started and its limits; SIGCONT continues them all."""
    script = f"sleep 600 & echo $! > other; {GO}; sleep 0.6; kill $!"
    for haste_ms in HASTES_MS:
        run = suspects()
        run.start(script, "--timeout-ms", str(haste_ms), command=WAYS[way])
        other = run.process_of("other")
        run.stop(signal.SIGTSTP)
        for one in (run.stage, other):  # the signals are sent: each takes its own in turn
            wait_until(lambda one=one: stands_still(one.pid), f"{one} goes on")  # type: ignore[misc]
        said = orchestrate("status", "out", cwd=run.directory).stdout
        assert said.startswith("! suspended: run ")
        assert f"kill -CONT {run.process.pid}\n" in said
        time.sleep(haste_ms / 1000 + 0.1)
        (run.directory / "go").touch()
        code = run.go_on()
        if code == 0:
            break
    assert code == 0
    assert run.execution["status"] == "success"
    (warning,) = [one for one in report_of(run.output)["warnings"] if "stood still" in one]
    assert "the run was suspended (SIGTSTP)" in warning


def test_what_had_stopped_itself_stays_stopped(suspects: Callable[[], Suspect]) -> None:
    """Only what was running before continues."""
    run = suspects()
    run.start(f"sleep 600 & echo $! > other; kill -STOP $!; {GO}; kill -KILL $!")
    other = run.process_of("other")
    wait_until(lambda: stands_still(other.pid), "it goes on")
    run.stop(signal.SIGTSTP)
    run.process.send_signal(signal.SIGCONT)
    wait_until(lambda: not stands_still(run.stage.pid), "it does not go on")
    assert other.status() == psutil.STATUS_STOPPED
    (run.directory / "go").touch()
    assert run.process.wait(PATIENCE_SECONDS) == 0


@pytest.mark.parametrize("signum", [signal.SIGTSTP, signal.SIGSTOP])
@pytest.mark.parametrize("options", [(), ("--now",)])
def test_stopped_run_can_be_ended(
    suspects: Callable[[], Suspect], signum: int, options: tuple[str, ...]
) -> None:
    """`stop` continues the orchestrator, so that it gets the request."""
    run = suspects()
    run.start(GO, "--timeout-ms", "600000")
    run.stop(signum)
    for words in (("status", "out"), ("status", "out", "."), ("explain", "out")):
        assert "suspended" in orchestrate(*words, cwd=run.directory).stdout
    ended = orchestrate("stop", "out", *options, cwd=run.directory)
    assert ended.code == 0, ended.stderr
    assert run.process.wait(PATIENCE_SECONDS) == 143
    assert has_ended(run.stage)
    assert run.execution["status"] == "interrupted"


def test_killed_while_it_is_suspended_leaves_nothing(suspects: Callable[[], Suspect]) -> None:
    """The keeper ends a stopped stage, too."""
    run = suspects()
    run.start(GO)
    run.stop(signal.SIGTSTP)
    run.process.kill()
    wait_until(lambda: has_ended(run.stage), "it is there")
    keeper = checkpoint_of(run.output)["open_attempts"][0]["keeper_pid"]
    wait_until(lambda: not psutil.pid_exists(keeper), "the keeper is there")


def test_ctrl_z_on_a_terminal_suspends(tmp_path: Path) -> None:
    """The key itself suspends the run, on a terminal."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(tmp_path)
        os.execvpe(  # noqa: S606 - the child of a fork
            COMMAND[0],
            (*COMMAND, "out", *PASSING, *stages(GO)),
            environment(XDG_STATE_HOME=str(tmp_path / "state")),
        )
    try:
        wait_until((tmp_path / "pid").exists, "no stage")
        os.write(terminal, b"\x1a")
        assert os.WIFSTOPPED(os.waitpid(pid, os.WUNTRACED)[1])
        wait_until((tmp_path / "pid").read_text)
        stage = int((tmp_path / "pid").read_text())
        # The signal has been sent: a busy machine lets the stage take it when its turn comes.
        wait_until(lambda: stands_still(stage), "it is not stopped")
        (tmp_path / "go").touch()
        os.kill(pid, signal.SIGCONT)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    finally:
        os.close(terminal)


def test_ignored_sigtstp_stays_ignored(suspects: Callable[[], Suspect]) -> None:
    """A run that is started with SIGTSTP ignored continues through it."""
    run = suspects()
    ignoring = ("/bin/sh", "-c", 'trap \'\' TSTP; exec "$0" "$@"')
    run.start(GO, command=(*ignoring, *COMMAND))
    run.process.send_signal(signal.SIGTSTP)
    (run.directory / "go").touch()
    assert run.process.wait(PATIENCE_SECONDS) == 0
