"""An event while a process is being ended is noticed, whichever two looks it comes between."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Final

import pytest

from fsm_orchestrator.model.endings import Lost, TimedOut
from fsm_orchestrator.model.limits import Limits
from fsm_orchestrator.processes import polling
from fsm_orchestrator.processes.keeper_client import LOST
from fsm_orchestrator.processes.observing import ProcessReport
from fsm_orchestrator.vocabulary import Containment
from tests.processes.runner_cases import WATCHDOG_SECONDS, Bench, is_alive
from tests.support.patience import wait_until

TIMEOUT_MS: Final = 20
PATIENT: Final = Limits(timeout_ms=TIMEOUT_MS, kill_grace_ms=600_000)
"""A grace longer than the watchdog waits: an event that is not noticed at once hangs the test."""
GENTLY, BY_FORCE = (TimedOut(TIMEOUT_MS, was_killed=was_killed) for was_killed in (False, True))
POSITIONS_MAX: Final = 50

ENDS_WHEN_TOLD: Final = "trap '' TERM; echo ready >&2; read word <go-on"
LEAVES_A_WORKER: Final = """
import os, signal

def hear(*_):
    open("heard", "x").close()
    os._exit(0)

signal.signal(signal.SIGTERM, signal.SIG_IGN)
os.write(2, b"ready\\n")
open("go-on").read()
reader, writer = os.pipe()
if os.fork() == 0:
    signal.signal(signal.SIGTERM, hear)
    os.write(writer, b".")
    while True:
        signal.pause()
os.read(reader, 1)
"""


class Looks:
    """`select` for polling.py: something happens before a look, after one, or before a wait.

    Positions count from the first look at a process that is about to be ended, two for each; the
    last of them is before the first look that waits.

    Attributes:
        is_last: True if it happened at the last position.
    """

    POLLIN = select.POLLIN

    def __init__(self, bench: Bench, position: int, happen: Callable[[], object]) -> None:
        self.is_last = False
        self._bench = bench
        self._left = position
        self._happen: Callable[[], object] | None = happen

    def poll(self) -> Look:
        """Return what `select.poll()` returns, watched by this object."""
        return Look(self)

    def pass_by(self, *, is_wait: bool) -> None:
        """Make it happen, if it is time."""
        if not self._bench.endings or self._happen is None:
            return
        if is_wait or self._left == 0:
            happen, self._happen = self._happen, None
            self.is_last = is_wait
            happen()
        self._left -= 1


class Look:
    """One look at some descriptors."""

    def __init__(self, looks: Looks) -> None:
        self._looks = looks
        self._poll = select.poll()
        self.register = self._poll.register

    def poll(self, wait_ms: float) -> list[tuple[int, int]]:
        """Take the look."""
        self._looks.pass_by(is_wait=wait_ms > 0)
        ready = self._poll.poll(wait_ms)
        self._looks.pass_by(is_wait=False)
        return ready


def reports(
    monkeypatch: pytest.MonkeyPatch,
    directory: Path,
    containment: Containment,
    run: Callable[[Bench], ProcessReport],
    happen: Callable[[Bench], object],
) -> Iterator[ProcessReport]:
    """Run a process to its time limit, again and again, with an event at each position.

    The process must not end before that.
    """
    for position in range(POSITIONS_MAX):
        place = directory / str(position)
        place.mkdir()
        os.mkfifo(place / "go-on")
        with contextlib.closing(Bench(place, containment)) as bench:
            looks = Looks(bench, position, partial(happen, bench))
            monkeypatch.setattr(polling, "select", looks)
            ending = bench.in_thread(partial(run, bench))
            try:
                yield ending.result(WATCHDOG_SECONDS)
            finally:
                bench.interrupts.deliver(signal.SIGTERM)  # this ends a process that hangs
            monkeypatch.undo()
        if looks.is_last:
            return
    pytest.fail("it never waits")


def end_leader(bench: Bench) -> None:
    """Let the process end, and wait for that."""
    (bench.directory / "go-on").write_text("now\n")
    wait_until(lambda: not is_alive(bench.pid))


def kill_keeper(bench: Bench) -> None:
    """Kill the keeper, and wait for its end."""
    keeper = bench.runner.keeper()
    assert keeper is not None
    os.kill(keeper.pid, signal.SIGKILL)
    wait_until(lambda: not is_alive(keeper.pid))


def run_deaf(bench: Bench) -> ProcessReport:
    """Run a process that ends when it is asked to, and only then."""
    return bench.shell(ENDS_WHEN_TOLD, limits=PATIENT, then=bench.hear)


@pytest.mark.parametrize("containment", list(Containment))
def test_end_is_noticed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, containment: Containment
) -> None:
    """The wait for a process that ends in its grace ends with it."""
    found = list(reports(monkeypatch, tmp_path, containment, run_deaf, end_leader))
    assert [one.end for one in found] == [GENTLY] * len(found)
    assert len(found) > 2


@pytest.mark.parametrize("containment", list(Containment))
def test_second_request_is_noticed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, containment: Containment
) -> None:
    """A second request to end cuts the grace short."""

    def ask(bench: Bench) -> None:
        bench.interrupts.deliver(signal.SIGINT)

    found = list(reports(monkeypatch, tmp_path, containment, run_deaf, ask))
    assert [one.end for one in found] == [BY_FORCE] * len(found)


@pytest.mark.skipif(sys.platform != "linux", reason="needs a keeper")
def test_loss_of_the_keeper_is_noticed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A process whose keeper is gone has no grace, because it could get away."""
    found = list(reports(monkeypatch, tmp_path, Containment.SUBREAPER, run_deaf, kill_keeper))
    assert [one.end for one in found] == [Lost(LOST)] * len(found)


@pytest.mark.parametrize("containment", list(Containment))
def test_worker_that_is_started_last_hears_sigterm(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, containment: Containment
) -> None:
    """A process that a leader starts just before it ends gets SIGTERM before SIGKILL."""

    def run(bench: Bench) -> ProcessReport:
        return bench.python(LEAVES_A_WORKER, limits=PATIENT, then=bench.hear)

    found = list(reports(monkeypatch, tmp_path, containment, run, end_leader))
    assert [one.end for one in found] == [GENTLY] * len(found)
    heard = [(tmp_path / str(position) / "heard").exists() for position in range(len(found))]
    assert heard == [True] * len(found)
