"""Figures of a stage's output: through the keeper's pipe, next to a file of its own."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from typing import Final

from tests.bench.figure import Bench, Row
from tests.bench.measure import interleaved, timed
from tests.bench.runs_of_ours import run_once, stage

MEGABYTE: Final = 1024**2
FREE_BYTES_MIN: Final = 3 * 1024**3


def output_figure(bench: Bench) -> Sequence[Row]:
    """Measure a stage that prints, in large pieces and line by line."""
    head, seq = (shutil.which(name) or name for name in ("head", "seq"))
    size_bytes = 16 * MEGABYTE if bench.is_quick else 256 * MEGABYTE
    lines = 200_000 if bench.is_quick else 5_000_000
    if shutil.disk_usage(bench.scratch).free < FREE_BYTES_MIN:
        return [Row(label="a stage that prints", trouble="skipped: less than 3 GiB free")]
    return [
        _row(bench, f"{size_bytes // MEGABYTE} MiB", (head, "-c", str(size_bytes), "/dev/zero")),
        _row(bench, f"{lines} lines", (seq, str(lines))),
    ]


def _row(bench: Bench, what: str, argv: tuple[str, ...]) -> Row:
    def ours() -> float:
        output = bench.fresh()
        report = run_once(output, stage(*argv), stage("true"))
        took_ms = report.stage_executions[0].duration_ms
        shutil.rmtree(output)
        return took_ms / 1000

    def bare() -> float:
        path = bench.scratch / "printed"
        with path.open("wb") as file:
            seconds = timed(lambda: subprocess.run(argv, stdout=file, check=True))
        path.unlink()
        return seconds

    own, floor = interleaved(bench.times(5, quick=1), ours, bare)
    return Row(
        label=f"a stage that prints {what}",
        ours=own,
        floor=floor,
        floor_is="the same program, its output a file",
        note="the attempt alone, from its start to its end, through a pipe and the keeper",
    )
