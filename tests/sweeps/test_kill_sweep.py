"""SIGKILL before any system call of the real program: nothing survives, and a resume repairs it.

strace(1) kills the orchestrator alone, when it enters the n-th call of a kind. Without strace, or
if it may not trace, the moments of the kills are drawn at random.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import subprocess
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil
import pytest

from fsm_orchestrator import RunConfig, load_report, run
from fsm_orchestrator.errors import InternalError, OrchestratorError
from fsm_orchestrator.record.earlier import KEPT_MAX
from fsm_orchestrator.record.report import Report
from tests.support.command import CHECKPOINT, COMMAND, environment
from tests.support.patience import PATIENCE_SECONDS, Deadline
from tests.support.soak import SOAK
from tests.sweeps.desk import EARLIER, Desk, Scene
from tests.sweeps.mending import at, mend
from tests.sweeps.scenarios import Scenario, failing, side_by_side, whole
from tests.sweeps.truths import assert_truth

GONE_SECONDS_MAX: Final = 1.0
RUN_SECONDS_MAX: Final = PATIENCE_SECONDS
MARK: Final = "KILL_SWEEP_MARK"
SHARES: Final = 8 if SOAK else 1
"""The number of tests that share the points of a scenario."""
SAMPLE: Final = 5
"""The number of points that are taken, if not all are."""
MOMENTS: Final = 200
KINDS: Final = (
    # Calls that change files, that start processes, and that ask the keeper to start and end one.
    *("write", "pwrite64", "ftruncate", "fsync", "fdatasync", "rename", "renameat", "renameat2"),
    *("openat", "mkdir", "unlink", "unlinkat", "flock"),
    *("clone", "clone3", "fork", "vfork", "sendmsg"),  # the keeper executes programs
)


# The runs


def lingering(desk: Desk) -> str:
    """Return a stage's script that does not end on its own until its pid is recorded.

    What it started by then is in a session of its own, where the system has sessions.
    """
    away = "setsid " if shutil.which("setsid") else ""
    recorded = f"grep -q '\"pid\": *[0-9]' {desk.out / CHECKPOINT}"
    return f"{away}sleep 60 & until {recorded}; do sleep 0.01; done; kill $!; wait; "


def lingering_run(desk: Desk, run_id: str | None = None) -> RunConfig:
    """Return a run of two lingering stages that ends done."""
    lingers = lingering(desk)
    return whole(desk, manager=lingers + "true", executor=lingers + "true", run_id=run_id)


def failing_once(desk: Desk) -> RunConfig:
    """Return a run whose executor fails at its first attempt and lingers at the next."""
    return failing_often(desk, 1)


def failing_often(desk: Desk, times: int) -> RunConfig:
    """Return a run whose executor fails at its first attempts and lingers at the next."""
    return whole(desk, executor=f"{failing(times)}; {lingering(desk)}true")


def lingering_beside(desk: Desk) -> RunConfig:
    """Return a run of two lingering stages side by side that ends done."""
    lingers = lingering(desk)
    return side_by_side(desk, manager=lingers + "true", executor=lingers + "true")


def failing_beside(desk: Desk) -> RunConfig:
    """Return a run of two parallel stages, one of which fails once the other is complete."""
    return side_by_side(desk, executor=f"{failing(1)}; {lingering(desk)}true")


SCENARIOS: Final = {
    "done": Scenario(lingering_run),
    "side by side": Scenario(lingering_beside),
    "resumed side by side": Scenario(failing_beside, before=failing_beside, is_resume=True),
    "resumed": Scenario(failing_once, before=failing_once, is_resume=True),
    "archiving": Scenario(lingering_run, before=lambda desk: lingering_run(desk, EARLIER)),
    "moving old ones": Scenario(
        lambda desk: failing_often(desk, KEPT_MAX),
        before=lambda desk: failing_often(desk, KEPT_MAX),
        is_resume=True,
        resumes=KEPT_MAX - 1,
    ),
}


def command_line(config: RunConfig) -> list[str]:
    """Return what an operator types for that configuration."""
    words = [str(config.output_directory)]
    words += ["--resume"] if config.resume else []
    words += ["--lifecycle", config.lifecycle] if config.lifecycle else []
    words += ["--run-id", config.run_id] if config.run_id else []
    for gate, status in config.gates.items():
        words += [f"--{gate}-status", status]
    for stage, given in config.stages.items():
        words += [f"--{stage}-bin", str(given.bin)]
        for argument in given.args or ():
            words += [f"--{stage}-arg", argument]
        for key, value in (given.env or {}).items():
            words += [f"--{stage}-env", f"{key}={value}"]
        for path in given.expected_artifacts or ():
            words += [f"--{stage}-expected-artifact", path]
    return words


def undisturbed(config: RunConfig) -> Report | OrchestratorError:
    """Do what the command does, without its start-up: only the killed run must be the command."""
    try:
        return run(config)
    except InternalError:
        raise
    except OrchestratorError as error:
        return error


# The kills


@dataclass(frozen=True, slots=True)
class Point:
    """The point where a run is killed: entry to the n-th call of a kind, or a delay."""

    kind: str
    number: int = 0
    seconds: float = 0.0

    @property
    def tracer(self) -> tuple[str, ...]:
        """The tracer that kills it; empty if the clock does."""
        if not self.number:
            return ()
        inject = f"inject={self.kind}:signal=SIGKILL:when={self.number}"
        return ("strace", "-o", os.devnull, "-e", f"trace={self.kind}", "-e", inject)


def can_trace() -> bool:
    """Return whether strace exists and may trace."""
    if shutil.which("strace") is None:
        return False
    probe = ["strace", "-o", os.devnull, "/bin/sh", "-c", "exit 0"]
    return subprocess.run(probe, capture_output=True, check=False).returncode == 0


def run_under(
    tracer: Sequence[str], desk: Desk, config: RunConfig, *, mark: str = "", seconds: float = 0.0
) -> int:
    """Run the command under a tracer, or kill it after some seconds; return how it ended."""
    with subprocess.Popen(
        [*tracer, *COMMAND, *command_line(config)],
        env=environment(
            XDG_STATE_HOME=str(desk.state), PYTHONDONTWRITEBYTECODE="1", **{MARK: mark}
        ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            return process.wait(seconds or RUN_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            assert seconds, "it does not end"
            return process.wait()


def points_of(scenario: Scenario, desk: Desk, trace: Path) -> tuple[list[Point], Report]:
    """Return every point of an undisturbed run, and its report."""
    config = scenario.step(desk)
    if not can_trace():
        began = time.monotonic()
        run_under((), desk, config)
        length = time.monotonic() - began
        lots = random.Random(0)  # noqa: S311 - every share must draw the same
        return [
            Point("clock", seconds=lots.uniform(0, length)) for _ in range(MOMENTS)
        ], load_report(desk.out)
    tracer = ("strace", "-o", str(trace), "-s", "4096", "-e", f"trace=?{',?'.join(KINDS)}")
    run_under(tracer, desk, config)
    return list(_points_in(trace.read_text(), desk)), load_report(desk.out)


def _points_in(trace: str, desk: Desk) -> Iterator[Point]:
    """Yield the calls in a trace; of the opened files, only those of the run."""
    numbers = Counter[str]()
    for kind, arguments in re.findall(r"^(\w+)\((.*)", trace, re.MULTILINE):
        numbers[kind] += 1
        if kind != "openat" or f'"{desk.disk}' in arguments:
            yield Point(kind, numbers[kind])


def alive(mark: str) -> list[psutil.Process]:
    """Return every live process that has the mark in its environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == mark:
                found.append(process)
        except psutil.Error:
            continue
    return found


