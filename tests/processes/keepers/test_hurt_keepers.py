"""Keepers that are stopped or killed, and keepers that may not be shared."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from fsm_orchestrator import KeeperPool, RunConfig, resume, run
from fsm_orchestrator.errors import InternalError
from fsm_orchestrator.processes import kept as kept_process
from fsm_orchestrator.processes.contained import Collected
from fsm_orchestrator.record.event_file import EventFile
from fsm_orchestrator.vocabulary import Outcome
from tests.processes.keepers.keeper_cases import (
    PROMPT_SECONDS,
    TELLS_KEEPER,
    config,
    is_alive,
    keeper_in,
    let_go,
    pid_in,
    shell,
    state,
    until,
    waiting,
)
from tests.support.command import checkpoint_of
from tests.support.crashing import crashing_at

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs keepers and /proc")


# -- keepers that get hurt ----------------------------------------------------------------------


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGSTOP])
def test_idle_keeper_that_was_hurt_spoils_nothing(tmp_path: Path, signum: signal.Signals) -> None:
    """A killed idle keeper is replaced, and a stopped one continues."""
    before = state()
    status = psutil.STATUS_ZOMBIE if signum == signal.SIGKILL else psutil.STATUS_STOPPED
    with KeeperPool() as keepers:
        run(config(tmp_path / "first"), keepers=keepers)
        keeper = keeper_in(tmp_path / "first")
        os.kill(keeper, signum)
        until(lambda: psutil.Process(keeper).status() == status)
        assert run(config(tmp_path / "second"), keepers=keepers).terminal_state is Outcome.DONE
        assert (keeper_in(tmp_path / "second") == keeper) == (signum == signal.SIGSTOP)
    assert state()[:3] == before[:3]


def test_stopped_idle_keeper_is_let_go_at_once(tmp_path: Path) -> None:
    """Closing the pool does not wait for a stopped keeper, and leaves none."""
    with KeeperPool() as keepers:
        run(config(tmp_path / "out"), keepers=keepers)
        keeper = keeper_in(tmp_path / "out")
        os.kill(keeper, signal.SIGSTOP)
        until(lambda: psutil.Process(keeper).status() == psutil.STATUS_STOPPED)
        began = time.monotonic()
    assert time.monotonic() - began < PROMPT_SECONDS
    assert not psutil.pid_exists(keeper)


def test_keeper_killed_at_work_fails_its_run_only(tmp_path: Path) -> None:
    """The run fails as it does without a pool, its stage is gone, and the next run succeeds."""
    kills = 'echo $$ >"$0.ready"; kill -9 $PPID; exec sleep 600'
    ways = []
    before = state()
    with KeeperPool() as pool:
        run(config(tmp_path / "first"), keepers=pool)
        for name, keepers in (("alone", None), ("pooled", pool)):
            place = tmp_path / name
            report = run(config(tmp_path / f"out {name}", shell(kills, place)), keepers=keepers)
            (one,) = report.stage_executions
            ways.append((report.exit_code, one.status, one.ending, one.error))
            assert not is_alive(pid_in(place))
        assert run(config(tmp_path / "last"), keepers=pool).terminal_state is Outcome.DONE
        assert keeper_in(tmp_path / "last") != keeper_in(tmp_path / "first")
    assert ways[0] == ways[1]
    assert ways[0][0] == 1
    assert state()[:3] == before[:3]


# -- keepers that may not be shared -------------------------------------------------------------


def test_keeper_with_survivors_is_not_shared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A keeper that could not end all its processes is released."""

    def collect(kept: kept_process.KeptProcess) -> Collected:
        return real(kept)._replace(survivors=(4711,))

    with KeeperPool() as keepers:
        run(config(tmp_path / "first"), keepers=keepers)
        keeper = keeper_in(tmp_path / "first")
        real = kept_process.KeptProcess.collect
        with monkeypatch.context() as patch:
            patch.setattr(kept_process.KeptProcess, "collect", collect)
            report = run(config(tmp_path / "spoilt", TELLS_KEEPER), keepers=keepers)
        assert (report.exit_code, keeper_in(tmp_path / "spoilt", "manager")) == (1, keeper)
        assert not psutil.pid_exists(keeper)
        assert run(config(tmp_path / "next"), keepers=keepers).exit_code == 0
        assert keeper_in(tmp_path / "next") != keeper


@pytest.mark.parametrize(
    ("event_name", "stage"),
    [("stage.started", "manager"), ("stage.started", "executor"), ("stage.ended", "executor")],
)
def test_keeper_of_a_run_that_crashed_is_not_shared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, event_name: str, stage: str
) -> None:
    """A keeper is not shared after a crash: the checkpoint may still name it in an open attempt."""

    def is_it(event: Mapping[str, Any]) -> bool:
        return (event["event"], event.get("stage")) == (event_name, stage)

    with KeeperPool() as keepers:
        run(config(tmp_path / "first"), keepers=keepers)
        keeper = keeper_in(tmp_path / "first")
        with monkeypatch.context() as patch:
            patch.setattr(EventFile, "write", crashing_at(is_it))
            with pytest.raises(InternalError):
                run(config(tmp_path / "crashed"), keepers=keepers)
        assert not psutil.pid_exists(keeper)
        assert run(config(tmp_path / "next"), keepers=keepers).exit_code == 0
        assert keeper_in(tmp_path / "next") != keeper


@pytest.mark.parametrize("name", ["orchestrator_checkpoint.json", "orchestrator_run_report.json"])
def test_keeper_of_a_run_without_record_is_not_shared(tmp_path: Path, name: str) -> None:
    """If the end of a stage cannot be recorded, its attempt stays open and names the keeper."""
    out = tmp_path / "spoilt"
    # Once its pid is on record nothing more is written until the stage ends.
    noted = (
        """until grep -q "\\"pid\\":$$," "$0/orchestrator_checkpoint.json"; do sleep 0.01; done"""
    )
    spoils = (
        f'{noted}; touch "$0/tampered"; rm "$0/{name}" && mkdir "$0/{name}" &&'
        f' touch "$0/{name}/full"'
    )
    with KeeperPool() as keepers:
        run(config(tmp_path / "first"), keepers=keepers)
        keeper = keeper_in(tmp_path / "first")
        report = run(config(out, shell(spoils, out)), keepers=keepers)
        assert report.exit_code == 1
        assert report.stage_executions[-1].command == "control.verify"
        assert not psutil.pid_exists(keeper)


def test_resume_after_a_crash_leaves_other_runs_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A resume neither waits for a keeper that now serves another run nor ends its processes."""
    place, out = tmp_path / "place", tmp_path / "crashed"

    def is_it(event: Mapping[str, Any]) -> bool:
        return bool(event["event"] == "stage.ended")

    with KeeperPool() as keepers, ThreadPoolExecutor(1) as threads:
        with monkeypatch.context() as patch:
            patch.setattr(EventFile, "write", crashing_at(is_it))
            with pytest.raises(InternalError):
                run(config(out), keepers=keepers)
        assert checkpoint_of(out)["open_attempts"]
        other = threads.submit(run, config(tmp_path / "other", waiting(place)), keepers=keepers)
        try:
            stage = pid_in(place)
            began = time.monotonic()
            report = resume(RunConfig(output_directory=out), keepers=keepers)
            seconds = time.monotonic() - began
            assert is_alive(stage)
        finally:
            let_go(place)
        assert report.terminal_state is Outcome.DONE
        assert other.result().terminal_state is Outcome.DONE
        assert seconds < PROMPT_SECONDS
