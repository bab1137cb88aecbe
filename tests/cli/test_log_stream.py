"""The log on stderr while its reader is stopped, and when it reads again."""

from __future__ import annotations

import errno
import json
import os
import select
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fsm_orchestrator.cli import log_stream
from fsm_orchestrator.cli.log_stream import WAITS_SECONDS_MAX, LogStream
from fsm_orchestrator.processes.interrupts import Interrupts
from tests.support.command import (
    COMMAND,
    EVENTS,
    PASSING,
    REPORT,
    environment,
    events_of,
    read_json,
    stages,
)
from tests.support.patience import PATIENCE_SECONDS, wait_until

LINE = "x" * 999 + "\n"


class Pipe:
    """A pipe, a log that is written to it, and the text that was read from it."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()
        os.set_blocking(self.reader, False)
        self.stream = LogStream(self.writer, lambda count: f"{count} lost\n")

    def read(self) -> list[str]:
        """Return what can be read now, which ends with a whole line where the log has caught up."""
        data = bytearray()
        while select.select([self.reader], [], [], 0)[0]:
            data += os.read(self.reader, 65536)
        return data.decode().splitlines(keepends=True)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    """Yield a log on a pipe."""
    pipe = Pipe()
    yield pipe
    os.close(pipe.reader)
    os.close(pipe.writer)


@pytest.fixture
def interrupts() -> Iterator[Interrupts]:
    """Yield interrupts without requests to end."""
    interrupts = Interrupts()
    yield interrupts
    interrupts.close()


def test_short_standstill_loses_nothing(pipe: Pipe) -> None:
    """The contents of pipe and queue are shown in order once the reader is back."""
    lines = [f"{number:<99}\n" for number in range(1000)]
    for line in lines:
        pipe.stream.write(line)
    seen = pipe.read()
    pipe.stream.write("next\n")
    assert "".join(seen + pipe.read()) == "".join([*lines, "next\n"])


def test_lost_lines_are_counted_and_the_rest_goes_on(pipe: Pipe) -> None:
    """A returning reader gets the queued lines, the number of lost lines, and the next lines."""
    for _ in range(1000):
        pipe.stream.write(LINE)
    seen = "".join(pipe.read())
    pipe.stream.write("after\n")  # sends the queue; it was written while the reader was behind
    seen += "".join(pipe.read())
    pipe.stream.write("later\n")
    lines = (seen + "".join(pipe.read())).splitlines(keepends=True)
    (gap,) = (line for line in lines if line.endswith("lost\n"))
    lost = int(gap.removesuffix(" lost\n"))
    shown = [line for line in lines if line != gap]
    assert set(shown) <= {LINE, "after\n", "later\n"}
    assert len(shown) + lost == 1002
    assert 0 < lost < 1000
    assert set(lines[: lines.index(gap)]) == {LINE}
    assert lines[-1] == "later\n"


def test_last_lines_are_waited_for(pipe: Pipe, interrupts: Interrupts) -> None:
    """A reader that comes after the run gets the end of the log, and the number of lost lines."""
    for _ in range(1000):
        pipe.stream.write(LINE)
    os.set_blocking(pipe.reader, True)
    with subprocess.Popen(
        ["/bin/sh", "-c", "sleep 0.3; cat"], stdin=pipe.reader, stdout=subprocess.PIPE
    ) as cat:
        pipe.stream.finish(interrupts)
        os.close(pipe.writer)
        *shown, gap = cat.communicate(timeout=PATIENCE_SECONDS)[0].decode().splitlines()
    pipe.writer = os.dup(pipe.reader)
    assert len(shown) + int(gap.removesuffix(" lost")) == 1000


def test_waits_are_bounded_in_all(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that takes a little at a time delays a run no longer than documented."""
    waited = 0.0

    class SlowPoll:
        """A poll that reports a reader's progress at the last moment of each wait."""

        def register(self, *_: int) -> None:
            """Do nothing."""

        def poll(self, timeout_ms: float) -> list[tuple[int, int]]:
            nonlocal waited
            waited += timeout_ms / 1000
            if timeout_ms:
                os.read(pipe.reader, 4096)
            elif not select.select([], [pipe.writer], [], 0)[1]:
                return []
            return [(pipe.writer, select.POLLOUT)]

    monkeypatch.setattr("select.poll", SlowPoll)
    monkeypatch.setattr("time.monotonic", lambda: waited)
    for _ in range(5000):
        pipe.stream.write(LINE)
    assert WAITS_SECONDS_MAX - 0.01 < waited < WAITS_SECONDS_MAX + 0.01


def test_full_disk_is_no_end_of_the_log(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the disk is full lines are queued; when it has room again they are written."""
    monkeypatch.setattr("os.write", _no_space)
    pipe.stream.write("one\n")
    pipe.stream.write("two\n")
    monkeypatch.undo()
    pipe.stream.write("three\n")
    assert pipe.read() == ["one\n", "two\n", "three\n"]


def _no_space(*_: object) -> int:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_reader_that_is_gone_costs_nothing(interrupts: Interrupts) -> None:
    """After a broken pipe nothing is kept, and the log waits for nobody."""
    reader, writer = os.pipe()
    stream = LogStream(writer, str)
    os.close(reader)
    for _ in range(1000):
        stream.write(LINE)
    began = time.monotonic()
    stream.finish(interrupts)
    assert time.monotonic() - began < log_stream.LAST_PATIENCE_SECONDS
    os.close(writer)


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_run_says_how_many_lines_were_not_shown(tmp_path: Path, log_format: str) -> None:
    """A log that is read only after the run has ended accounts for each of its lines."""
    script = f"yes {'x' * 100} | head -n 3000"
    process = subprocess.Popen(
        [*COMMAND, "out", *PASSING, *stages(script), "--log-output", "--log-format", log_format],
        cwd=tmp_path,
        env=environment(XDG_STATE_HOME=str(tmp_path / "state")),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    events, report = (tmp_path / "out" / name for name in (EVENTS, REPORT))
    wait_until(lambda: report.exists() and read_json(report)["terminal_state"] == "done")
    result, log = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0
    assert "done: " in result.splitlines()[0]
    lines = log.splitlines()
    printed = sum(event["event"] == "stage.output" for event in events_of(tmp_path / "out"))
    assert printed == 3000
    if log_format == "json":
        found = [json.loads(line) for line in lines]
        gaps = [one for one in found if one["event"] == "log.gap"]
        assert len(gaps) == 1
        message, lost = gaps[0]["message"], gaps[0]["lines"]
        shown = [one for one in events_of(tmp_path / "out") if one["level"] != "debug"]
        assert len(lines) - 1 + lost == len(shown)
    else:
        message = next(line for line in lines if "not shown" in line)
        lost = int(message.split()[0])
        after_gate = [line for line in lines if line.startswith("manager | ")]
        assert printed - 10 <= len(after_gate) + lost <= printed + 10
    assert message == f"{lost} lines of the log were not shown; they are in {events}"