def assert_gone(mark: str) -> None:
    """Assert that soon nothing of the killed run is alive; end survivors here."""
    deadline = Deadline(GONE_SECONDS_MAX)
    while left := alive(mark):
        if deadline.is_over:
            for process in left:
                process.kill()
            pytest.fail(f"alive still: {left}")
        time.sleep(0.01)


@pytest.fixture(name="desk")
def own_desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """Return a desk with its own private state."""
    desk = Desk(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(desk.state))
    return desk


def begun(scenario: Scenario, desk: Desk) -> Scene:
    """Return the scene that the scenario's invocation begins with."""
    desk.clear()
    scenario.run_before(desk, undisturbed)
    return desk.scene()


@pytest.mark.one_in(2)
@pytest.mark.timeout(3600 if SOAK else 900)
@pytest.mark.parametrize("share", range(SHARES))
@pytest.mark.parametrize("name", SCENARIOS)
def test_kill_anywhere_leaves_nothing_alive_and_is_mended(
    name: str, share: int, desk: Desk, tmp_path: Path
) -> None:
    """A run killed anywhere is gone in a second, its files are true, its resume ends as usual.

    The points are those of an undisturbed run; all of them, or some drawn at random.
    """
    scenario = SCENARIOS[name]
    before = begun(scenario, desk)
    points, expected = points_of(scenario, desk, tmp_path / "trace")
    mine = points[share::SHARES]
    if not SOAK:
        mine = random.sample(mine, min(SAMPLE, len(mine)))  # pytest-randomly prints the seed
    missed = 0
    for point in mine:
        mark = uuid.uuid4().hex
        desk.put(before)
        code = run_under(point.tracer, desk, scenario.step(desk), mark=mark, seconds=point.seconds)
        with at(f"killed at {point}: {code}"):
            missed += code != -signal.SIGKILL
            assert_gone(mark)
            assert_truth(scenario, desk, before)
            mend(scenario, desk, before, expected, undisturbed)
    print(f"{len(mine)} of {len(points)} points, {missed} of them after the end")  # noqa: T201
    assert missed <= len(mine) / 2  # by the clock some kills come too late
