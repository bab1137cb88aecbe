"""Runs under a lease and in an epoch: they end when they are lost."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from fsm_orchestrator import (
    Interrupts,
    KeeperPool,
    Lease,
    RunConfig,
    StageGiven,
    StopReason,
    claim_epoch,
    resume,
    run,
    run_async,
)
from fsm_orchestrator.engine import held
from fsm_orchestrator.errors import LeaseError
from fsm_orchestrator.vocabulary import Ending, Gate
from tests.processes.living import is_zombie
from tests.support.command import report_of
from tests.support.patience import PATIENCE_SECONDS, slowness, wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a lease is kept by Linux")
GATES: Final = {Gate.POLICY: "allow", Gate.CI: "success", Gate.REVIEW: "approved"}
LONG_SECONDS: Final = PATIENCE_SECONDS * 2
TICKS: Final = """
import os, time
if os.fork(): time.sleep(600)
os.setsid()
with open("ticks", "w") as ticks:
    while True:
        print(time.clock_gettime(7), file=ticks, flush=True)
        time.sleep(0.002)
"""
"""A stage whose detached grandchild records when it is alive, by the clock of a lease."""
WORKER: Final = """
import os, sys, threading, time
from fsm_orchestrator import Lease, RunConfig, run
config = RunConfig.model_validate_json(sys.argv[1])
with Lease(float(sys.argv[2])) as lease:
    def renew():
        while not os.path.exists("ticks"):
            asked_at = Lease.now()
            lease.renew(asked_at)
            time.sleep(0.01)
        print(asked_at + lease.seconds, flush=True)
    threading.Thread(target=renew).start()
    print(run(config, lease=lease).exit_code, flush=True)
"""


@pytest.fixture(autouse=True)
def private_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep a run's private state below the test's directory."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def config(place: Path, bin: str, *args: str, **given: Any) -> RunConfig:  # noqa: A002 - its name
    """Return a run whose first stage is that command."""
    stage = StageGiven(bin=bin, args=args, cwd=str(place), **given)
    stages = {"manager": stage, "executor": StageGiven(bin="/bin/true")}
    return RunConfig(output_directory=place / "out", gates=GATES, stages=stages)


def script(place: Path, words: str, **given: Any) -> RunConfig:
    """Return a run whose first stage is a script."""
    return config(place, "/bin/sh", "-c", words, **given)


def ended_at_work(lease: Lease) -> Any:
    """Return a listener that ends a lease once a stage is at work."""

    def heard(event: Mapping[str, Any]) -> None:
        if event["event"] == "stage.started":
            threading.Timer(0.1, lease.end).start()

    return heard


def test_stage_ends_on_time_while_its_orchestrator_is_stopped(tmp_path: Path) -> None:
    """A stage ends with all its processes while its orchestrator is stopped; it reports that."""
    asked = config(tmp_path, sys.executable, "-c", TICKS, kill_grace_ms=600_000)
    words = [sys.executable, "-c", WORKER, asked.model_dump_json(), "2"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=tmp_path) as worker:
        try:
            assert worker.stdout is not None
            until = float(worker.stdout.readline())
            ticks = tmp_path / "ticks"
            worker.send_signal(signal.SIGSTOP)
            wait_until(lambda: Lease.now() > until)
            late = 0.1 * slowness()
            wait_until(lambda: Lease.now() > until + late)
            last = float(ticks.read_text().split()[-2])
            assert last <= until + late
            worker.send_signal(signal.SIGCONT)
            assert worker.stdout.readline() == "75\n"
        finally:
            worker.kill()
    report = report_of(tmp_path / "out")
    assert report["stop_reason"] == "lease_lost"
    (execution,) = report["stage_executions"]
    assert (execution["status"], execution["ending"]) == ("interrupted", "lease_lost")
    assert execution["error"] == "interrupted: the run lost its lease"
    assert float(ticks.read_text().split()[-2]) == last
    assert resume(script(tmp_path, "exit 0")).exit_code == 0


def test_run_whose_lease_is_renewed_is_not_ended(tmp_path: Path) -> None:
    """A run with a renewed lease is not ended, however long its stage takes."""
    done = threading.Event()
    with Lease(1.0) as lease:

        def renew() -> None:
            while not done.wait(0.02):
                lease.renew(Lease.now())

        thread = threading.Thread(target=renew)
        thread.start()
        try:
            report = run(script(tmp_path, "sleep 1.3"), lease=lease)
        finally:
            done.set()
            thread.join()
        assert (report.exit_code, report.stop_reason) == (0, None)
        assert not lease.is_over


def test_run_begins_nothing_once_its_lease_is_over(tmp_path: Path) -> None:
    """A run whose lease is over starts nothing, and says why."""
    with Lease(LONG_SECONDS) as lease:
        lease.end()
        report = run(script(tmp_path, "echo ran >ran"), lease=lease)
    assert (report.exit_code, report.stop_reason) == (75, StopReason.LEASE_LOST)
    assert report.stage_executions == ()
    assert not (tmp_path / "ran").exists()


def test_stages_side_by_side_are_all_ended(tmp_path: Path) -> None:
    """Each of the stages side by side is ended by its own keeper."""
    stays = "echo $$ >$0; exec sleep 600"
    stages = {
        name: StageGiven(bin="/bin/sh", args=("-c", stays, name), cwd=str(tmp_path))
        for name in ("lint", "unit_tests", "scan")
    }
    stages["executor"] = StageGiven(bin="/bin/true")
    asked = RunConfig(
        output_directory=tmp_path / "out", lifecycle="checked_run", gates=GATES, stages=stages
    )
    pids = [tmp_path / one for one in ("lint", "unit_tests", "scan")]
    with Lease(LONG_SECONDS) as lease:

        def end() -> None:
            wait_until(lambda: all(one.exists() and one.read_text() for one in pids))
            lease.end()

        thread = threading.Thread(target=end)
        thread.start()
        report = run(asked, lease=lease)
        thread.join()
    assert report.stop_reason is StopReason.LEASE_LOST
    endings = [one.ending for one in report.stage_executions[1:]]
    assert endings == [Ending.LEASE_LOST] * len(pids)
    for one in pids:
        pid = int(one.read_text())
        assert not Path(f"/proc/{pid}").exists() or is_zombie(pid)


def test_command_of_a_gate_is_ended_too(tmp_path: Path) -> None:
    """A gate's command is ended with the lease as well."""
    command = ("/bin/sh", "-c", f"echo $$ >{tmp_path}/asked; exec sleep 600")
    source = {"command": command, "timeout": "10m"}
    asked = RunConfig(
        output_directory=tmp_path / "out",
        gates={Gate.POLICY: "allow", Gate.REVIEW: "approved"},
        sources={"ci": source},
        stages={"manager": StageGiven(bin="/bin/true"), "executor": StageGiven(bin="/bin/true")},
    )
    with Lease(LONG_SECONDS) as lease:

        def end() -> None:
            wait_until((tmp_path / "asked").exists)
            lease.end()

        thread = threading.Thread(target=end)
        thread.start()
        report = run(asked, lease=lease)
        thread.join()
    assert (report.exit_code, report.stop_reason) == (75, StopReason.LEASE_LOST)


