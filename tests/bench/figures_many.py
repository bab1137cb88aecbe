"""Figures of what grows: many runs in one directory, many invocations of one run."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fsm_orchestrator import RunConfig, run
from fsm_orchestrator.constants import CHECKPOINT_FILE, REPORT_FILE
from tests.bench.figure import Bench, Row, Unit
from tests.bench.measure import Launched, interleaved, launch, launch_any
from tests.bench.runs_of_ours import PASSED, run_true, stage

READ_ALL = f"""
import json, pathlib, sys
for path in pathlib.Path(sys.argv[1]).glob("*/{REPORT_FILE}"):
    json.loads(path.read_bytes())
"""


def status_many_figure(bench: Bench) -> Sequence[Row]:
    """`status` of a directory that holds many runs."""
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
    """One real run, many times over, with an id for each."""
    original = bench.fresh()
    run_id = run_true(original, bench.true).run_id
    for index in range(number):
        copy = parent / f"run-{index:04}"
        shutil.copytree(original, copy)
        for path in copy.glob("orchestrator_*"):
            other_id = f"{run_id[:-4]}{index:04x}"
            path.write_bytes(path.read_bytes().replace(run_id.encode(), other_id.encode()))


def resume_history_figure(bench: Bench) -> Sequence[Row]:
    """A resume of a run that was invoked often before."""
    number = bench.times(100, quick=10)
    false = shutil.which("false") or "/bin/false"
    original = bench.fresh()
    run(RunConfig(output_directory=original, gates=PASSED, stages={"executor": stage(false)}))
    document = json.loads((original / CHECKPOINT_FILE).read_bytes())

    def resumed(earlier: int) -> Launched:
        output = bench.fresh()
        shutil.copytree(original, output)
        (output / CHECKPOINT_FILE).write_bytes(_with_history(document, earlier))
        done = launch((*bench.command, str(output), "--resume"), expected=1)
        told = json.loads((output / REPORT_FILE).read_bytes())
        if len(told["earlier_invocations"]) + told["invocations_moved"] != earlier:
            raise RuntimeError("the history was not kept")
        return done

    own, floor = interleaved(bench.times(10, quick=1), lambda: resumed(number), lambda: resumed(1))
    label = f"resume after {number} invocations"
    return _time_and_memory(label, own, floor, "resume after 1 invocation")


def _with_history(document: dict[str, Any], length: int) -> bytes:
    """The checkpoint of a run that failed, was resumed, and failed each time."""
    [first] = document["invocations"]
    walk = first["transitions"]
    [execution] = first["stage_executions"]
    visits = [first]
    for number in range(2, length + 1):
        seq = (number - 1) * len(walk) + 1
        steps = [{**step, "seq": seq + index} for index, step in enumerate(walk)]
        steps[0] |= {"trigger": "resume", "source": "failed"}
        again = {
            "number": number,
            "execution_mode": "resume",
            "transitions": steps,
            "stage_executions": [{**execution, "attempt": number}],
        }
        visits.append({**first, **again})
    return json.dumps({**document, "invocations": visits}).encode()


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
