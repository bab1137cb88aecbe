"""A stopped worker and a frozen host: other workers continue, and zombies change nothing."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

import pytest

from fsm_orchestrator.disk.epochs import latest_record
from tests.support.command import tree_of
from tests.support.patience import slowness
from tests.support.temporal_runs import Runs
from tests.support.temporal_server import connected, why_not
from tests.support.temporal_workers import Worker, at_work

pytestmark = [pytest.mark.one_in(2), pytest.mark.skipif(bool(why_not()), reason=why_not())]

THAWED_SECONDS_MAX: Final = 0.1
"""The seconds that the stage of a thawing host may live: until its keeper is scheduled."""


def test_stage_of_a_stopped_worker_is_ended_before_another_begins(
    tmp_path: Path, temporal_address: str
) -> None:
    """The keeper ends the stage of a stopped worker before another attempt begins."""
    runs, run_id = Runs(tmp_path / "shared", "stopped"), "stopped"
    go = tmp_path / "go"
    request = runs.asked("request", {"manager": go, "executor": 0.05}, "family")

    async def course() -> None:
        client = await connected(temporal_address)
        first, second = _two_workers(tmp_path, temporal_address, runs)
        with at_work(first):
            await runs.submitted(client, run_id, request)
            await runs.ledger.until_begun(run_id, "manager")
            with at_work(second):
                first.freeze()
                await runs.ledger.until_begun(run_id, "manager", times=2)
                go.touch()
                stand = await runs.stand(client, run_id)
                digest = runs.digest(run_id)
                first.thaw()
                assert first.terminate() == 0
                runs.assert_done(run_id, stand)
                assert runs.digest(run_id) == digest

    asyncio.run(course())


def test_host_that_thaws_gets_a_few_milliseconds_and_writes_nothing_that_counts(
    tmp_path: Path, temporal_address: str
) -> None:
    """A host that thaws gets a few milliseconds, and writes nothing that counts.

    Its worker, keeper and stage freeze together, and another worker continues the run. Only then
    are two attempts alive at once, so these stages take no lock.
    """
    runs, run_id = Runs(tmp_path / "shared", "frozen"), "frozen"
    go = tmp_path / "go"
    request = runs.asked(
        "request", {"manager": go, "executor": 0.05}, "family", "lockless", tick_ms=1
    )

    async def course() -> None:
        client = await connected(temporal_address)
        first, second = _two_workers(tmp_path, temporal_address, runs)
        with at_work(first):
            await runs.submitted(client, run_id, request)
            await runs.ledger.until_begun(run_id, "manager")
            with at_work(second):
                frozen = first.freeze_host()
                await runs.ledger.until_begun(run_id, "manager", times=2)
                zombie, _ = runs.ledger.attempts(run_id)
                logs = _logs_of(runs, run_id, zombie.number)
                thawed_at = first.thaw_host(frozen)
                assert first.terminate() == 0
                zombie, anew = runs.ledger.attempts(run_id)
                assert zombie.last - thawed_at < THAWED_SECONDS_MAX * slowness()
                assert not zombie.ended
                assert anew.epoch > zombie.epoch
                assert _logs_of(runs, run_id, zombie.number) == logs
                go.touch()
                stand = await runs.stand(client, run_id)
                assert stand.result is not None
                assert stand.result.closure_ready
                assert stand.result.epoch == latest_record(runs.directory(run_id)).name
                order = [one.stage for one in runs.ledger.attempts(run_id)]
                assert order == ["manager", "manager", "executor"]

    asyncio.run(course())


def _two_workers(place: Path, address: str, runs: Runs) -> tuple[Worker, Worker]:
    """Return two workers of the queue of these runs, for one run at a time."""
    options = runs.worker_options(1)
    return (
        Worker(place / "first", address, runs.queue, *options),
        Worker(place / "second", address, runs.queue, *options),
    )


def _logs_of(runs: Runs, run_id: str, attempt: int) -> dict[str, bytes]:
    """Return the output of an attempt of the manager in the record that counts."""
    logs = tree_of(latest_record(runs.directory(run_id)) / "logs")
    return {name: data for name, data in logs.items() if f"manager.{attempt}." in name}
