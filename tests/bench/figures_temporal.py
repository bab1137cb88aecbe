"""Figures of runs across machines: runs a second over workers, recovery, the cost of an epoch."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from fsm_orchestrator import Lease, RunConfig, claim_epoch, run
from tests.bench import bare
from tests.bench.environments import CHECKOUT
from tests.bench.figure import Bench, Row, Unit
from tests.bench.figures_fleet import fleet_rate
from tests.bench.measure import interleaved, timed
from tests.bench.peers import BARE_WORKFLOW
from tests.bench.runs_of_ours import PASSED, run_true, stage
from tests.support.temporal_runs import HEARTBEAT_SECONDS, STAGES, Runs
from tests.support.temporal_server import connected, own_server, why_not
from tests.support.temporal_workers import Worker, at_work
from tests.support.tethered import tethered

if TYPE_CHECKING:
    from temporalio.client import Client

WORKERS: Final = (1, 2, 4)
JOBS: Final = 4
"""The number of runs that each worker takes at a time."""
BARE_QUEUE: Final = "bare"
"""The queue of workers that do not know governed runs."""
_NOTE: Final = (
    f"{{count}} runs, {JOBS} at a time by each worker, all on this machine; the server is the"
    " development server, in memory"
)
_LEASE_SECONDS: Final = 60.0


def temporal_figure(bench: Bench) -> Sequence[Row]:
    """Measure runs a second of some workers, next to bare activities of the server, and a fleet."""
    if reason := why_not():
        return [Row(label="runs over workers", trouble=f"skipped: {reason}")]
    rows: list[Row] = []
    with own_server(bench.fresh()) as server:
        for number in WORKERS:
            rows += _rates(bench, server.address, number)
    return rows


def _rates(bench: Bench, address: str, number: int) -> Sequence[Row]:
    count = bench.times(64, quick=4)
    runs = Runs(bench.fresh(), f"governed-{number}")
    request = runs.of_program("request", bench.true)
    rounds = iter(range(1_000))

    queue = f"{BARE_QUEUE}-{number}"

    def ours() -> float:
        name = f"{number}-{next(rounds)}"

        async def once(client: Client, one: int) -> None:
            handle = await runs.submitted(client, f"{name}-{one}", request, heartbeat_seconds=30.0)
            stand = await handle.result()
            if stand.result is None or not stand.result.closure_ready:
                raise RuntimeError(f"a run is not done: {stand}")

        return asyncio.run(_rate(address, count, once))

    def activities() -> float:
        name = f"bare-{number}-{next(rounds)}"

        async def once(client: Client, one: int) -> None:
            await client.execute_workflow(
                BARE_WORKFLOW, bench.true, id=f"{name}-{one}", task_queue=queue
            )

        return asyncio.run(_rate(address, count, once))

    options = runs.worker_options(JOBS)
    workers = [
        Worker(bench.fresh(), address, runs.queue, *options, command=bench.command)
        for _ in range(number)
    ]
    with at_work(*workers), _bare_workers(address, queue, number):
        own, floor, fleet = interleaved(
            bench.times(3, quick=1),
            ours,
            activities,
            lambda: fleet_rate(bench, count, os.cpu_count() or 1),
        )
    beside = (
        (floor, "the same programs as bare activities of Temporal"),
        (fleet, "the same runs in a fleet of this machine"),
    )
    said = f"{number} worker{'s' * (number > 1)}"
    return [
        Row(
            label=f"runs over {said}",
            unit=Unit.RUNS_PER_SECOND,
            ours=own,
            floor=one,
            floor_is=f"{name} (here more is better)",
            note=_NOTE.format(count=count) if one is floor and number == WORKERS[0] else "",
        )
        for one, name in beside
    ]


async def _rate(
    address: str, count: int, once: Callable[[Client, int], Coroutine[Any, Any, None]]
) -> float:
    """Return how many of those requested at once are done a second."""
    client = await connected(address)
    began = time.monotonic()
    await asyncio.gather(*(once(client, number) for number in range(count)))
    return count / (time.monotonic() - began)


@contextlib.contextmanager
def _bare_workers(address: str, queue: str, number: int) -> Iterator[None]:
    words = (sys.executable, "-m", "tests.bench.peers.temporal_activities")
    argv = tethered(*words, address, queue, str(JOBS))
    workers = [subprocess.Popen(argv, cwd=CHECKOUT) for _ in range(number)]
    try:
        yield
    finally:
        for one in workers:
            one.kill()
            one.wait()


# Recovery


def recovery_figure(bench: Bench) -> Sequence[Row]:
    """Measure from a worker's kill or stop until its stage is gone, and until it starts again."""
    if reason := why_not():
        return [Row(label="recovery", trouble=f"skipped: {reason}")]
    rows: list[Row] = []
    with own_server(bench.fresh()) as server:
        for name, end in (("SIGKILL", Worker.kill), ("SIGSTOP", Worker.freeze)):
            seen = [
                _recovered(bench, server.address, f"{name.lower()}-{number}", end)
                for number in range(bench.times(7, quick=1))
            ]
            timeouts = [HEARTBEAT_SECONDS for _ in seen]
            floor_is = f"the heartbeat timeout, {HEARTBEAT_SECONDS:g} s"
            gone, anew = zip(*seen, strict=True)
            rows += [
                Row(
                    label=f"{name} of a worker, until its stage is gone",
                    ours=gone,
                    floor=timeouts,
                    floor_is=floor_is,
                ),
                Row(
                    label=f"{name} of a worker, until another begins it anew",
                    ours=anew,
                    floor=timeouts,
                    floor_is=floor_is,
                ),
            ]
    return rows


