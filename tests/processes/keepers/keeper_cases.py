"""Start runs with and without a pool of keepers, and watch the keepers.

What changes the process permanently, forks it or kills it is done by a separate program, which
begins with HOST.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import psutil

from fsm_orchestrator import RunConfig, StageGiven
from fsm_orchestrator.processes.interrupts import ENDING_SIGNALS
from fsm_orchestrator.vocabulary import Gate
from tests.support.command import environment
from tests.support.patience import PATIENCE_SECONDS, Deadline

WATCHDOG_SECONDS: Final = PATIENCE_SECONDS
STUCK_SECONDS: Final = 100.0
"""The seconds of a wait for a keeper that does not end, in HOST too: such a wait is noticed."""
PROMPT_SECONDS: Final = STUCK_SECONDS / 2
"""Much more than anything takes that does not wait for a keeper, even on a busy machine."""
PASSED: Final = {Gate.POLICY: "allow", Gate.CI: "success", Gate.REVIEW: "approved"}
TELLS_KEEPER: Final = "echo $PPID"
WAITS: Final = 'echo $$ >"$0.ready"; while ! test -e "$0.go"; do sleep 0.01; done; echo $PPID'
"""A stage that writes its pid to a file, and continues when it is released. $0 is the prefix of the
files."""

HOST: Final = """
import contextlib, json, os, resource, signal, subprocess, sys, threading, time
from pathlib import Path
from fsm_orchestrator import KeeperPool, RunConfig, StageGiven, run
from fsm_orchestrator.processes import keeper_messages
keeper_messages.FINISH_SECONDS_MAX = 100

def keeper_after(out, keepers, manager="exit 0", **more):
    shell = lambda script: StageGiven(bin="/bin/sh", args=("-c", script))
    gates = {"policy": "allow", "ci": "success", "review": "approved"}
    stages = {"manager": shell(manager), "executor": shell("echo $PPID")}
    config = RunConfig(output_directory=out, gates=gates, stages=stages)
    report = run(config, keepers=keepers, **more)
    assert report.exit_code == 0, report
    return int(Path(out, "logs/executor.1.stdout.log").read_text())

def tell(**facts):
    print(json.dumps(facts), flush=True)
"""


def shell(script: str, *args: str | Path) -> StageGiven:
    """Return a stage that runs a shell script."""
    return StageGiven(bin="/bin/sh", args=("-c", script, *map(str, args)))


def config(
    out: Path,
    manager: StageGiven | str = "exit 0",
    executor: StageGiven | str = TELLS_KEEPER,
    **given: Any,
) -> RunConfig:
    """Return a run whose gates pass and whose last stage prints which keeper it has."""
    stages = {
        name: shell(one) if isinstance(one, str) else one
        for name, one in (("manager", manager), ("executor", executor))
    }
    return RunConfig(output_directory=out, gates=PASSED, stages=stages, **given)


def waiting(place: Path) -> StageGiven:
    """Return a stage that waits until `let_go(place)`."""
    return shell(WAITS, place)


def let_go(place: Path) -> None:
    """Release a waiting stage."""
    place.with_name(f"{place.name}.go").touch()


def pid_in(place: Path) -> int:
    """Return the pid of a waiting stage, once it waits."""
    ready = place.with_name(f"{place.name}.ready")
    until(lambda: ready.exists() and ready.read_text().endswith("\n"))
    return int(ready.read_text())


def members_in(place: Path) -> set[int]:
    """Return the pids of what a daemonizing stage has started."""
    return set(map(int, place.with_name(f"{place.name}.members").read_text().split()))


def keeper_in(out: Path, stage: str = "executor") -> int:
    """Return the keeper that the last stage of a run had."""
    return int((out / f"logs/{stage}.1.stdout.log").read_text())


def until(holds: Callable[[], bool], seconds: float = WATCHDOG_SECONDS) -> None:
    """Wait until it holds; fail when that takes longer, scaled to the machine's speed."""
    deadline = Deadline(seconds)
    while not holds():
        assert not deadline.is_over, "it does not come true"
        time.sleep(0.005)


def is_alive(pid: int) -> bool:
    """Return True if the process exists and is no zombie."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def end_each(pids: list[int]) -> None:
    """End what a failing test has left; none is a child of this process or a stranger so soon."""
    for pid in filter(is_alive, pids):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def descendants() -> set[int]:
    """Return the processes below this one, without the test servers and what these ran last."""
    found = set()
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.NoSuchProcess):
            if "tests.support.fork_server" not in child.cmdline():
                found |= {child.pid, *(one.pid for one in child.children(recursive=True))}
    return found


def state() -> tuple[object, ...]:
    """Return what a run must leave unchanged: descriptors, threads, children and the like."""
    return (
        len(os.listdir("/proc/self/fd")),
        threading.active_count(),
        descendants(),
        [signal.getsignal(signum) for signum in (*ENDING_SIGNALS, signal.SIGCHLD)],
        os.getcwd(),
        dict(os.environ),
    )


def host(code: str, cwd: Path) -> subprocess.Popen[str]:
    """Start a program that makes runs; use it in a `with` statement."""
    return subprocess.Popen(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", HOST + code],
        cwd=cwd,
        env=environment(XDG_STATE_HOME=str(cwd / "state")),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def told_by(code: str, cwd: Path) -> list[dict[str, Any]]:
    """Return what a program that makes runs has printed, once it has ended."""
    with host(code, cwd) as program:
        try:
            stdout, stderr = program.communicate(timeout=WATCHDOG_SECONDS)
        finally:
            program.kill()
    assert (program.returncode, stderr) == (0, "")
    return [json.loads(line) for line in stdout.splitlines()]
