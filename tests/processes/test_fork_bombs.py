"""Processes that fork faster than they are killed, or escape a killed keeper, are ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from fsm_orchestrator import RunConfig, StageGiven, run
from fsm_orchestrator.model.limits import Limits
from fsm_orchestrator.processes import freezing, survivors
from fsm_orchestrator.vocabulary import Containment, Gate
from tests.processes import living
from tests.processes.runner_cases import AMPLE, Bench
from tests.support.command import (
    COMMAND,
    PASSING,
    checkpoint_of,
    environment,
    orchestrate,
    report_of,
    shell,
    start,
    statuses,
)
from tests.support.patience import PATIENCE_SECONDS, wait_until

pytestmark = [
    pytest.mark.one_in(2),
    pytest.mark.skipif(sys.platform != "linux", reason="needs a child subreaper and /proc"),
]
BOMB: Final = """
import os, resource, signal, sys, time
NOBODY, SIZE, SECONDS = 65534, 40, 60
setsid, stays, over_at = "setsid" in sys.argv, "stays" in sys.argv, time.monotonic() + SECONDS
signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
if os.fork() == 0:
    if os.getuid() == 0:
        os.setuid(NOBODY)
    pids = [pid for pid in os.listdir("/proc") if pid.isdigit()]
    mine = 0
    for pid in pids:
        try:
            mine += os.stat("/proc/" + pid).st_uid == os.getuid()
        except OSError:
            pass
    resource.setrlimit(resource.RLIMIT_NPROC, (mine + SIZE, mine + SIZE))
    while time.monotonic() < over_at:
        try:
            if os.fork() == 0 and setsid:
                os.setsid()
        except BlockingIOError:
            if "full" not in os.listdir("."):
                os.close(os.open("full", os.O_CREAT))
    os._exit(0)
while "full" not in os.listdir("."):
    time.sleep(0.01)
if stays:
    time.sleep(SECONDS)
"""
SHORT: Final = Limits(timeout_ms=2000, kill_grace_ms=50)
HASTY: Final = ("--timeout-ms", "1500", "--kill-grace-ms", "50")


def bombs_of(directory: Path) -> list[int]:
    """Return the live processes whose directory is that of a bomb."""
    found = []
    for entry in os.listdir("/proc"):
        try:
            if entry.isdigit() and os.readlink(f"/proc/{entry}/cwd") == str(directory):
                found.append(int(entry))
        except OSError:
            continue
    return found


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """Yield a directory for a bomb, of which nothing is left afterwards."""
    place = tmp_path / "bomb"
    place.mkdir()
    place.chmod(0o777)
    yield place
    freezing.freeze([lambda: [(pid, freezing.start_of(pid)) for pid in bombs_of(place)]], 1e18)
    for pid in bombs_of(place):
        os.kill(pid, signal.SIGKILL)


def bomb(place: Path, *how: str) -> tuple[str, ...]:
    """Return options that make the first stage a bomb."""
    words = ("-I", "-S", "-c", BOMB, *how)
    return (
        *("--manager-bin", sys.executable, "--manager-cwd", str(place)),
        *(f"--manager-arg={word}" for word in words),
    )


@pytest.mark.parametrize("how", ["same session", "setsid"])
def test_fork_bomb_does_not_outlive_its_stage(tmp_path: Path, place: Path, how: str) -> None:
    """Forty processes that fork as fast as they can are gone when their stage has ended."""
    ended = orchestrate("out", *PASSING, *bomb(place, how), *HASTY[2:], cwd=tmp_path)
    assert bombs_of(place) == []
    assert ended.code == 0, ended.stderr
    (execution, *_) = report_of(tmp_path / "out")["stage_executions"]
    assert execution["leaked_count"] > 1


def test_fork_bomb_does_not_outlive_its_timeout(tmp_path: Path, place: Path) -> None:
    """A fork bomb is ended completely at the time limit, and the limit is reported."""
    ended = orchestrate("out", *PASSING, *bomb(place, "stays"), *HASTY, cwd=tmp_path)
    assert bombs_of(place) == []
    assert ended.code == 124, ended.stderr


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_fork_bomb_does_not_outlive_the_run(
    tmp_path: Path, place: Path, signum: signal.Signals, code: int
) -> None:
    """Ctrl-C ends all of a fork bomb; the keeper ends it where the orchestrator is killed."""
    process = start("out", *PASSING, *bomb(place, "stays"), *HASTY[2:], cwd=tmp_path)
    wait_until((place / "full").exists)
    process.send_signal(signum)
    process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == code
    wait_until(lambda: bombs_of(place) == [])


def test_fork_bomb_in_its_session_is_ended_without_a_keeper(place: Path, bench: Bench) -> None:
    """All of the session is frozen and ended where only the session is known."""
    if bench.containment is not Containment.PROCESS_GROUP:
        pytest.skip("that is tested by whole runs")
    bench.python(BOMB, cwd=str(place), limits=AMPLE._replace(kill_grace_ms=50))
    assert bombs_of(place) == []


def test_frozen_processes_start_no_others(place: Path, bench: Bench) -> None:
    """A stopped process stands still, and so does one that it was just starting."""
    seen: list[tuple[bool, list[int], list[int]]] = []

    def look() -> None:
        wait_until((place / "full").exists)
        keys = [lambda: [(pid, freezing.start_of(pid)) for pid in bombs_of(place)]]
        _, is_all = freezing.freeze(keys, 1e18)
        wait_until(lambda: {state_of(pid) for pid in bombs_of(place)} <= {"T"})
        first = bombs_of(place)
        time.sleep(0.05)
        seen.append((is_all, first, bombs_of(place)))

    bench.python(BOMB, "stays", cwd=str(place), then=look, limits=SHORT)
    ((is_all, first, later),) = seen
    assert is_all
    assert len(first) > 1
    assert first == later


def state_of(pid: int) -> str:
    """Return the state of a process; T if it stands still or is gone."""
    stat = living.stat_of(pid)
    return "T" if stat is None else stat[0]


# Processes that cannot be ended


def test_what_cannot_be_ended_is_said_with_its_number_and_cause(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The message gives the whole number, names a few processes, and gives the cause of each."""
    owners = {10: PermissionError}

    def kill(pid: int, _signum: int) -> None:
        if pid in owners:
            raise owners[pid]

    monkeypatch.setattr(os, "kill", kill)
    monkeypatch.setattr(survivors, "PROC", Path("/nowhere"))
    text = survivors.survivors_text([10, *range(20, 27)])
    assert text == (
        "8 processes (10: of another user; 20, 21, 22, 23, 24 and 2 more: starting others faster"
        " than they can be ended)"
    )


