"""A lease that is over stays over, for its holder, for a run, and for the keepers that obey it."""

from __future__ import annotations

import math
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fsm_orchestrator import Interrupts, KeeperPool, Lease
from fsm_orchestrator.errors import LeaseError
from fsm_orchestrator.model.endings import (
    Exited,
    Interrupted,
    NotSpawned,
    Signaled,
    SpawnFailure,
    stop_reason_of,
)
from fsm_orchestrator.processes import runner as runners
from fsm_orchestrator.processes.command import Command
from fsm_orchestrator.processes.polling import readable
from fsm_orchestrator.processes.runner import ProcessRunner
from fsm_orchestrator.vocabulary import Containment, StopReason
from tests.processes.runner_cases import AMPLE, Bench, is_alive
from tests.support.patience import PATIENCE_SECONDS, wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a timer of Linux")
LONG_SECONDS = PATIENCE_SECONDS * 2
FAMILY = (
    "trap '' TERM; setsid sleep 600 & echo $! >&2; sleep 600 & echo $! >&2; echo ready >&2; wait"
)


def ends_in(descriptor: int, seconds: float) -> bool:
    """Return True if a descriptor is readable within the given time."""
    return bool(readable([descriptor], time.monotonic() + seconds))


# The holder's side


def test_what_has_run_out_stays_over() -> None:
    """No renewal revives a lease that has run out, whenever the question was asked."""
    with Lease(0.02) as lease:
        asked_at = Lease.now()
        assert ends_in(lease.fileno(), PATIENCE_SECONDS)
        assert lease.is_over
        assert not lease.renew(asked_at)
        assert not lease.renew(Lease.now())
        assert lease.is_over


def test_renewal_counts_from_the_question() -> None:
    """A late answer to an earlier question does not shorten a renewal by a later one."""
    with Lease(LONG_SECONDS) as lease:
        early, late = Lease.now() - LONG_SECONDS / 2, Lease.now()
        assert lease.renew(late)
        assert lease.renew(early)
        assert not lease.is_over
    with Lease(0.05) as lease:
        began = Lease.now()
        assert lease.renew(began)
        assert ends_in(lease.fileno(), PATIENCE_SECONDS)
        assert Lease.now() - began >= 0.05


