"""Figures of single parts: a transition made durable, a checkpoint, a report, a JSON artifact."""

from __future__ import annotations

import hashlib
import itertools
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Final
from unittest import mock

from fsm_orchestrator.constants import CHECKPOINT_FILE, REPORT_FILE
from fsm_orchestrator.disk.lock import OutputLock
from fsm_orchestrator.engine.driver import Driver
from fsm_orchestrator.engine.machine import RunMachine
from fsm_orchestrator.record import checkpoint_reader
from fsm_orchestrator.record.chain import Chain, genesis
from fsm_orchestrator.record.event_file import EventFile
from fsm_orchestrator.record.recorder import Recorder
from fsm_orchestrator.stages.artifacts import judge
from tests.bench.bare import replace_file
from tests.bench.figure import Bench, Row
from tests.bench.measure import interleaved, timed
from tests.bench.runs_of_ours import run_true


def transition_figure(bench: Bench) -> Sequence[Row]:
    """Measure every transition of real runs, from the machine's trigger until it is durable.

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
    """Measure rewriting the checkpoint and the report of a finished run."""
    output = bench.fresh()
    run_true(output, bench.true)
    home = OutputLock.acquire(output)
    events = EventFile(home, Chain(genesis("run", None)))
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


# JSON artifacts

MEGABYTE: Final = 1_000_000
JSON_TARGET: Final = 1.5


def json_figure(bench: Bench) -> Sequence[Row]:
    """Measure judging a JSON artifact of each kind, next to reading, digesting and parsing it.

    The parser builds the values, which judging does not need: it is the fastest that does.
    """
    try:
        loads = import_module("orjson").loads
    except ImportError:
        return [Row(label="JSON artifacts", trouble="not available: orjson is not installed")]
    rows = []
    for label, (megabytes, pieces) in _KINDS_OF_JSON.items():
        path = bench.scratch / "artifact.json"
        size_bytes = (1 if bench.is_quick else megabytes) * MEGABYTE
        _write_list(path, pieces(), size_bytes)
        verdict = judge([str(path)], None, allow_stale=True)
        if not verdict.is_good:
            raise RuntimeError(f"the artifact was refused: {verdict.summary()}")

        def parse(path: Path = path) -> None:
            data = path.read_bytes()
            hashlib.sha256(data).hexdigest()
            loads(data)

        own, again, floor = interleaved(
            bench.times(5 if megabytes > 1 else 50, quick=1),
            lambda path=path: timed(lambda: judge([str(path)], None, allow_stale=True)),  # type: ignore[misc]
            lambda path=path, known=verdict.good: timed(  # type: ignore[misc]
                lambda: judge([str(path)], None, allow_stale=True, known=known)
            ),
            lambda parse=parse: timed(parse),  # type: ignore[misc]
        )
        floor_is, said = "read, sha256, orjson.loads", f"JSON artifact, {label}"
        rows.append(Row(label=said, ours=own, floor=floor, floor_is=floor_is, target=JSON_TARGET))
        rows.append(Row(label=f"{said}, again", ours=again, floor=floor, floor_is=floor_is))
        path.unlink()
    return rows


def _write_list(path: Path, pieces: Iterator[bytes], size_bytes: int) -> None:
    """Write a list that repeats some values until it has the size."""
    some = b",".join(itertools.islice(pieces, 1000))
    number = max(1, size_bytes // len(some))
    with path.open("wb") as file:
        file.write(b"[")
        for _ in range(number):
            file.write(some + b",\n")
        file.write(b"null]\n")


def _objects() -> Iterator[bytes]:
    for number in itertools.count():
        yield b'{"id": %d, "path": "src/module_%d.py", "ok": true, "tags": ["a"]}' % (
            number,
            number,
        )


def _strings() -> Iterator[bytes]:
    for number in itertools.count():
        yield f'"line {number}: na\u00efve, \u65e5\u672c\u8a9e, \\"quoted\\""'.encode()


def _numbers() -> Iterator[bytes]:
    numbers = random.Random(1)  # noqa: S311 - the same numbers each time
    while True:
        yield b"%d" % numbers.randrange(10 ** numbers.randrange(1, 12))
        yield repr(numbers.random() * 1e6).encode()


def _deep() -> Iterator[bytes]:
    return itertools.repeat(b"[" * 500 + b"]" * 500)


def _wide() -> Iterator[bytes]:
    yield b"{" + b",".join(b'"key %d": %d' % (one, one) for one in range(50_000)) + b"}"


_KINDS_OF_JSON: Final[Mapping[str, tuple[int, Callable[[], Iterator[bytes]]]]] = {
    "1 MB of objects": (1, _objects),
    "100 MB of strings": (100, _strings),
    "100 MB of numbers": (100, _numbers),
    "20 MB, 500 deep": (20, _deep),
    "20 MB of wide objects": (20, _wide),
}