def _recovered(
    bench: Bench, address: str, name: str, end: Callable[[Worker], None]
) -> tuple[float, float]:
    """Return the seconds until a stage was gone, and until it had started again."""
    runs = Runs(bench.fresh(), name)
    go = bench.fresh()
    request = runs.asked("request", dict.fromkeys(STAGES, go), tick_ms=5)
    first, second = (
        Worker(bench.fresh(), address, name, *runs.worker_options(1), command=bench.command)
        for _ in range(2)
    )

    async def course() -> float:
        client = await connected(address)
        await runs.submitted(client, name, request)
        await runs.ledger.until_begun(name, "manager")
        with at_work(second):
            ended_at = time.monotonic()
            end(first)
            await runs.ledger.until_begun(name, "manager", times=2)
            go.touch()
            await runs.stand(client, name)
        return ended_at

    with at_work(first):
        ended_at = asyncio.run(course())
    gone, anew, *_ = runs.ledger.attempts(name)
    return gone.last - ended_at, anew.began - ended_at


# Epochs


def epoch_figure(bench: Bench) -> Sequence[Row]:
    """Measure a claim next to its bare disk operations, and a run with and without an epoch."""
    directory = bench.fresh()
    _run_in_epoch(directory, 1, bench.true)
    with bare.recorded(directory) as steps:
        latest = claim_epoch(directory, 2, 1)
    added = _own_bytes(latest.directory)
    numbers = iter(range(3, 1_000_000))

    def replayed() -> float:
        place = bench.fresh()
        (place / latest.directory.parent.name).mkdir(parents=True)
        return timed(lambda: bare.replay(steps, place))

    own, floor = interleaved(
        bench.times(50, quick=2),
        lambda: timed(lambda: claim_epoch(directory, next(numbers), 1)),
        replayed,
    )
    counted = bare.counts(steps)
    in_epoch, plain = interleaved(
        bench.times(20, quick=2),
        lambda: timed(lambda: _run_in_epoch(bench.fresh(), 1, bench.true)),
        lambda: timed(lambda: run_true(bench.fresh(), bench.true)),
    )
    syncs = counted[bare.Kind.FSYNC_FILE] + counted[bare.Kind.FSYNC_DIRECTORY]
    return [
        Row(
            label="claim of an epoch",
            ours=own,
            floor=floor,
            floor_is="its writes, syncs and renames, bare",
            note="from the record of a run of two stages that is done",
        ),
        Row(label="syncs of a claim", unit=Unit.COUNT, ours=(float(syncs),)),
        Row(label="bytes that a claim adds", unit=Unit.BYTES, ours=(added,)),
        Row(
            label="run in an epoch, under a lease",
            ours=in_epoch,
            floor=plain,
            floor_is="the same run in a plain directory",
        ),
    ]


def _run_in_epoch(directory: Path, number: int, true: str) -> None:
    config = RunConfig(
        output_directory=directory, gates=PASSED, stages=dict.fromkeys(STAGES, stage(true))
    )
    with Lease(_LEASE_SECONDS) as lease:
        report = run(config, lease=lease, epoch=claim_epoch(directory, number, 1))
    if report.exit_code != 0:
        raise RuntimeError(f"a run ended with exit code {report.exit_code}")


def _own_bytes(record: Path) -> float:
    """Return how much of a record is in files that no other epoch has."""
    found = [one.stat() for one in record.rglob("*") if one.is_file()]
    return float(sum(one.st_blocks * 512 for one in found if one.st_nlink == 1))
