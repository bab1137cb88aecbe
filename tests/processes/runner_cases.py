"""Run commands in a thread, receive what they print, and end what they leave."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import psutil

from fsm_orchestrator.model.endings import TimedOut, WentQuiet
from fsm_orchestrator.model.limits import Limits
from fsm_orchestrator.processes.command import Command
from fsm_orchestrator.processes.interrupts import Interrupts
from fsm_orchestrator.processes.observing import ProcessReport
from fsm_orchestrator.processes.runner import ProcessRunner
from fsm_orchestrator.vocabulary import Containment
from tests.support.patience import PATIENCE_SECONDS

SHELL = "/bin/sh"
WATCHDOG_SECONDS = PATIENCE_SECONDS
AMPLE_MS = 30_000
"""More than enough: what still exists then was ended by force, which is noticed."""
AMPLE = Limits(timeout_ms=AMPLE_MS, kill_grace_ms=AMPLE_MS)
ENDS_ON_SIGTERM = "echo $$ >&2; exec sleep 600"


class Bench:
    """A runner at work for a test: what its process prints, and every process to clear away.

    The first process reports to the test on its stderr, a pipe, line by line; stdout is a file.
    """

    def __init__(self, directory: Path, containment: Containment) -> None:
        self.directory = directory
        self.containment = containment
        self.interrupts = Interrupts()
        may_keep = containment is Containment.SUBREAPER
        self.runner = ProcessRunner(self.interrupts, may_keep=may_keep)
        self.pid = 0
        self.slow_ms: list[int] = []
        self.suspended_ms: list[int] = []
        self.endings: list[tuple[TimedOut | WentQuiet, tuple[int, ...], float]] = []
        self._then: Callable[[], object] = lambda: None
        self._processes: list[psutil.Process] = []
        self._threads: list[threading.Thread] = []
        reader, self._writer = os.pipe()
        self._lines = os.fdopen(reader)

    def run(
        self,
        command: str,
        *args: str,
        limits: Limits = AMPLE,
        then: Callable[[], object] = lambda: None,
        **changes: Any,
    ) -> ProcessReport:
        """Run a process to its end; call `then` once it has been started."""
        self._then = then
        with (self.directory / "stdout").open("wb") as stdout:
            settings: dict[str, Any] = {
                "command": command,
                "args": args,
                "cwd": str(self.directory),
                "env": dict(os.environ),
                "search_path": os.environ.get("PATH"),
                "stdout": stdout.fileno(),
                "stderr": self._writer,
            }
            return self.runner.run(Command(**{**settings, **changes}), limits, self)

    def started(self, pid: int) -> None:
        """Note that the runner has started the process."""
        self.pid = pid
        self.track(pid)
        self._hang_up()
        self._then()

    def slow(self, elapsed_ms: int) -> None:
        """Note that the runner finds it slow."""
        self.slow_ms.append(elapsed_ms)

    def suspended(self, paused_ms: int) -> None:
        """Note that the runner was stopped, and its process with it."""
        self.suspended_ms.append(paused_ms)

    def ending(
        self, stopped: TimedOut | WentQuiet, processes: tuple[int, ...], silent_seconds: float
    ) -> None:
        """Note that the runner is about to end it."""
        self.endings.append((stopped, processes, silent_seconds))

    def python(self, code: str, *args: str, **settings: Any) -> ProcessReport:
        """Run Python code to its end."""
        return self.run(sys.executable, "-I", "-S", "-c", code, *args, **settings)

    def shell(self, script: str, **settings: Any) -> ProcessReport:
        """Run a shell script to its end."""
        return self.run(SHELL, "-c", script, **settings)

    def in_thread(self, run: Callable[[], ProcessReport]) -> Future[ProcessReport]:
        """Run on a separate thread, so that a run that does not end fails only its test."""
        future: Future[ProcessReport] = Future()

        def work() -> None:
            try:
                future.set_result(run())
            except BaseException as error:  # noqa: BLE001 - it belongs to whoever asks
                future.set_exception(error)
                self._hang_up()  # a process that was never started prints no line

        thread = threading.Thread(target=work, daemon=True)
        self._threads.append(thread)
        thread.start()
        return future

    def hear(self) -> str:
        """Return the next line that the process prints; fail if it ends without one."""
        line = self._lines.readline().rstrip("\n")
        assert line, "the process ended without a word"
        return line

    def hear_pid(self) -> int:
        """Return the next line as the pid of a process that the test must see gone."""
        pid = int(self.hear())
        self.track(pid)
        return pid

    def hear_pid_behind(self) -> int:
        """Return the pid of a background process that is ready: two lines, in either order."""
        (pid,) = (int(line) for line in (self.hear(), self.hear()) if line != "ready")
        self.track(pid)
        return pid

    def track(self, pid: int) -> None:
        """Remember a process, to end it whatever happens to the test."""
        with contextlib.suppress(psutil.NoSuchProcess):
            self._processes.append(psutil.Process(pid))

    @property
    def output(self) -> bytes:
        """The bytes that the process wrote to its stdout."""
        return (self.directory / "stdout").read_bytes()

    def close(self) -> None:
        """End what a failing test may have left, and release everything."""
        for tracked in self._processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                tracked.kill()
        for thread in self._threads:
            thread.join(WATCHDOG_SECONDS)
        os.close(self._writer)
        self._lines.close()
        self.runner.close()
        self.interrupts.close()

    def _hang_up(self) -> None:
        """Leave the writing end to the child alone, so that its end is an end of file here.

        The runner still looks at the descriptor: it stays open, on the null device.
        """
        with Path(os.devnull).open("wb") as null:
            os.dup2(null.fileno(), self._writer)


def is_alive(pid: int) -> bool:
    """Return True if the process exists; one that only waits to be reaped is gone."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def is_our_child(pid: int) -> bool:
    """Return True if something of the process is left for this process to reap."""
    try:
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def executable(path: Path, text: str) -> str:
    """Make an executable file; return its path."""
    path.write_text(text)
    path.chmod(0o755)
    return str(path)
