"""Workers are killed and stopped at random moments, and every run still ends right.

Some kills end a worker, some everything on its host. The stages prove that no two attempts of a run
are alive at once, the record of each run proves the rest, and the record of a done run is unchanged
once all workers have stopped. `SOAK=1` makes 200 runs with each of several seeds; `CHAOS_SEED` sets
the seed.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from fsm_orchestrator.temporal.shapes import Stand
from tests.support.patience import PATIENCE_SECONDS, until
from tests.support.soak import SOAK
from tests.support.temporal_runs import HEARTBEAT_SECONDS, Runs
from tests.support.temporal_server import own_server, why_not
from tests.support.temporal_workers import Worker, at_work

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not())

WORKERS: Final = 3
SECONDS: Final = ((0.02, 0.05), (0.1, 0.3), (0.5, 0.2), (0.2, 1.0))
"""The seconds that the stages of runs work, for each request in turn."""


class Size(NamedTuple):
    """The amount of chaos and the number of runs."""

    runs: int
    kills: int
    stops: int


SIZE: Final = Size(200, 8, 4) if SOAK else Size(24, 3, 2)
SEEDS: Final = (
    (int(os.environ["CHAOS_SEED"]),) if "CHAOS_SEED" in os.environ else (1, 2, 3) if SOAK else (1,)
)


class Done(NamedTuple):
    """A run that is done: its standing then, and its record."""

    stand: Stand
    digest: str


@pytest.mark.parametrize("seed", SEEDS)
def test_every_run_ends_right_while_workers_are_killed_and_stopped(
    tmp_path: Path, seed: int
) -> None:
    """Every run is done, with nothing repeated, and no zombie has changed a record."""
    runs = Runs(tmp_path / "shared", "chaos")
    drawn = random.Random(seed)  # noqa: S311 - the same moments each time
    with own_server(tmp_path / "server") as server:
        workers = [
            Worker(tmp_path / f"host-{number}", server.address, runs.queue, *runs.worker_options(8))
            for number in range(WORKERS)
        ]
        with at_work(*workers):
            done = asyncio.run(_tormented(runs, server.address, workers, drawn))
            for one in workers:
                one.thaw()
                one.terminate()
    assert len(done) == SIZE.runs
    for run_id, (stand, digest) in done.items():
        runs.assert_done(run_id, stand)
        assert runs.digest(run_id) == digest, f"{run_id}: something was written after its end"


async def _tormented(
    runs: Runs, address: str, workers: list[Worker], drawn: random.Random
) -> Mapping[str, Done]:
    """Have all runs made while workers are killed and stopped; return the done ones."""
    from tests.support.temporal_server import connected  # noqa: PLC0415

    client = await connected(address)
    requests = [
        runs.asked(f"request-{number}", {"manager": manager, "executor": executor}, "family")
        for number, (manager, executor) in enumerate(SECONDS)
    ]
    done: dict[str, Done] = {}

    async def made(number: int) -> None:
        run_id = f"run-{number:03}"
        handle = await runs.submitted(client, run_id, requests[number % len(requests)])
        stand = await handle.result()
        done[run_id] = Done(stand, runs.digest(run_id))

    async def torment() -> None:
        acts = ["kill"] * SIZE.kills + ["stop"] * SIZE.stops
        drawn.shuffle(acts)
        moments = sorted(drawn.uniform(0.03, 0.9) * SIZE.runs for _ in acts)
        thawing: set[asyncio.Task[None]] = set()
        for act, moment in zip(acts, moments, strict=True):
            await until(lambda moment=moment: len(done) >= moment)  # type: ignore[misc]
            await asyncio.sleep(drawn.uniform(0, 0.2))
            await until(lambda: len(stopped) < WORKERS)
            worker = drawn.choice([one for one in workers if one not in stopped])
            sys.stderr.write(f"{act} {worker.folder.name} at {len(done)} done\n")
            if act == "kill":
                drawn.choice((worker.kill, worker.kill_host))()
                await asyncio.sleep(drawn.uniform(0, 0.5))
                worker.start()
            else:
                stopped.append(worker)
                worker.freeze()
                away = drawn.uniform(0.5, 3) * HEARTBEAT_SECONDS
                thawing.add(asyncio.create_task(_thawed(worker, away, stopped)))
        await asyncio.gather(*thawing)

    stopped: list[Worker] = []
    try:
        async with asyncio.timeout(PATIENCE_SECONDS * (1 + SIZE.runs // 50)):
            await asyncio.gather(torment(), *(made(number) for number in range(SIZE.runs)))
    except TimeoutError:
        for run_id in {f"run-{number:03}" for number in range(SIZE.runs)} - done.keys():
            sys.stderr.write(
                f"not done: {await client.get_workflow_handle(run_id).query('stands')}\n"
            )
        raise
    return done


async def _thawed(worker: Worker, seconds: float, stopped: list[Worker]) -> None:
    await asyncio.sleep(seconds)
    worker.thaw()
    stopped.remove(worker)
