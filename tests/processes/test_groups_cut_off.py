"""Stages side by side whose orchestrator or keeper is killed, stopped, or asked to end twice."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import psutil
import pytest

from tests.processes.living import stands_still
from tests.support.command import (
    PASSING,
    checkpoint_of,
    events_of,
    orchestrate,
    report_of,
    start,
    statuses,
)
from tests.support.patience import PATIENCE_SECONDS, wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks at processes in /proc")
EXAMPLE: Final = Path(__file__).parents[2] / "states" / "checked_run.toml"
CHECKS: Final = ("lint", "unit_tests", "scan")
AT_WORK: Final = "echo $$ >$0.pid; while :; do sleep 0.05; done"
LONG_GRACE: Final = "--kill-grace-ms=60000"
DEAF: Final = f"trap '' TERM; {AT_WORK}"


def options(**words: str) -> list[str]:
    """Return the options of a run of the example; the executor does nothing."""
    said = {"executor": "exit 0", **words}
    found = []
    for stage, script in said.items():
        name = stage.replace("_", "-")
        found += [f"--{name}-bin", "/bin/sh"]
        found += [f"--{name}-arg={one}" for one in ("-c", script, stage)]
    return found


class Suspect:
    """A run whose checks are at work."""

    def __init__(self, directory: Path, script: str, *more: str, **words: str) -> None:
        said = dict.fromkeys(CHECKS, script) | words
        lifecycle = ("--lifecycle", str(EXAMPLE))
        self.directory = directory
        self.process = start("out", *lifecycle, *PASSING, *options(**said), *more, cwd=directory)
        self.waiting = [one for one in CHECKS if said[one] == script]
        paths = [directory / f"{one}.pid" for one in self.waiting]
        wait_until(lambda: all(one.exists() and one.read_text().strip() for one in paths))
        self.leaders = [psutil.Process(int(one.read_text())) for one in paths]

    def open_attempts(self) -> list[dict[str, Any]]:
        """Return the attempts in flight in the checkpoint, once it knows their processes."""
        known = [process.pid for process in self.leaders]
        wait_until(
            lambda: (
                known
                == [
                    one["pid"]
                    for one in sorted(checkpoint_of(self.out)["open_attempts"], key=by_stage)
                ]
            )
        )
        found: list[dict[str, Any]] = checkpoint_of(self.out)["open_attempts"]
        return found

    @property
    def out(self) -> Path:
        """The output directory."""
        return self.directory / "out"

    def end(self) -> int:
        """Wait for the orchestrator; return its exit code."""
        self.process.communicate(timeout=PATIENCE_SECONDS)
        return self.process.returncode

    def assert_nothing_is_left(self) -> None:
        """Assert that no stage is alive."""
        wait_until(lambda: not any(one.is_running() for one in self.leaders))


def by_stage(attempt: dict[str, Any]) -> int:
    """Return the place of an attempt's stage."""
    return CHECKS.index(attempt["stage"])


@contextlib.contextmanager
def suspect(directory: Path, script: str, *more: str, **words: str) -> Iterator[Suspect]:
    """Yield a run that is ended, whatever the result of the test."""
    found = Suspect(directory, script, *more, **words)
    try:
        yield found
    finally:
        with contextlib.suppress(OSError):
            os.kill(found.process.pid, signal.SIGCONT)
        found.process.kill()
        found.process.communicate()


def assert_resume_runs(directory: Path, stages: set[str]) -> None:
    """Assert that a resume runs these stages, and that the run is done."""
    fixed = dict.fromkeys(CHECKS, "exit 0")
    given = options(**fixed)[5:]
    resumed = orchestrate("out", "--resume", "--on-changed-stage=keep", *given, cwd=directory)
    assert resumed.code == 0, resumed.stderr
    ran = {stage for stage, status in statuses(report_of(directory / "out")) if status == "success"}
    assert ran == stages


