"""Signals that nothing handles, and badly timed ones: the run can always continue."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import psutil
import pytest

from fsm_orchestrator.processes.interrupts import Interrupts
from fsm_orchestrator.processes.polling import readable
from tests.support.command import (
    COMMAND,
    PASSING,
    environment,
    orchestrate,
    report_of,
    shell,
    statuses,
)
from tests.support.patience import PATIENCE_SECONDS

KILLING: Final = (
    *(signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM, signal.SIGXCPU, signal.SIGSEGV),
)
"""Signals that end a process that has no handler for them."""
WAITS_ONCE: Final = (
    'if test "$ORCHESTRATOR_ATTEMPT" = 1; then echo $$ >pid.new; mv pid.new pid; exec sleep 600; fi'
)


class Running:
    """A run in its own process group, whose executor waits."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self.directory = directory
        stages = (*shell("manager", "exit 0"), *shell("executor", WAITS_ONCE))
        self._process = subprocess.Popen(
            [*COMMAND, "run", "out", *PASSING, *stages],
            cwd=directory,
            env=environment(XDG_STATE_HOME=str(directory / "state")),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            process_group=0,
        )

    def stage(self) -> psutil.Process:
        """Return the executor once it waits."""
        until = time.monotonic() + PATIENCE_SECONDS
        while not (self.directory / "pid").exists():
            assert self._process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.01)
        return psutil.Process(int((self.directory / "pid").read_text()))

    def signaled(self, signum: signal.Signals, *, group: bool) -> int:
        """Signal the orchestrator, or its whole group; return its exit status."""
        (os.killpg if group else os.kill)(self._process.pid, signum)
        return self._process.wait(PATIENCE_SECONDS)

    def close(self) -> None:
        """End what a failing test has left."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(PATIENCE_SECONDS)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    """Yield a run at work."""
    running = Running(tmp_path / "running")
    yield running
    running.close()


@pytest.mark.parametrize(
    ("signum", "group"), [*((one, False) for one in KILLING), (signal.SIGUSR1, True)], ids=str
)
def test_killed_run_can_go_on(running: Running, signum: signal.Signals, group: bool) -> None:
    """Whatever kills the orchestrator, its keeper ends the stage, and a resume continues."""
    stage = running.stage()
    assert running.signaled(signum, group=group) == -signum
    psutil.wait_procs([stage], timeout=PATIENCE_SECONDS)
    assert not stage.is_running()
    status = orchestrate("status", "out", cwd=running.directory)
    assert "interrupted" in status.stdout.splitlines()[0]
    resumed = orchestrate("out", "--resume", cwd=running.directory)
    assert resumed.code == 0, resumed.stderr
    report = report_of(running.directory / "out")
    assert report["terminal_state"] == "done"
    assert statuses(report) == [("manager", "skipped"), ("executor", "success")]
    assert report["earlier_invocations"][0]["stage_executions"][-1]["status"] == "interrupted"


def test_quit_of_the_whole_group_is_recorded(running: Running) -> None:
    r"""Ctrl-\ reaches every process in the terminal: the run is ended and recorded as by Ctrl-C."""
    stage = running.stage()
    assert running.signaled(signal.SIGQUIT, group=True) == 131
    assert not stage.is_running()
    report = report_of(running.directory / "out")
    assert (report["terminal_state"], report["exit_code"]) == ("failed", 131)
    assert "SIGQUIT" in report["stage_executions"][-1]["error"]
    assert orchestrate("out", "--resume", cwd=running.directory).code == 0


def test_request_wakes_a_wait_that_had_not_begun() -> None:
    """A signal that interrupts no wait, because another thread got it, still ends the next one."""
    interrupts = Interrupts()
    had = threading.Event()
    other = threading.Thread(target=had.wait, args=(PATIENCE_SECONDS,))
    with interrupts.installed():
        other.start()
        begin = threading.Timer(0.2, signal.pthread_kill, (other.ident, signal.SIGTERM))
        begin.start()
        woken = readable([interrupts.fileno()], time.monotonic() + PATIENCE_SECONDS)
        assert woken == {interrupts.fileno()}
        assert interrupts.first == signal.SIGTERM
        interrupts.drain()
        assert not readable([interrupts.fileno()], 0.0)
        begin.join()
    had.set()
    other.join()
    interrupts.close()


def test_a_stop_leaves_no_request_behind() -> None:
    """Ctrl-Z wakes a wait too, but leaves no request to find afterwards."""
    interrupts = Interrupts()
    with interrupts.installed():
        child = os.fork()
        if child == 0:
            time.sleep(0.3)
            os.kill(os.getppid(), signal.SIGCONT)
            os._exit(0)
        os.kill(os.getpid(), signal.SIGTSTP)
        assert not readable([interrupts.fileno()], 0.0)
        assert not interrupts.is_news
        os.waitpid(child, 0)
    interrupts.close()
