"""Figures of runs inside one process: their cost, one after another and in threads."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from fsm_orchestrator import KeeperPool
from tests.bench.bare import Kind, Step, counts, recorded, replay, spawn
from tests.bench.figure import Bench, Row, Unit
from tests.bench.measure import interleaved, timed, timed_twice
from tests.bench.runs_of_ours import run_true

THREADS: Final = (1, 2, 4, 16)


def runs_figure(bench: Bench) -> Sequence[Row]:
    """Measure consecutive runs, next to the same disk operations and spawns done bare."""
    with KeeperPool() as keepers:
        return [*_pooled_rows(bench, keepers), _single_row(bench)]


def _pooled_rows(bench: Bench, keepers: KeeperPool) -> list[Row]:
    """Measure runs that share a keeper, as in a program that makes many."""
    steps, stages = steps_of_a_run(bench, keepers)
    times = bench.times(300, quick=20)
    run = _run(bench, keepers)
    bare = _bare(bench, steps, stages, helpers=0)
    both, both_floor = interleaved(times, lambda: timed_twice(run), lambda: timed_twice(bare))
    own, own_cpu = zip(*both, strict=True)
    floor, _ = zip(*both_floor, strict=True)
    part = times // 6
    return [
        Row(
            label="run through the API, with a pool",
            ours=own,
            floor=floor,
            floor_is=f"its disk operations, and {stages} spawns of true, bare",
            target=2,
            note=f"{_rate_of(own)} runs a second, bare {_rate_of(floor)}; {_said(steps, stages)}",
        ),
        Row(
            label=f"the last {part} runs of {times}",
            ours=own[-part:],
            floor=own[:part],
            floor_is=f"the first {part}",
            note=_drift(floor, part),
        ),
        Row(
            label=f"the last {part} of {times}: CPU time",
            ours=own_cpu[-part:],
            floor=own_cpu[:part],
            floor_is=f"the first {part}",
            note="of this process alone; the disk's moods are not in it",
        ),
    ]


def _single_row(bench: Bench) -> Row:
    """Measure a run with its own keeper, as a single run has it."""
    steps, stages = steps_of_a_run(bench, None)
    helpers = counts(steps)[Kind.SPAWN]
    ours, floor = interleaved(
        bench.times(60),
        lambda: timed(_run(bench, None)),
        lambda: timed(_bare(bench, steps, stages, helpers)),
    )
    return Row(
        label="run through the API, alone",
        ours=ours,
        floor=floor,
        floor_is=f"its own, and {helpers} spawn of an empty python -I -S",
    )


def steps_of_a_run(bench: Bench, keepers: KeeperPool | None) -> tuple[Sequence[Step], int]:
    """Return a run's operations on the disk, once all is loaded, and its number of stages."""
    run_true(bench.fresh(), bench.true, keepers)
    output = bench.fresh()
    with recorded(output) as steps:
        stages = len(run_true(output, bench.true, keepers).stage_executions)
    return steps, stages


def _bare(bench: Bench, steps: Sequence[Step], stages: int, helpers: int) -> Callable[[], object]:
    def bare() -> None:
        replay(steps, bench.fresh())
        for _ in range(stages):
            spawn(bench.true)
        for _ in range(helpers):
            spawn(sys.executable, "-I", "-S", "-c", "pass")

    return bare


def _said(steps: Sequence[Step], stages: int) -> str:
    number = counts(steps)
    size_bytes = sum(step.size_bytes for step in steps)
    kinds = (Kind.FSYNC_FILE, Kind.FSYNC_DIRECTORY, Kind.RENAME, Kind.WRITE, Kind.MKDIR)
    done = ", ".join(f"{number[kind]} {kind.value}" for kind in kinds)
    return (
        f"counted in one run: {done} ({size_bytes} bytes written), {stages} spawns of stages,"
        f" {number[Kind.SPAWN]} of a helper (the keeper)"
    )


def _rate_of(samples: Sequence[float]) -> str:
    return f"{1 / statistics.median(samples):.1f}"


def _drift(floor: Sequence[float], part: int) -> str:
    first, last = statistics.median(floor[:part]), statistics.median(floor[-part:])
    return f"meanwhile the bare work itself came to cost {last / first:.2f} times as much"


def threads_figure(bench: Bench) -> Sequence[Row]:
    """Measure the runs a second of some threads in one process, each run in its own OUT."""
    runs = bench.times(32, quick=16)
    rates: dict[int, list[float]] = {threads: [] for threads in THREADS}
    troubles: dict[int, str] = {}
    for _ in range(bench.times(3, quick=1)):
        for threads in THREADS:
            if threads in troubles:
                continue
            try:
                with KeeperPool() as keepers:
                    _rate(threads, threads, _run(bench, keepers))  # starts each keeper
                    rates[threads].append(_rate(threads, runs, _run(bench, keepers)))
            except Exception as error:  # noqa: BLE001 - said in the table; the others still count
                said = (str(error).splitlines() or [""])[0]
                troubles[threads] = f"{type(error).__name__}: {said}"
    return [
        Row(
            label=f"{threads} thread{'s' * (threads > 1)}",
            unit=Unit.RUNS_PER_SECOND,
            ours=rates[threads],
            floor=rates[1],
            floor_is="1 thread (here more is better)",
            trouble=troubles.get(threads, ""),
            has_failed=threads in troubles,
        )
        for threads in THREADS
    ]


def _run(bench: Bench, keepers: KeeperPool | None) -> Callable[[], object]:
    return lambda: run_true(bench.fresh(), bench.true, keepers)


def _rate(threads: int, runs: int, run: Callable[[], object]) -> float:
    """Return the runs per second."""
    began = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        for one in [pool.submit(run) for _ in range(runs)]:
            one.result()
    return runs / (time.perf_counter() - began)
