"""Nothing outlives a killed orchestrator; a resume ends what a killed keeper left too."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import pytest

from fsm_orchestrator.processes import table as process_table
from tests.processes import living
from tests.processes.containment_cases import (
    GENTLY,
    GONE_SECONDS,
    TOGETHER,
    WAYS,
    Run,
    Witness,
    assert_black_box,
    described,
    end_in,
    led,
    options_of,
    proc,
)
from tests.support.command import (
    CHECKPOINT,
    accepting,
    checkpoint_of,
    environment,
    events_of,
    report_of,
    statuses,
)
from tests.support.patience import Deadline
from tests.support.soak import SOAK

pytestmark = [
    pytest.mark.one_in(2),
    pytest.mark.skipif(sys.platform != "linux", reason="needs a child subreaper and /proc"),
]
WITHOUT_KEEPER: Final = """
import fsm_orchestrator.processes.runner, fsm_orchestrator.cli.main
fsm_orchestrator.processes.runner.start_keeper = lambda: "none is to be had today"
fsm_orchestrator.cli.main.main()
"""
STARTER: Final = """
import json, os, sys
import fsm_orchestrator.api, fsm_orchestrator.cli.main, fsm_orchestrator.cli.commands.run
for line in sys.stdin:
    directory, *arguments = json.loads(line)
    child = os.fork()
    if child == 0:
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in range(3):
            os.dup2(null, descriptor)
        os.chdir(directory)
        os.environ["XDG_STATE_HOME"] = os.path.join(directory, "state")
        sys.argv = ["fsm-orchestrator", *arguments]
        fsm_orchestrator.cli.main.main()
    print(child, flush=True)
    print(os.waitpid(child, 0)[1], flush=True)
"""


# An orchestrator that is killed at any moment

FAMILY: Final = "deaf,daemon,nameless"
KILLS: Final = 200 if SOAK else 24
"""The number of moments, drawn again each time, at which each part kills an orchestrator."""
LANES, PARTS = 4, 2
MOMENT_SECONDS_MAX: Final = 0.6


class Starter:
    """Starts orchestrators one after another, quickly: each is forked from a loaded process."""

    def __init__(self, witness: Witness) -> None:
        self._process = witness.start(
            *(sys.executable, "-c", STARTER),
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def run_for(self, run: Run, seconds: float, *arguments: str) -> float:
        """Start the command in a run's directory, SIGKILL it later, and return the time of that."""
        request = json.dumps([str(run.directory), *arguments])
        print(request, file=self._process.stdin, flush=True)
        pid = self._say()
        time.sleep(seconds)
        os.kill(pid, signal.SIGKILL)
        killed_at = time.monotonic()
        assert self._say() == signal.SIGKILL, "the run has ended by itself"
        return killed_at

    def _say(self) -> int:
        assert self._process.stdout is not None
        return int(self._process.stdout.readline())


def belonging(directory: Path) -> list[int]:
    """Return the live processes of a run, found by their directory or environment."""
    mark = os.fsencode(directory / "state")
    found = []
    for pid in living.below(os.getpid()):
        with contextlib.suppress(OSError):
            if Path(f"/proc/{pid}/cwd").readlink() == directory or mark in proc(pid, "environ"):
                found.append(pid)
    return found


def kill_after(seconds: float, run: Run, starter: Starter | None, *, is_resumed: bool) -> None:
    """Kill an orchestrator so long after its start; without a starter, the command itself."""
    if starter is None:
        run.start(led(FAMILY, "stay"))
        time.sleep(seconds)
        run.process.kill()
        killed_at = time.monotonic()
        run.end()
    else:
        arguments = ("run", "out", *options_of(led(FAMILY, "stay")))
        killed_at = starter.run_for(run, seconds, *arguments)
    if is_resumed and (run.output / CHECKPOINT).exists():
        run.resume()
        run.assert_attempts_apart()
    deadline = Deadline(GONE_SECONDS, killed_at)
    while alive := belonging(run.directory):
        assert is_resumed or not deadline.is_over, described(alive)
        time.sleep(0.05)


@pytest.mark.parametrize("part", range(PARTS))
def test_nothing_outlives_an_orchestrator_killed_at_any_moment(
    tmp_path: Path, witness: Witness, part: int
) -> None:
    """Nothing is alive a second after SIGKILL, and a resume at once meets nothing of before."""
    seed = f"{random.getrandbits(32)}.{part}"
    chance = random.Random(seed)  # noqa: S311 - moments, no secrets
    # One in each part of the time, so that a few of them leave out no part.
    moments = [(one + chance.random()) / KILLS * MOMENT_SECONDS_MAX for one in range(KILLS)]
    chance.shuffle(moments)

    def kill_some(lane: int) -> None:
        starter = Starter(witness)
        for number in range(lane, KILLS, LANES):
            run = Run(tmp_path / f"{number:02}", witness)
            used = None if number % 10 == 0 else starter
            try:
                kill_after(moments[number], run, used, is_resumed=number % 10 == 1)
            except Exception as error:
                told = f"seed {seed}, kill {number}, {moments[number]:.3f} s after its start"
                raise AssertionError(f"{told}: {error}") from error

    with ThreadPoolExecutor(LANES) as lanes:
        for lane in [lanes.submit(kill_some, number) for number in range(LANES)]:
            lane.result()
    witness.wait_until_gone()