# An escape from a killed keeper

ESCAPES: Final = """
import os, signal, sys, time
keeper = os.getppid()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execve(sys.executable, [sys.executable, "-I", "-S", "-c", sys.argv[1]], {})
    os._exit(0)
os.wait()
while "free" not in os.listdir("."):
    time.sleep(0.01)
os.kill(keeper, signal.SIGKILL)
time.sleep(600)
"""
FREE: Final = """
import os, time
with open("free.new", "w") as file:
    file.write(str(os.getpid()))
os.rename("free.new", "free")
time.sleep(60)
"""


def escaping(place: Path) -> tuple[str, ...]:
    """Return options by which the first stage kills its keeper, once part of it is nameless."""
    words = ("-I", "-S", "-c", ESCAPES, FREE)
    return (
        *("--manager-bin", sys.executable, "--manager-cwd", str(place)),
        *(f"--manager-arg={word}" for word in words),
    )


def test_process_that_escapes_a_killed_keeper_is_ended(tmp_path: Path, place: Path) -> None:
    """A process without environment, session and parent comes to the orchestrator and is ended."""
    ended = orchestrate("out", *PASSING, *escaping(place), cwd=tmp_path)
    assert ended.code == 1
    assert bombs_of(place) == []
    report = report_of(tmp_path / "out")
    assert statuses(report) == [("manager", "failed")]
    assert report["stage_executions"][0]["ending"] == "lost"
    assert report["containment"] == "process_group"
    assert checkpoint_of(tmp_path / "out")["invocations"][-1]["containment"] == "process_group"
    assert any("keeper of stage 'manager' was killed" in one for one in report["warnings"])


def test_library_does_not_say_that_it_reached_what_it_could_not(
    tmp_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that calls a run adopts no process for it, and the report claims no such reach."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    words = ("-I", "-S", "-c", ESCAPES, FREE)
    manager = StageGiven(bin=sys.executable, args=words, cwd=str(place))
    gates = {Gate.POLICY: "allow", Gate.CI: "success", Gate.REVIEW: "approved"}
    config = RunConfig(output_directory=tmp_path / "out", gates=gates, stages={"manager": manager})
    report = run(config)
    assert (report.exit_code, report.containment) == (1, Containment.PROCESS_GROUP)
    assert any("may not have been found" in one for one in report.warnings)


def test_nothing_is_adopted_beside_children_of_before(tmp_path: Path) -> None:
    """A shell's jobs that became the orchestrator's children by `exec` are left alone."""
    prefix = ("/bin/sh", "-c", 'sleep 600 & echo $! >job; exec "$@"', "sh")
    kills = shell("manager", "kill -9 $PPID; exec sleep 600")
    process = subprocess.Popen(
        [*prefix, *COMMAND, "out", *PASSING, *kills],
        cwd=tmp_path,
        env=environment(XDG_STATE_HOME=str(tmp_path / "state")),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    process.communicate(timeout=PATIENCE_SECONDS)
    job = int((tmp_path / "job").read_text())
    assert process.returncode == 1
    os.kill(job, signal.SIGKILL)  # it exists
