"""Figures of a fleet: runs a second, next to as many bare spawns and one process with threads."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from tests.bench.environments import CHECKOUT
from tests.bench.figure import Bench, Row, Unit
from tests.bench.measure import interleaved, launch

_DEFAULTS: Final = """\
[defaults]
gates = {{ policy = "allow", ci = "success", review = "approved" }}
stage.manager.bin = "{true}"
stage.executor.bin = "{true}"
"""


def fleet_figure(bench: Bench) -> Sequence[Row]:
    """Measure each from start to exit, in alternation, as many at a time as there are cores."""
    runs, jobs = bench.times(200, quick=4), os.cpu_count() or 1

    def program(name: str) -> Callable[[], float]:
        def rate() -> float:
            words = (sys.executable, "-m", f"tests.bench.peers.{name}", str(_fresh(bench)))
            given = (str(jobs), str(runs), bench.true)
            return runs / launch((*words, *given), cwd=CHECKOUT).seconds

        return rate

    own, bare, threads = interleaved(
        bench.times(5, quick=1),
        lambda: fleet_rate(bench, runs, jobs),
        program("bare_spawns"),
        program("ours"),
    )
    beside = (
        (bare, "the same processes, spawned bare by one with threads"),
        (threads, "the same runs in one process with threads and a pool"),
    )
    return [
        Row(
            label="runs of a fleet",
            unit=Unit.RUNS_PER_SECOND,
            ours=own,
            floor=floor,
            floor_is=f"{name} (here more is better)",
            note=f"{runs} runs, {jobs} at a time, from the start to the exit of all processes",
        )
        for floor, name in beside
    ]


def fleet_rate(bench: Bench, runs: int, jobs: int) -> float:
    """Return how many runs a second a fleet gets done, from its start to its exit."""
    folder = _fresh(bench)
    tables = [_DEFAULTS.format(true=bench.true)]
    tables += [f'[[run]]\nname = "run-{number:03}"\n' for number in range(runs)]
    (folder / "runs.toml").write_text("".join(tables))
    given = ("fleet", "runs.toml", "--jobs", str(jobs), "--quiet")
    return runs / launch((*bench.command, *given), cwd=folder).seconds


def _fresh(bench: Bench) -> Path:
    folder = bench.fresh()
    folder.mkdir()
    return folder