def test_renewal_that_meets_the_end_loses(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lease that runs out between the check and the renewal of its timer is permanently over."""
    with Lease(0.01) as lease:
        assert ends_in(lease.fileno(), PATIENCE_SECONDS)
        monkeypatch.setattr(Lease, "_has_run_out", lambda _: False)  # still true a moment before
        assert not lease.renew(Lease.now())
        monkeypatch.undo()
        assert lease.is_over
        assert ends_in(lease.fileno(), 0)


def test_renewals_and_the_end_never_both_win() -> None:
    """After a refused renewal the lease is over, however close the two come."""
    for _ in range(200):
        with Lease(0.001) as lease:
            while lease.renew(Lease.now() - 0.0009):
                pass
            assert lease.is_over
            assert ends_in(lease.fileno(), 0)


@pytest.mark.parametrize("way", ["end", "close"])
def test_lease_can_be_ended_at_once(way: str) -> None:
    """The end of a lease is visible to those to whom it was lent."""
    lease = Lease(LONG_SECONDS)
    lent = lease.lend()
    try:
        assert not ends_in(lent, 0)
        getattr(lease, way)()
        assert ends_in(lent, PATIENCE_SECONDS)
        assert lease.is_over
        assert not lease.renew(Lease.now())
    finally:
        os.close(lent)
        lease.close()
    lease.close()
    lease.end()
    with pytest.raises(LeaseError, match="is closed"):
        lease.lend()


@pytest.mark.parametrize("seconds", [0, -1.0, math.nan, math.inf, 86_401])
def test_lease_has_a_time(seconds: float) -> None:
    """A lease cannot be endless, or over before it begins."""
    with pytest.raises(LeaseError, match="cannot last"):
        Lease(seconds)


@pytest.mark.parametrize("asked_at", [math.nan, math.inf, 1e12])
def test_nothing_was_asked_in_the_future(asked_at: float) -> None:
    """A time in the future is refused: a time of another clock would extend the lease by years."""
    with Lease(LONG_SECONDS) as lease, pytest.raises(LeaseError, match="have been asked") as raised:
        lease.renew(asked_at)
    assert "Lease.now()" in raised.value.remedy


def test_other_systems_have_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other systems report that they have no leases: nothing there would keep one."""
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(LeaseError, match="no leases on darwin") as raised:
        Lease(1)
    assert raised.value.exit_code == 2


# The run's side


def test_interrupts_that_hold_a_lease_hear_that_it_is_lost() -> None:
    """The loss wakes a waiting thread, once; it comes before all other requests."""
    with Lease(LONG_SECONDS) as lease, Interrupts() as interrupts:
        lent = lease.lend()
        interrupts.hold(lent)
        assert (interrupts.first, interrupts.count) == (None, 0)
        interrupts.deliver(signal.SIGINT)
        assert ends_in(interrupts.fileno(), 0)
        interrupts.drain()
        assert not ends_in(interrupts.fileno(), 0)
        threading.Timer(0.05, lease.end).start()
        assert ends_in(interrupts.fileno(), PATIENCE_SECONDS)
        assert interrupts.first == signal.SIGTERM
        assert stop_reason_of(interrupts.first) is StopReason.LEASE_LOST
        assert interrupts.count == 2
        interrupts.drain()
        assert not ends_in(interrupts.fileno(), 0)
        interrupts.answer()
        assert interrupts.first is not None
        os.close(lent)


# The keeper's side


class Leased(Bench):
    """A runner whose processes a lease ends."""

    def __init__(self, directory: Path, lease: Lease) -> None:
        super().__init__(directory, Containment.SUBREAPER)
        self.lease = lease
        self.lent = lease.lend()
        self.runner.lease = self.lent


@pytest.fixture(name="bench")
def leased(tmp_path: Path) -> Iterator[Leased]:
    """Yield a runner with a long lease."""
    with Lease(LONG_SECONDS) as lease:
        bench = Leased(tmp_path, lease)
        yield bench
        bench.close()
        os.close(bench.lent)


def test_keeper_kills_everything_at_the_end_of_the_lease(bench: Leased) -> None:
    """The keeper kills detached, deaf and stopped processes, though the runner knows no lease."""
    ending = bench.in_thread(lambda: bench.shell(FAMILY))
    family = [bench.hear_pid(), bench.hear_pid()]
    assert bench.hear() == "ready"
    wait_until(lambda: bench.pid)
    os.kill(bench.pid, signal.SIGSTOP)
    bench.lease.end()
    report = ending.result(PATIENCE_SECONDS)
    assert not any(map(is_alive, (*family, bench.pid)))
    assert (report.end, report.survivors) == (Signaled(signal.SIGKILL), ())


def test_runner_that_knows_of_the_lease_says_so(bench: Leased) -> None:
    """The lease is reported, whether keeper or runner kills first, and there is no grace."""
    bench.interrupts.hold(bench.lent)
    ending = bench.in_thread(lambda: bench.shell(FAMILY))
    family = [bench.hear_pid(), bench.hear_pid()]
    assert bench.hear() == "ready"
    bench.lease.end()
    end = ending.result(PATIENCE_SECONDS).end
    assert isinstance(end, Interrupted)
    assert stop_reason_of(end.signum) is StopReason.LEASE_LOST
    assert end.by_then is None
    assert not any(map(is_alive, (*family, bench.pid)))


def test_nothing_is_started_once_it_is_over(bench: Leased) -> None:
    """The keeper refuses to start it, and a runner that knows of the lease reports why."""
    assert bench.shell("true").end == Exited(0)
    bench.lease.end()
    end = bench.shell("echo started").end
    assert isinstance(end, NotSpawned)
    assert end.failure is SpawnFailure.NOT_LEASED
    bench.interrupts.hold(bench.lent)
    assert isinstance(bench.shell("echo started").end, Interrupted)
    assert bench.output == b""


def test_nothing_is_started_where_nobody_would_keep_the_lease(
    bench: Leased, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No process starts without a keeper: it could work beside that of the run's next holder."""
    monkeypatch.setattr(runners, "start_keeper", lambda: "none here")
    end = bench.shell("echo started").end
    assert isinstance(end, NotSpawned)
    assert (end.failure, end.detail) == (
        SpawnFailure.NOT_LEASED,
        "nothing ends it in time: none here",
    )
    assert bench.output == b""


@pytest.mark.parametrize("is_over", [False, True])
def test_keeper_of_a_pool_is_free_of_the_lease_of_the_run_before(
    tmp_path: Path, *, is_over: bool
) -> None:
    """The pool's keeper serves the next run, whatever happened to the lease."""
    with Lease(LONG_SECONDS) as lease, KeeperPool() as keepers, Interrupts() as interrupts:
        pids = []
        for has_lease in (True, False, True):
            lent = lease.lend() if has_lease and not lease.is_over else None
            runner = ProcessRunner(interrupts, keepers=keepers, lease=lent)
            keeper = runner.keeper()
            assert keeper is not None
            pids.append(keeper.pid)
            with (tmp_path / "log").open("wb") as log:
                command = Command("true", (), "/", {}, os.defpath, log.fileno(), log.fileno())
                assert runner.run(command, AMPLE, Silent()).end == Exited(0)
            if is_over:
                lease.end()
            runner.close(is_recorded=True)
            if lent is not None:
                os.close(lent)
        assert len(set(pids)) == 1


class Silent:
    """A listener that reports nothing."""

    def started(self, pid: int, /) -> None:
        """Ignore the event."""

    def slow(self, elapsed_ms: int) -> None:
        """Ignore the event."""

    def suspended(self, paused_ms: int) -> None:
        """Ignore the event."""

    def ending(self, stopped: object, processes: tuple[int, ...], silent_seconds: float) -> None:
        """Ignore the event."""
