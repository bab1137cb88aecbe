"""The cost of confinement at a stage's start: building the cage, and a thread to enter it."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

from fsm_orchestrator.gates.sources.helper import SilentWatch
from fsm_orchestrator.model.limits import Limits
from fsm_orchestrator.processes import landlock, seccomp
from fsm_orchestrator.processes.cage_order import CageOrder
from fsm_orchestrator.processes.command import Command
from fsm_orchestrator.processes.interrupts import Interrupts
from fsm_orchestrator.processes.runner import ProcessRunner
from fsm_orchestrator.stages.confining import DEVICES
from tests.bench.figure import Bench, Row
from tests.bench.measure import interleaved

LABEL = "a stage's start, confined"
LIMITS = Limits(timeout_ms=30_000, kill_grace_ms=1_000)
ADDED_MS_MAX = 1


class _Starts(SilentWatch):
    """A watch that notes when a process was started."""

    at = 0.0

    def started(self, pid: int) -> None:
        """Record the time."""
        del pid
        self.at = time.perf_counter()


def confined_figure(bench: Bench) -> Sequence[Row]:
    """Measure starting `true` below one keeper, in a cage and without, in alternation."""
    if landlock.version() < landlock.ABI_SCOPES or not seccomp.is_supported():
        return [Row(label=LABEL, trouble="not available: this kernel does not hold all promises")]
    order = CageOrder(
        write=(str(bench.scratch), *filter(os.path.exists, DEVICES)),
        read=None,
        connect=(),
        bind=None,
        is_scoped=True,
        required=(),
    )
    runner = ProcessRunner(Interrupts())
    logs = [os.open(Path(bench.scratch, one), os.O_RDWR | os.O_CREAT) for one in ("out", "err")]

    def start(cage: CageOrder | None) -> float:
        observer, began = _Starts(), time.perf_counter()
        command = Command("/bin/true", (), "/", dict(os.environ), None, logs[0], logs[1], cage)
        runner.run(command, LIMITS, observer)
        return observer.at - began

    try:
        start(order)
        own, floor = interleaved(
            bench.times(200, quick=20), lambda: start(order), lambda: start(None)
        )
    finally:
        runner.close()
        for log in logs:
            os.close(log)
    added_ms = statistics.median(a - b for a, b in zip(own, floor, strict=True)) * 1000
    return [
        Row(
            label=LABEL,
            ours=own,
            floor=floor,
            floor_is="the same below the same keeper, not confined",
            note=f"it adds {added_ms:.2f} ms, of {ADDED_MS_MAX} that it may",
        )
    ]
