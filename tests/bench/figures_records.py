"""Figures of what is made durable, one at a time: a transition, a checkpoint, a report."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any
from unittest import mock

from fsm_orchestrator.constants import CHECKPOINT_FILE, REPORT_FILE
from fsm_orchestrator.disk.lock import OutputLock
from fsm_orchestrator.engine.driver import Driver
from fsm_orchestrator.engine.machine import RunMachine
from fsm_orchestrator.record import checkpoint_reader
from fsm_orchestrator.record.event_log import EventFile
from fsm_orchestrator.record.recorder import Recorder
from tests.bench.bare import replace_file
from tests.bench.figure import Bench, Row
from tests.bench.measure import interleaved, timed
from tests.bench.runs_of_ours import run_true


def transition_figure(bench: Bench) -> Sequence[Row]:
    """Every transition of real runs, from the machine's trigger until it is durable.

    Each is followed by its floor: one durable write of all the bytes that it wrote.
    """
    run_true(bench.fresh(), bench.true)
    own: list[float] = []
    floor: list[float] = []
    began = 0.0
    real_trigger, real_before = RunMachine._trigger, Driver._before_transition
    outputs = [bench.fresh() for _ in range(bench.times(50, quick=2))]
    bare = bench.scratch / "bare"

    def triggered(machine: RunMachine, *args: Any) -> None:
        nonlocal began
        began = time.perf_counter()
        real_trigger(machine, *args)

    def before_transition(driver: Driver, *args: Any) -> None:
        real_before(driver, *args)
        own.append(time.perf_counter() - began)
        names = (CHECKPOINT_FILE, REPORT_FILE)
        data = b"x" * sum((output / name).stat().st_size for name in names)
        floor.append(timed(lambda: replace_file(bare, data)))

    with (
        mock.patch.object(RunMachine, "_trigger", triggered),
        mock.patch.object(Driver, "_before_transition", before_transition),
    ):
        for output in outputs:
            run_true(output, bench.true)
    return [
        Row(
            label="transition, trigger to durable",
            ours=own,
            floor=floor,
            floor_is="one write, fsync, rename, directory fsync of its bytes",
            note="a transition makes two files durable: the checkpoint, then the report",
        )
    ]


def records_figure(bench: Bench) -> Sequence[Row]:
    """The checkpoint and the report of a finished run, each written again."""
    output = bench.fresh()
    run_true(output, bench.true)
    home = OutputLock.acquire(output)
    events = EventFile(home)
    recorder = Recorder(home, checkpoint_reader.load(output), lambda: True, events)
    bare = bench.scratch / "bare"
    rows = []
    for label, name, write in (
        ("checkpoint write", CHECKPOINT_FILE, recorder.refresh),
        ("report write", REPORT_FILE, recorder.write_report_if_possible),
    ):
        data = (output / name).read_bytes()
        own, floor = interleaved(
            bench.times(100, quick=5),
            lambda write=write: timed(write),  # type: ignore[misc]
            lambda data=data: timed(lambda: replace_file(bare, data)),  # type: ignore[misc]
        )
        floor_is = f"write, fsync, rename, directory fsync of {len(data)} bytes"
        rows.append(Row(label=label, ours=own, floor=floor, floor_is=floor_is))
    events.close()
    return rows
