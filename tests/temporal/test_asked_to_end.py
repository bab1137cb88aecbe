"""Waiting runs across restarts, canceled workflows, and workers that are asked to end."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

import pytest
from temporalio.client import WorkflowFailureError
from temporalio.exceptions import CancelledError

from fsm_orchestrator.vocabulary import StopReason
from tests.support.patience import until
from tests.support.temporal_runs import PASSING, Runs
from tests.support.temporal_server import TemporalServer, connected, own_server, why_not
from tests.support.temporal_workers import Worker, at_work

pytestmark = [pytest.mark.one_in(2), pytest.mark.skipif(bool(why_not()), reason=why_not())]

RUN: Final = "run-1"
LONG_SECONDS: Final = 60.0
"""A heartbeat timeout that is longer than any part of a test."""


def test_run_that_waits_takes_its_signal_after_worker_and_server_were_started_again(
    tmp_path: Path,
) -> None:
    """A blocked run gets its signal after its worker and the server were replaced."""
    runs = Runs(tmp_path / "shared", "waits")
    missing = {gate: value for gate, value in PASSING.items() if gate != "review"}
    request = runs.asked("request", {"manager": 0.05, "executor": 0.05}, "family", gates=missing)

    async def course(server: TemporalServer) -> None:
        client = await server.client()
        with at_work(worker("first")):
            await runs.submitted(client, RUN, request)
            stand = await runs.waits(client, RUN)
            assert stand.result is not None
            assert (stand.result.outcome, stand.result.waiting_gates) == ("blocked", ("review",))
        await asyncio.to_thread(server.end)
        await asyncio.to_thread(server.start)
        client = await server.client()
        with at_work(worker("second")):
            handle = client.get_workflow_handle(RUN)
            await handle.execute_update("continue_run", {"review": "approved"})
            runs.assert_done(RUN, await runs.stand(client, RUN))

    with own_server(tmp_path / "server", in_file=True) as server:

        def worker(name: str) -> Worker:
            return Worker(tmp_path / name, server.address, runs.queue, *runs.worker_options(1))

        asyncio.run(course(server))


def test_cancelled_workflow_ends_the_whole_tree_of_its_stage(
    tmp_path: Path, temporal_address: str
) -> None:
    """Canceling a workflow ends a grandchild that has its own session and ignores SIGTERM."""
    runs, run_id = Runs(tmp_path / "shared", "cancelled"), "cancelled"
    request = runs.asked("request", {"manager": tmp_path / "never"}, "family", kill_grace_ms=200)

    async def course() -> None:
        client = await connected(temporal_address)
        handle = await runs.submitted(client, run_id, request, heartbeat_seconds=LONG_SECONDS)
        await runs.ledger.until_begun(run_id, "manager")
        await until(lambda: len(runs.ledger.attempts(run_id)[0].pids) == 2)
        await handle.cancel()
        with pytest.raises(WorkflowFailureError) as ended:
            await handle.result()
        assert isinstance(ended.value.cause, CancelledError)
        assert runs.ledger.is_idle(run_id)

    first = Worker(tmp_path / "first", temporal_address, runs.queue, *runs.worker_options(1))
    with at_work(first):
        asyncio.run(course())
        assert first.terminate() == 0
    report = runs.report(run_id)
    assert report["stop_reason"] == StopReason.CANCELLED
    assert [one["status"] for one in report["stage_executions"]] == ["interrupted"]


def test_worker_that_is_asked_to_end_hands_its_runs_on(
    tmp_path: Path, temporal_address: str
) -> None:
    """Another worker gets the runs at once, long before a heartbeat timeout."""
    runs = Runs(tmp_path / "shared", "drained")
    go, names = tmp_path / "go", ("drained-1", "drained-2")
    request = runs.asked("request", {"manager": go, "executor": 0.05}, "family", kill_grace_ms=200)
    first, second = (
        Worker(tmp_path / name, temporal_address, runs.queue, *runs.worker_options(2))
        for name in ("first", "second")
    )

    async def course() -> None:
        client = await connected(temporal_address)
        for name in names:
            await runs.submitted(client, name, request, heartbeat_seconds=LONG_SECONDS)
            await until(lambda name=name: runs.ledger.has_begun(name, "manager"))  # type: ignore[misc]
        second.start()
        assert await asyncio.to_thread(first.terminate) == 0
        for name in names:
            await until(
                lambda name=name: runs.ledger.has_begun(name, "manager", times=2)  # type: ignore[misc]
            )
        go.touch()
        for name in names:
            runs.assert_done(name, await runs.stand(client, name))

    try:
        with at_work(first):
            asyncio.run(course())
    finally:
        if second.is_there:
            second.kill()
