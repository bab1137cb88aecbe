"""Figures that grow: many runs in one directory, many invocations of one run."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from fsm_orchestrator.constants import INVOCATIONS_FILE, REPORT_FILE
from tests.bench.figure import Bench, Row, Unit
from tests.bench.measure import Launched, interleaved, launch, launch_any
from tests.bench.runs_of_ours import run_true
from tests.support.long_history import failed_often, left_so, with_history

READ_ALL = f"""
import json, pathlib, sys
for path in pathlib.Path(sys.argv[1]).glob("*/{REPORT_FILE}"):
    json.loads(path.read_bytes())
"""


def status_many_figure(bench: Bench) -> Sequence[Row]:
    """Measure `status` of a directory that holds many runs."""
    number = bench.times(1000, quick=20)
    parent = bench.scratch / "runs"
    _copies(bench, parent, number)
    label = f"status of {number} runs"
    argv = (*bench.command, "status", str(parent))
    code = launch_any(argv).code
    if code != 0:
        return [Row(label=label, trouble=f"not available: status DIR exits with {code}")]
    own, floor = interleaved(
        bench.times(5, quick=1),
        lambda: launch(argv),
        lambda: launch((sys.executable, "-c", READ_ALL, str(parent))),
    )
    return _time_and_memory(label, own, floor, "json.loads of the report of each, in one process")


def _copies(bench: Bench, parent: Path, number: int) -> None:
    """Make many copies of one real run, each with its own id."""
    original = bench.fresh()
    run_id = run_true(original, bench.true).run_id
    for index in range(number):
        copy = parent / f"run-{index:04}"
        shutil.copytree(original, copy)
        for path in copy.glob("orchestrator_*"):
            other_id = f"{run_id[:-4]}{index:04x}"
            path.write_bytes(path.read_bytes().replace(run_id.encode(), other_id.encode()))


def resume_history_figure(bench: Bench) -> Sequence[Row]:
    """Measure a resume of a run with many earlier invocations, which have moved."""
    number = bench.times(1000, quick=10)
    original = bench.fresh()
    failed_often(original)

    def resumed(earlier: int) -> Launched:
        output = bench.fresh()
        with_history(original, output, earlier)
        left_so(output, Path(os.environ["XDG_STATE_HOME"]))
        done = launch((*bench.command, str(output), "--resume"), expected=1)
        if len((output / INVOCATIONS_FILE).read_bytes().splitlines()) <= earlier:
            raise RuntimeError("the history was not kept")
        return done

    own, floor = interleaved(bench.times(10, quick=1), lambda: resumed(number), lambda: resumed(1))
    label = f"resume after {number} invocations"
    return _time_and_memory(label, own, floor, "resume after 1 invocation")


def _time_and_memory(
    label: str, own: Sequence[Launched], floor: Sequence[Launched], floor_is: str
) -> list[Row]:
    seconds = [[one.seconds for one in samples] for samples in (own, floor)]
    peaks = [[float(one.rss_bytes) for one in samples] for samples in (own, floor)]
    return [
        Row(label=f"{label}: time", ours=seconds[0], floor=seconds[1], floor_is=floor_is),
        Row(
            label=f"{label}: peak memory",
            unit=Unit.BYTES,
            ours=peaks[0],
            floor=peaks[1],
            floor_is=floor_is,
        ),
    ]
