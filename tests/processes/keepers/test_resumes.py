"""Resumes wait for the keeper of a killed host, and for no other."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from fsm_orchestrator import KeeperPool, RunConfig, resume, run
from fsm_orchestrator.processes.interrupts import Interrupts
from fsm_orchestrator.record.report import Report
from fsm_orchestrator.vocabulary import Outcome
from tests.processes.keepers.keeper_cases import (
    PROMPT_SECONDS,
    WAITS,
    config,
    end_each,
    host,
    is_alive,
    keeper_in,
    let_go,
    pid_in,
    state,
    until,
    waiting,
)
from tests.support.command import checkpoint_of

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs keepers and /proc")


# -- resumes ------------------------------------------------------------------------------------


def test_resume_waits_for_the_keeper_of_a_killed_host_only(tmp_path: Path) -> None:
    """A resume waits for its stopped keeper, and leaves idle and busy ones of this host alone."""
    place, busy = tmp_path / "place", tmp_path / "busy"
    code = f"""
stage = StageGiven(bin="/bin/sh", args=("-c", {WAITS!r}, {str(place)!r}))
gates = {{"policy": "allow", "ci": "success", "review": "approved"}}
with KeeperPool() as pool:
    keeper_after("first", pool)
    run(RunConfig(output_directory="out", gates=gates, stages={{"manager": stage}}), keepers=pool)
"""
    with KeeperPool() as keepers, ThreadPoolExecutor(1) as threads:
        keeper = 0
        other = threads.submit(run, config(tmp_path / "other", waiting(busy)), keepers=keepers)
        try:
            ours = [pid_in(busy)]
            run(config(tmp_path / "idle"), keepers=keepers)
            ours.append(keeper_in(tmp_path / "idle"))
            with host(code, tmp_path) as program:
                try:
                    stage = pid_in(place)
                    keeper = checkpoint_of(tmp_path / "out")["open_attempts"][0]["keeper_pid"]
                    os.kill(keeper, signal.SIGSTOP)
                    until(lambda: psutil.Process(keeper).status() == psutil.STATUS_STOPPED)
                finally:
                    program.kill()
            assert is_alive(stage), "stopped, the keeper could not end it"
            let_go(place)  # it ends, or is ended; the next attempt does not wait
            began = time.monotonic()
            report = resume(RunConfig(output_directory=tmp_path / "out"), keepers=keepers)
            assert time.monotonic() - began < PROMPT_SECONDS
            assert (report.terminal_state, is_alive(keeper)) == (Outcome.DONE, False)
            assert all(map(is_alive, ours))
        finally:
            let_go(place)
            let_go(busy)
            end_each([keeper] if keeper else [])
        assert other.result().terminal_state is Outcome.DONE


def test_resume_in_the_same_process_takes_the_idle_keeper(tmp_path: Path) -> None:
    """An interrupted run returns its keeper: its resume uses that keeper and does not wait."""
    place, out = tmp_path / "place", tmp_path / "out"
    with KeeperPool() as keepers, contextlib.closing(Interrupts()) as interrupts:
        run(config(tmp_path / "first"), keepers=keepers)
        with ThreadPoolExecutor(1) as threads:
            given = config(out, waiting(place))
            future: Future[Report] = threads.submit(
                run, given, interrupts=interrupts, keepers=keepers
            )
            pid_in(place)
            interrupts.deliver(signal.SIGINT)
            assert future.result().exit_code == 130
        let_go(place)
        began = time.monotonic()
        assert resume(RunConfig(output_directory=out), keepers=keepers).exit_code == 0
        assert time.monotonic() - began < PROMPT_SECONDS
        assert keeper_in(out) == keeper_in(tmp_path / "first")


def test_handlers_of_the_main_thread_are_put_back(tmp_path: Path) -> None:
    """With a pool too, a SIGINT ends the run, handlers are restored, and the next run is done."""
    handlers = state()[3]

    def interrupt(event: Mapping[str, Any]) -> None:
        if event["event"] == "stage.started" and event["stage"] == "executor":
            assert state()[3] != handlers
            os.kill(os.getpid(), signal.SIGINT)

    with KeeperPool() as keepers:
        given = config(tmp_path / "out", executor="exec sleep 600")
        report = run(given, install_signal_handlers=True, listener=interrupt, keepers=keepers)
        assert (report.exit_code, state()[3]) == (130, handlers)
        again = run(config(tmp_path / "next"), install_signal_handlers=True, keepers=keepers)
        assert (again.exit_code, state()[3]) == (0, handlers)
    assert state()[3] == handlers
