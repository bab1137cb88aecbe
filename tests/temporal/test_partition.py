"""An absent server, a worker that is cut off: no stage is worked at twice at once."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

import pytest

from tests.support.patience import until
from tests.support.proxy import Proxy, Way, proxied
from tests.support.temporal_runs import HEARTBEAT_SECONDS, Runs
from tests.support.temporal_server import TemporalServer, connected, own_server, why_not
from tests.support.temporal_workers import Worker, at_work

pytestmark = [pytest.mark.one_in(2), pytest.mark.skipif(bool(why_not()), reason=why_not())]

RUN: Final = "run-1"
LONG_SECONDS: Final = 60.0
"""A heartbeat timeout that is longer than any part of a test."""


def worker(tmp_path: Path, name: str, address: str, runs: Runs) -> Worker:
    """Return a worker that makes one run at a time."""
    return Worker(tmp_path / name, address, runs.queue, *runs.worker_options(1))


def held(runs: Runs, tmp_path: Path) -> tuple[Path, Path]:
    """Return a request whose manager works until a file exists, and that file."""
    go = tmp_path / "go"
    return runs.asked("request", {"manager": go, "executor": 0.05}, "family"), go


def test_server_that_is_started_again_in_the_middle_disturbs_no_stage(tmp_path: Path) -> None:
    """A restarted server has its state from disk, and each stage runs once."""
    runs = Runs(tmp_path / "shared", "restart")
    request, go = held(runs, tmp_path)

    async def course(server: TemporalServer) -> None:
        names = [f"run-{number}" for number in range(4)]
        client = await server.client()
        for name in names:
            await runs.submitted(client, name, request, heartbeat_seconds=LONG_SECONDS)
        await until(lambda: sum(runs.ledger.has_begun(name, "manager") for name in names) == 2)
        await asyncio.to_thread(server.end)
        await asyncio.to_thread(server.start)
        go.touch()
        client = await server.client()
        for name in names:
            runs.assert_done(name, await runs.stand(client, name))
            assert len(runs.ledger.attempts(name)) == 2

    with own_server(tmp_path / "server", in_file=True) as server:
        workers = [worker(tmp_path, name, server.address, runs) for name in ("a", "b")]
        with at_work(*workers):
            asyncio.run(course(server))


def test_server_that_is_away_longer_than_the_lease_has_the_stage_ended(tmp_path: Path) -> None:
    """The stage is ended while nobody can know who has the run, and runs again afterwards."""
    runs = Runs(tmp_path / "shared", "away")
    request, go = held(runs, tmp_path)

    async def course(server: TemporalServer) -> None:
        await runs.submitted(await server.client(), RUN, request)
        await runs.ledger.until_begun(RUN, "manager")
        await asyncio.to_thread(server.end)
        await until(lambda: runs.ledger.is_idle(RUN), "its lease does not end the stage")
        await asyncio.to_thread(server.start)
        await runs.ledger.until_begun(RUN, "manager", times=2)
        go.touch()
        runs.assert_done(RUN, await runs.stand(await server.client(), RUN))
        assert [one.ended for one in runs.ledger.attempts(RUN)] == [False, True, True]

    with (
        own_server(tmp_path / "server", in_file=True) as server,
        at_work(worker(tmp_path, "only", server.address, runs)),
    ):
        asyncio.run(course(server))


@pytest.mark.parametrize(
    "held_up",
    [None, (Way.THERE,), (Way.BACK,), (Way.THERE, Way.BACK)],
    ids=["cut", "there", "back", "both"],
)
def test_worker_that_is_cut_off_loses_its_stage_before_another_begins(
    tmp_path: Path, temporal_address: str, held_up: tuple[Way, ...] | None
) -> None:
    """A worker with closed connections, or one or both directions cut, loses its stage first."""
    name = "cut" if held_up is None else "-".join(way.value for way in held_up)
    runs, run_id = Runs(tmp_path / "shared", f"partition-{name}"), f"partitioned-{name}"
    request, go = held(runs, tmp_path)

    async def course(proxy: Proxy) -> None:
        client = await connected(temporal_address)
        first = worker(tmp_path, "first", proxy.address, runs)
        second = worker(tmp_path, "second", temporal_address, runs)
        with at_work(first):
            await runs.submitted(client, run_id, request)
            await runs.ledger.until_begun(run_id, "manager")
            with at_work(second):
                if held_up is None:
                    proxy.cut()
                else:
                    proxy.hold(*held_up)
                await runs.ledger.until_begun(run_id, "manager", times=2)
                gone, anew = runs.ledger.attempts(run_id)
                assert not gone.ended
                assert gone.last < anew.began
                assert anew.epoch > gone.epoch
                proxy.release()
                go.touch()
                runs.assert_done(run_id, await runs.stand(client, run_id))
                digest = runs.digest(run_id)
                assert second.terminate() == 0
            assert first.terminate() == 0
        assert runs.digest(run_id) == digest

    with proxied(temporal_address) as proxy:
        asyncio.run(course(proxy))


def test_short_break_ends_nothing(tmp_path: Path, temporal_address: str) -> None:
    """Late answers within the lease renew it."""
    runs = Runs(tmp_path / "shared", "short-break")
    request, go = held(runs, tmp_path)

    async def course(proxy: Proxy) -> None:
        client = await connected(temporal_address)
        await runs.submitted(client, "short-break", request, heartbeat_seconds=LONG_SECONDS)
        await runs.ledger.until_begun("short-break", "manager")
        proxy.cut()
        await asyncio.sleep(HEARTBEAT_SECONDS / 4)
        proxy.release()
        go.touch()
        runs.assert_done("short-break", await runs.stand(client, "short-break"))
        assert len(runs.ledger.attempts("short-break")) == 2

    with (
        proxied(temporal_address) as proxy,
        at_work(worker(tmp_path, "only", proxy.address, runs)),
    ):
        asyncio.run(course(proxy))