# A keeper that is killed too, or stopped


@pytest.mark.parametrize(
    "animals",
    [
        "deaf,daemon,closed,holder,stopped,nested",
        "stripped,own_group",
        "tree,respawner",
        "headless",
    ],
)
def test_resume_ends_what_is_left_when_the_keeper_was_killed_too(
    tmp_path: Path, witness: Witness, animals: str
) -> None:
    """Leftovers are found by token and session, and are gone before anything is started."""
    run = Run(tmp_path, witness)
    run.start(led(animals, "stay"), *GENTLY)
    run.wait_for("ready")
    run.kill_with_keeper()
    left = set(map(int, run.words("ready")))
    assert left <= set(witness.escaped())
    run.resume()
    assert witness.escaped() == []
    run.assert_attempts_apart()
    run.assert_silent(time.monotonic_ns())
    told = next(one for one in events_of(run.output) if one["event"] == "attempt.interrupted")
    assert left <= set(told["ended_pids"])


def test_resume_takes_the_dead_for_dead_where_nobody_reaps_them(
    tmp_path: Path, witness: Witness
) -> None:
    """In a container without an init process a zombie stays, and a resume does not wait for it."""
    run = Run(tmp_path, witness)
    run.start(led("deaf,daemon", "stay"), *GENTLY)
    run.wait_for("ready")
    run.kill_with_keeper()
    run.resume(is_reaped=False)
    assert witness.escaped() == []
    run.assert_attempts_apart()


def test_resume_lets_a_stopped_keeper_do_its_work(tmp_path: Path, witness: Witness) -> None:
    """A stopped keeper continues, and ends what nothing else could find."""
    run = Run(tmp_path, witness)
    run.start(led(TOGETHER, "stay"), *GENTLY)
    run.wait_for("ready")
    keeper = run.kill_with_keeper(leave_keeper=True)
    assert len(living.below(keeper)) >= len(TOGETHER.split(","))
    run.resume()
    assert witness.escaped() == []
    run.assert_attempts_apart()
    run.assert_silent(time.monotonic_ns())


@pytest.mark.parametrize("whose", ["pid", "keeper_pid"])
def test_stranger_with_a_recorded_pid_is_left_alone(
    tmp_path: Path, witness: Witness, whose: str
) -> None:
    """A process that now has a recorded pid is recognized by its identity and lives on."""
    run = Run(tmp_path, witness)
    stranger = witness.start("/bin/sh", "-c", "sleep 600; exit", start_new_session=True)
    run.start(led("own_group", "stay"))
    run.wait_for("ready")
    identity = process_table.identity(checkpoint_of(run.output)["open_attempts"][0][whose])
    run.process.kill()
    run.end()
    witness.wait_until_gone()
    checkpoint = checkpoint_of(run.output)
    assert identity in checkpoint["open_attempts"][0].values()
    checkpoint["open_attempts"][0][whose] = stranger.pid
    (run.output / CHECKPOINT).write_text(json.dumps(checkpoint))
    report = run.resume(*accepting(run.output))
    assert statuses(report)[0] == ("manager", "success")
    assert stranger.poll() is None


# Without a keeper


@pytest.mark.one_in(2)
@pytest.mark.parametrize("way", ["exits", "timeout", "SIGTERM"])
@pytest.mark.parametrize("animals", ["deaf,stripped,own_group", "jobs"])
def test_without_a_keeper_the_session_is_ended(
    tmp_path: Path, witness: Witness, animals: str, way: str
) -> None:
    """Without a keeper a run works, ends the session, and reports how far that reaches."""
    expected = WAYS[way]
    run = end_in(
        expected, animals, tmp_path, witness, command=(sys.executable, "-c", WITHOUT_KEEPER)
    )
    assert witness.escaped() == []
    report = report_of(run.output)
    execution = report["stage_executions"][0]
    assert report["containment"] == "process_group"
    assert (execution["status"], execution["ending"]) == (expected.status, expected.ending)
    assert report["warnings"][0].endswith("cannot be found and ended here: none is to be had today")
    leaked = {str(one["pid"]) for one in execution["leaked_processes"]}
    assert leaked == (set(run.words("left")) if way == "exits" else set())
    assert len(report["warnings"]) == (2 if way == "exits" else 1)
    assert_black_box(run, execution, is_still=True)
