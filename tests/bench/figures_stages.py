"""Figures of a stage's results and cost: its artifacts, the way to the next, its output."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from fsm_orchestrator.stages.artifacts import judge
from tests.bench.figure import Bench, Row, Unit
from tests.bench.measure import interleaved, launch, timed
from tests.bench.runs_of_ours import PASSING_FLAGS, run_once, stage

MEGABYTE: Final = 1_000_000
FREE_BYTES_MIN: Final = 3 * 1024**3


def artifacts_figure(bench: Bench) -> Sequence[Row]:
    """Measure judging a JSON artifact, small and large."""
    sizes = (1, 10) if bench.is_quick else (1, 100)
    repeats = (bench.times(30), bench.times(3, quick=1))
    rows = []
    for megabytes, times in zip(sizes, repeats, strict=True):
        path = bench.scratch / f"{megabytes}.json"
        path.write_bytes(_json_of(megabytes))
        own, floor = interleaved(times, _judging(path), _reading(path))
        label = f"artifact check, {megabytes} MB of JSON"
        floor_is = "reading it, sha256, json.loads"
        rows.append(Row(label=label, ours=own, floor=floor, floor_is=floor_is))
        path.unlink()
    return rows


def _json_of(megabytes: int) -> bytes:
    """Return a list of small objects, like plans and findings."""
    one = {"id": 4711, "path": "src/package/module.py", "ok": True, "score": 0.25, "tags": ["a"]}
    text = json.dumps(one).encode() + b",\n "
    return b"[" + (text * (megabytes * MEGABYTE // len(text)))[:-3] + b"]\n"


def _judging(path: Path) -> Callable[[], float]:
    def work() -> None:
        if not judge([str(path)], None, allow_stale=True).is_good:
            raise RuntimeError("the artifact was refused")

    return lambda: timed(work)


def _reading(path: Path) -> Callable[[], float]:
    def work() -> None:
        data = path.read_bytes()
        hashlib.sha256(data).hexdigest()
        json.loads(data)

    return lambda: timed(work)


def latency_figure(bench: Bench) -> Sequence[Row]:
    """Measure from one stage's last act to the next one's first, as both report the time."""
    date = shutil.which("date") or "date"
    label = "one stage's end to the next's start"
    told = subprocess.run([date, "+%s%N"], capture_output=True, text=True, check=False)
    if not told.stdout.strip().isdigit():
        return [Row(label=label, trouble="not available: date does not tell nanoseconds")]

    def ours() -> float:
        output = bench.fresh()
        tell = stage(date, "+%s%N")
        run_once(output, tell, tell)
        names = ("manager", "executor")
        return _between(*((output / "logs" / f"{one}.1.stdout.log").read_text() for one in names))

    def bare() -> float:
        script = f"'{date}' +%s%N; '{date}' +%s%N; :"
        argv = ["/bin/sh", "-c", script]
        told = subprocess.run(argv, capture_output=True, text=True, check=True)
        return _between(*told.stdout.split())

    own, floor = interleaved(bench.times(60), ours, bare)
    floor_is = "sh -c 'date +%s%N; date +%s%N', both spawned"
    note = "between the two stages a transition and two checkpoints are made durable"
    return [Row(label=label, ours=own, floor=floor, floor_is=floor_is, note=note)]


def _between(first: str, second: str) -> float:
    return (int(second) - int(first)) / 1e9


def output_memory_figure(bench: Bench) -> Sequence[Row]:
    """Measure the orchestrator's memory while a stage prints much, and while it prints nothing."""
    size_bytes = 64 * 1024**2 if bench.is_quick else 1024**3
    label = f"peak memory, a stage prints {size_bytes // 1024**2} MiB"
    if shutil.disk_usage(bench.scratch).free < FREE_BYTES_MIN:
        return [Row(label=label, trouble="skipped: less than 3 GiB free on the disk")]
    head = shutil.which("head") or "head"

    def peak(bytes_printed: int) -> float:
        output = bench.fresh()
        argv = (
            *(*bench.command, str(output), *PASSING_FLAGS, "--timeout-ms", "300000"),
            *("--manager-bin", head, "--manager-arg", "-c"),
            *("--manager-arg", str(bytes_printed), "--manager-arg", "/dev/zero"),
            *("--executor-bin", bench.true),
        )
        rss_bytes = launch(argv).rss_bytes
        if (output / "logs" / "manager.1.stdout.log").stat().st_size != bytes_printed:
            raise RuntimeError("the stage's output is not all there")
        shutil.rmtree(output)
        os.sync()
        return rss_bytes

    own, floor = interleaved(
        bench.times(3, quick=1), lambda: peak(size_bytes), lambda: peak(0), warm_up=False
    )
    floor_is = "the same run, the stage prints nothing"
    return [Row(label=label, unit=Unit.BYTES, ours=own, floor=floor, floor_is=floor_is)]