def test_keepers_of_a_pool_serve_on(tmp_path: Path) -> None:
    """The keepers of a pool stay usable after a run lost its lease."""
    with KeeperPool() as keepers, Lease(LONG_SECONDS) as lease:
        lost = run(
            script(tmp_path, "exec sleep 600"),
            lease=lease,
            keepers=keepers,
            listener=ended_at_work(lease),
        )
        assert lost.stop_reason is StopReason.LEASE_LOST
        assert resume(script(tmp_path, "exit 0"), keepers=keepers).exit_code == 0


def test_lease_is_refused_where_nobody_would_keep_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lease that nothing can enforce is refused before anything is written."""
    monkeypatch.setattr(held, "is_there", lambda: False)
    with Lease(LONG_SECONDS) as lease, pytest.raises(LeaseError, match="no /proc"):
        run(script(tmp_path, "exit 0"), lease=lease)
    assert not (tmp_path / "out").exists()
    monkeypatch.undo()
    with pytest.raises(LeaseError, match="closed"):
        run(script(tmp_path, "exit 0"), lease=lease)
    assert not (tmp_path / "out").exists()


def test_coroutine_ends_with_its_lease(tmp_path: Path) -> None:
    """A coroutine whose lease ends returns the report, and is not canceled."""
    with Lease(LONG_SECONDS) as lease:
        asked = script(tmp_path, "exec sleep 600")
        report = asyncio.run(run_async(asked, lease=lease, listener=ended_at_work(lease)))
    assert report.stop_reason is StopReason.LEASE_LOST


@pytest.mark.parametrize("words", ["exec sleep 600", "exit 0"])
def test_run_ends_when_a_later_epoch_holds_it(tmp_path: Path, words: str) -> None:
    """A run ends once a later epoch holds it: during a stage, or before the next step counts."""
    asked = script(tmp_path, words)

    def heard(event: Mapping[str, Any]) -> None:
        if event["event"] == "stage.started":
            claim_epoch(tmp_path / "out", 2, 1)

    epoch = claim_epoch(tmp_path / "out", 1, 1)
    began = time.monotonic()
    with Interrupts() as interrupts:
        report = run(asked, epoch=epoch, interrupts=interrupts, listener=heard)
    assert time.monotonic() - began < PATIENCE_SECONDS
    assert (report.exit_code, report.stop_reason) == (75, StopReason.FENCED)
    assert report.stage_executions[0].status == "interrupted"
    assert report.stage_executions[0].ending is Ending.LEASE_LOST
    assert os.listdir(tmp_path / "out" / "epochs") != []
