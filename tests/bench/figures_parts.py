"""Figures of a run's parts, each alone: the rest is this program's own work."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from typing import Final

from fsm_orchestrator import KeeperPool
from fsm_orchestrator.model.endings import NotSpawned
from fsm_orchestrator.model.limits import DEFAULT_LIMITS
from fsm_orchestrator.processes.command import Command
from fsm_orchestrator.processes.keeper_client import Keeper
from fsm_orchestrator.processes.kept import spawn_kept
from fsm_orchestrator.processes.polling import readable
from tests.bench.bare import Kind, Step, replay, spawn
from tests.bench.figure import Bench, Row
from tests.bench.figures_runs import steps_of_a_run
from tests.bench.measure import interleaved, timed_twice
from tests.bench.runs_of_ours import run_true

_SYNCS: Final = frozenset({Kind.FSYNC_FILE, Kind.FSYNC_DIRECTORY})
_WAIT_SECONDS: Final = 30.0


def parts_figure(bench: Bench) -> Sequence[Row]:
    """Measure a run with a pool, its processes and its disk operations, in alternation."""
    with KeeperPool() as keepers:
        steps, stages = steps_of_a_run(bench, keepers)
        keeper = keepers.take()
        if not isinstance(keeper, Keeper):
            return [Row(label="parts of a run", trouble=f"skipped: no keeper: {keeper}")]
        own, *parts = interleaved(
            bench.times(200, quick=5),
            lambda: timed_twice(lambda: run_true(bench.fresh(), bench.true, keepers)),
            _twice_over(lambda: _each(stages, lambda: spawn(bench.true))),
            _twice_over(lambda: _each(stages, lambda: _kept(keeper, bench.true))),
            _twice_over(lambda: replay(steps, bench.fresh())),
            _twice_over(lambda: replay(_unsynced(steps), bench.fresh())),
        )
        keepers.give_back(keeper)
    names = (
        f"{stages} spawns of true",
        "the same through a keeper, contained",
        f"its disk operations, {sum(step.kind in _SYNCS for step in steps)} syncs among them",
        "the same without the syncs",
    )
    whole = [seconds for seconds, _ in own]
    return [
        *(
            Row(
                label="run with a pool",
                ours=whole,
                floor=[seconds for seconds, _ in part],
                floor_is=f"{name}, bare",
            )
            for name, part in zip(names, parts, strict=True)
        ),
        Row(
            label="run with a pool",
            ours=whole,
            floor=[cpu for _, cpu in own],
            floor_is="its CPU time in this process: own work and the kernel's",
        ),
    ]


def _twice_over(call: Callable[[], object]) -> Callable[[], tuple[float, float]]:
    return lambda: timed_twice(call)


def _each(times: int, call: Callable[[], None]) -> None:
    for _ in range(times):
        call()


def _unsynced(steps: Sequence[Step]) -> Sequence[Step]:
    return [step for step in steps if step.kind not in _SYNCS]


def _kept(keeper: Keeper, true: str) -> None:
    """Run a stage below a keeper, as a run does, and record nothing."""
    null = os.open(os.devnull, os.O_RDWR | os.O_APPEND)
    try:
        command = Command(true, (), "/", dict(os.environ), None, null, null)
        child = spawn_kept(command, DEFAULT_LIMITS, keeper)
        if isinstance(child, NotSpawned):
            raise RuntimeError(f"not spawned: {child}")  # noqa: TRY004 - a value, not a type
        readable([child.end_descriptor], time.monotonic() + _WAIT_SECONDS)
        child.collect()
    finally:
        os.close(null)
