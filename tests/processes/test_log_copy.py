"""The output of a process comes through a pipe: whole, counted, and safe from truncation."""

from __future__ import annotations

import errno
import os
import random
import sys
from pathlib import Path

import pytest

from fsm_orchestrator.model.endings import Exited, OutputExceeded
from fsm_orchestrator.model.limits import Limits
from fsm_orchestrator.processes.output_watch import LogLostError
from tests.processes.runner_cases import AMPLE, WATCHDOG_SECONDS, Bench, is_alive

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="/proc/self/fd")
REOPENINGS = {
    "a shell's redirection": "echo x > /dev/stdout",
    "tee": "echo x | tee /dev/fd/3 3>&1 >/dev/null",
    "a descriptor's own name": "echo x > /proc/self/fd/1",
    "truncate": "truncate -s 0 /dev/stdout 2>/dev/null; echo x",
    "dd": "echo x | dd of=/dev/stdout 2>/dev/null",
}
REWINDS = """
import os
os.write(1, b"one\\n")
for cut in (lambda: os.ftruncate(1, 0), lambda: os.lseek(1, 0, os.SEEK_SET),
            lambda: os.pwrite(1, b"over it", 0), lambda: os.truncate("/dev/stdout", 0)):
    try:
        cut()
    except OSError:
        os.write(1, b"refused\\n")
"""
MUCH = 8 * 1024**2
"""Many times what a pipe holds."""
PRINTS_MUCH = f"""
import os, random
left = memoryview(random.Random(1).randbytes({MUCH}))
while left:
    left = left[os.write(1, left):]
"""


@linux_only
@pytest.mark.parametrize("how", REOPENINGS)
def test_nothing_that_a_process_opens_cuts_what_it_printed(bench: Bench, how: str) -> None:
    """A process that opens its own output for writing appends to it."""
    report = bench.shell(f"echo one; {REOPENINGS[how]}; echo two")
    assert report.end == Exited(0)
    assert bench.output == b"one\nx\ntwo\n"


@linux_only
def test_output_can_not_be_cut_or_rewound(bench: Bench) -> None:
    """The output is no file: its length cannot be set, and its position cannot go back."""
    assert bench.python(REWINDS).end == Exited(0)
    assert bench.output == b"one\n" + 4 * b"refused\n"


@linux_only
def test_what_was_cut_away_counts_against_the_limit(bench: Bench) -> None:
    """A process that reopens its output before each line still exceeds its limit."""
    script = "while :; do echo 123456789 > /dev/stdout; done"
    report = bench.shell(script, limits=AMPLE._replace(output_limit_bytes=1000))
    assert report.end == OutputExceeded(1000)
    assert len(bench.output) == 1000
    assert report.kept_bytes == (1000, 0)


@linux_only
def test_what_is_printed_through_another_descriptor_is_no_silence(bench: Bench) -> None:
    """Lines printed to a reopened output keep a process from being idle."""
    script = "for each in 1 2 3 4 5 6; do sleep 0.25; echo $each > /dev/stdout; done"
    report = bench.shell(script, limits=AMPLE._replace(idle_timeout_ms=1000))
    assert report.end == Exited(0)
    assert bench.output == b"1\n2\n3\n4\n5\n6\n"


def test_all_that_was_printed_is_there_at_the_end(bench: Bench) -> None:
    """More than a pipe holds, printed at full speed, arrives whole and in order."""
    report = bench.python(PRINTS_MUCH)
    assert report.end == Exited(0)
    assert report.kept_bytes == (MUCH, 0)
    assert bench.output == random.Random(1).randbytes(MUCH)  # noqa: S311


def test_writer_that_is_nobodys_child_delays_nothing(bench: Bench) -> None:
    """A process that cannot be ended may hold the pipe open: its content at the end counts."""
    held: list[int] = []

    def hold() -> None:
        pid = bench.hear_pid()
        held.append(os.open(f"/proc/{pid}/fd/1", os.O_WRONLY))
        os.write(held[0], b"from outside\n")
        (bench.directory / "go-on").write_text("now\n")

    if sys.platform != "linux":
        pytest.skip("/proc/PID/fd")
    os.mkfifo(bench.directory / "go-on")
    script = "(echo $$ >&2); read line < go-on; echo last"  # its own outputs stay unchanged
    ending = bench.in_thread(lambda: bench.shell(script, then=hold))
    try:
        assert ending.result(WATCHDOG_SECONDS).end == Exited(0)
        assert bench.output == b"from outside\nlast\n"
        with pytest.raises(BrokenPipeError):
            os.write(held[0], b"too late\n")
    finally:
        for descriptor in held:
            os.close(descriptor)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a disk that is always full")
@pytest.mark.parametrize("script", ["echo much; exec sleep 600", "echo much"])
def test_log_that_takes_nothing_ends_the_process(bench: Bench, script: str) -> None:
    """A full disk is noticed, while the process runs or at its end, and the process is gone."""
    with Path("/dev/full").open("wb") as full:
        ending = bench.in_thread(lambda: bench.shell(script, stdout=full.fileno()))
        with pytest.raises(LogLostError) as lost:
            ending.result(WATCHDOG_SECONDS)
    assert (lost.value.number, lost.value.errno) == (0, errno.ENOSPC)
    assert not is_alive(bench.pid)


def test_keeper_is_as_small_after_much_as_after_little(bench: Bench) -> None:
    """The output that passes through the keeper leaves it no larger."""
    keeper = bench.runner.keeper()
    if keeper is None:
        pytest.skip("there is no keeper")
    peaks = []
    for script in ("echo little", f"head -c {8 * MUCH} /dev/zero"):
        bench.shell(script)
        status = Path(f"/proc/{keeper.pid}/status").read_text().split()
        peaks.append(int(status[status.index("VmHWM:") + 1]))
    assert peaks[1] - peaks[0] < 1024, "KiB"


def test_limit_is_the_sum_of_both_outputs(bench: Bench) -> None:
    """The limit applies to both outputs together."""
    with (bench.directory / "stderr").open("wb") as stderr:
        script = "head -c 700 /dev/zero; head -c 700 /dev/zero >&2; exec sleep 600"
        limits = Limits(timeout_ms=600_000, kill_grace_ms=0, output_limit_bytes=1000)
        report = bench.shell(script, limits=limits, stderr=stderr.fileno())
    assert report.end == OutputExceeded(1000)
    assert sum(report.kept_bytes) == 1000
    assert len(bench.output) + (bench.directory / "stderr").stat().st_size == 1000
