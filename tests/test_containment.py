"""That no process of a stage is alive once the stage has ended, whatever it does, however it ends.

While a test runs, this process is a child subreaper: whatever gets away from a run comes to it,
even if it has no name, session or environment left by which it could be told. The animals are in
zoo.py.
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest

from fsm_orchestrator import process_table
from tests import zoo
from tests.schema_checks import Written
from tests.support import (
    CHECKPOINT,
    COMMAND,
    EVENTS,
    ORCHESTRATOR_PID,
    PASSING,
    checkpoint_of,
    environment,
    events_of,
    read_json,
    report_of,
    shell,
    statuses,
)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs a child subreaper and /proc")

WATCHDOG_SECONDS: Final = 30.0
GONE_SECONDS: Final = 1.0
"""How long after the orchestrator was killed its stage may live on."""
HASTES_MS: Final = ("300", "1500", "6000")
"""Time limits, from one that is enough to one that is enough on a machine that is very busy."""
HOUR_MS: Final = "3600000"
PYTHON: Final = (sys.executable, "-I", "-S")
ZOO: Final = (*PYTHON, zoo.__file__)
MEGABYTE: Final = 1024**2
TOKEN: Final = "ORCHESTRATOR_ATTEMPT_TOKEN"  # noqa: S105 - a variable's name
POSTMORTEM: Final = "logs/manager.1.postmortem.json"
LOGS: Final = ("logs/manager.1.stdout.log", "logs/manager.1.stderr.log")

JOBS: Final = """
zoo=$1; shift
"$0" -I -S "$zoo" member &
"$0" -I -S "$zoo" member | "$0" -I -S "$zoo" member &
nohup "$0" -I -S "$zoo" member >/dev/null 2>&1 &
(sleep 600; sleep 600) &
exec "$0" -I -S "$zoo" lead 4 "$@"
"""
WITHOUT_KEEPER: Final = """
import fsm_orchestrator.process, fsm_orchestrator.cli
fsm_orchestrator.process.start_keeper = lambda: "none is to be had today"
fsm_orchestrator.cli.main()
"""


class Witness:
    """Sees whatever gets away from the runs that a test starts, for it comes to this process."""

    def __init__(self) -> None:
        self._before = set(zoo.children().get(os.getpid(), ()))
        self._started: list[subprocess.Popen[str]] = []

    def start(self, *command: str, **settings: Any) -> subprocess.Popen[str]:
        """Start a process that is meant to be our child."""
        process = subprocess.Popen(command, text=True, **settings)
        self._started.append(process)
        return process

    def adopted(self) -> list[int]:
        """The processes that came to us, zombies included."""
        ours = self._before | {process.pid for process in self._started}
        return [pid for pid in zoo.children().get(os.getpid(), ()) if pid not in ours]

    def escaped(self) -> list[int]:
        """What is alive of that, and below it."""
        adopted = self.adopted()
        alive = [pid for pid in adopted if not zoo.is_zombie(pid)]
        return [*alive, *zoo.below(*adopted)]

    def wait_until_gone(self, deadline: float) -> None:
        """Wait until nothing is alive that came to us; fails at the deadline."""
        while escaped := self.escaped():
            assert time.monotonic() < deadline, f"still alive: {described(escaped)}"
            time.sleep(0.005)
        for pid in self.adopted():
            os.waitpid(pid, 0)

    def close(self) -> None:
        """End whatever a failing test has left, and reap it."""
        for process in self._started:
            with process:
                process.kill()
        while adopted := self.adopted():
            for pid in self.escaped():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            for pid in adopted:
                os.waitpid(pid, 0)


@pytest.fixture
def witness() -> Iterator[Witness]:
    """This process as a subreaper, with all that came to it gone after the test."""
    witness = Witness()
    zoo.prctl(zoo.PR_SET_CHILD_SUBREAPER, 1)
    try:
        yield witness
    finally:
        witness.close()
        zoo.prctl(zoo.PR_SET_CHILD_SUBREAPER, 0)


def described(pids: list[int]) -> list[str]:
    """Processes for a message."""
    return [f"{pid} {proc(pid, 'cmdline')!r} {zoo.stat_of(pid)}" for pid in pids]


def proc(pid: int, name: str) -> bytes:
    """A file of /proc; empty when the process is gone, or not ours."""
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""


def bearers(token: str) -> list[int]:
    """The processes with the token of an attempt in their environment."""
    pids = (int(entry) for entry in os.listdir("/proc") if entry.isdigit())
    return [pid for pid in pids if token.encode() in proc(pid, "environ")]


@dataclass(frozen=True, slots=True)
class Life:
    """What a member has told of itself: first and last sign of life, in nanoseconds."""

    attempt: int
    pid: int
    start: int
    first: int
    last: int