def test_killed_orchestrator_leaves_nothing_and_only_the_incomplete_run_again(
    tmp_path: Path,
) -> None:
    """With two stages at work and one complete, the record has both in flight, and the success."""
    with suspect(tmp_path, AT_WORK, scan="exit 0") as run:
        attempts = run.open_attempts()
        assert {one["stage"] for one in attempts} == {"lint", "unit_tests"}
        assert len({one["token"] for one in attempts}) == len(
            {one["keeper_pid"] for one in attempts}
        )
        wait_until(
            lambda: "scan" in {one["stage"] for one in checkpoint_of(run.out)["completions"]}
        )
        run.process.kill()
        run.end()
        run.assert_nothing_is_left()
    assert_resume_runs(tmp_path, {"lint", "unit_tests"})
    interrupted = [
        one for one in events_of(tmp_path / "out") if one["event"] == "attempt.interrupted"
    ]
    assert {one["stage"] for one in interrupted} == {"lint", "unit_tests"}
    earlier = report_of(tmp_path / "out")["earlier_invocations"][0]["stage_executions"]
    assert [(one["stage"], one["status"]) for one in earlier if one["stage"] != "executor"] == [
        ("scan", "success"),
        ("lint", "interrupted"),
        ("unit_tests", "interrupted"),
    ]


def test_what_killed_keepers_have_left_is_ended_by_the_resume(tmp_path: Path) -> None:
    """A resume first ends each stage when orchestrator and keepers were killed at once."""
    with suspect(tmp_path, DEAF, "--kill-grace-ms=50") as run:
        attempts = run.open_attempts()
        os.kill(run.process.pid, signal.SIGSTOP)
        for one in attempts:
            os.kill(one["keeper_pid"], signal.SIGKILL)
        run.process.kill()
        run.end()
        assert all(one.is_running() for one in run.leaders)
        assert_resume_runs(tmp_path, set(CHECKS))
        run.assert_nothing_is_left()
    interrupted = [
        one for one in events_of(tmp_path / "out") if one["event"] == "attempt.interrupted"
    ]
    ended = {one["stage"]: one["ended_pids"] for one in interrupted}
    for stage, leader in zip(CHECKS, run.leaders, strict=True):
        assert leader.pid in ended[stage]


def test_keeper_that_is_killed_costs_its_own_stage_and_ends_the_others(tmp_path: Path) -> None:
    """The end of that keeper's stage is unknown; the others end gently, and nothing is left."""
    with suspect(tmp_path, AT_WORK) as run:
        lost = next(one for one in run.open_attempts() if one["stage"] == "unit_tests")
        os.kill(lost["keeper_pid"], signal.SIGKILL)
        assert run.end() == 1
        run.assert_nothing_is_left()
    ends = {one["stage"]: one["ending"] for one in report_of(run.out)["stage_executions"]}
    assert ends == {
        "executor": "exited",
        "unit_tests": "lost",
        "lint": "sibling_failed",
        "scan": "sibling_failed",
    }
    assert report_of(run.out)["containment"] == "process_group"
    assert_resume_runs(tmp_path, set(CHECKS))


def test_request_to_end_reaches_all_and_a_second_kills_at_once(tmp_path: Path) -> None:
    """All stages ignore the first request during a long grace; the second one ends all of them."""
    with suspect(tmp_path, f"trap 'touch $0.asked' TERM; {AT_WORK}", LONG_GRACE) as run:
        run.open_attempts()
        run.process.send_signal(signal.SIGINT)
        wait_until(lambda: all((tmp_path / f"{one}.asked").exists() for one in CHECKS))
        assert all(one.is_running() for one in run.leaders)
        run.process.send_signal(signal.SIGINT)
        assert run.end() == 130
        run.assert_nothing_is_left()
    ends = {one["stage"]: one["ending"] for one in report_of(run.out)["stage_executions"]}
    assert {ends[one] for one in CHECKS} == {"interrupted"}


def test_suspended_run_stops_all(tmp_path: Path) -> None:
    """Ctrl-Z stops each stage with the orchestrator, and each records that it was stopped."""
    words = "echo $$ >$0.pid; until test -e go; do sleep 0.02; done"
    with suspect(tmp_path, words, "--timeout-ms=600000") as run:
        run.open_attempts()
        os.kill(run.process.pid, signal.SIGTSTP)
        every = [run.process.pid, *(one.pid for one in run.leaders)]
        wait_until(lambda: all(map(stands_still, every)))
        (tmp_path / "go").touch()
        os.kill(run.process.pid, signal.SIGCONT)
        assert run.end() == 0
    still = [one for one in report_of(run.out)["warnings"] if "stood still" in one]
    assert [one.split("'")[1] for one in sorted(still)] == sorted(CHECKS)
