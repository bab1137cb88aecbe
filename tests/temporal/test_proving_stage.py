"""The stages of these tests, which report about themselves what they prove about others."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from typing import Final

import pytest

from tests.support.ledger import Ledger
from tests.support.patience import wait_until
from tests.support.proving_stage import ENDED, MET_ANOTHER

RUN: Final = "run-1"


def started(ledger: Ledger, attempt: int, seconds: float, *flags: str) -> subprocess.Popen[bytes]:
    """Start an attempt of the stage as the program would."""
    program, words = ledger.stage(seconds, *flags, tick_ms=5)
    env = {
        "ORCHESTRATOR_RUN_ID": RUN,
        "ORCHESTRATOR_STAGE": "manager",
        "ORCHESTRATOR_ATTEMPT": str(attempt),
        "ORCHESTRATOR_EPOCH": f"00000{attempt}.000001",
    }
    return subprocess.Popen([program, *words], env={**os.environ, **env})


def test_attempts_one_after_the_other_are_seen_as_such(tmp_path: Path) -> None:
    """Two attempts in sequence each have their own lines and have ended."""
    ledger = Ledger(tmp_path / "ledger")
    for number in (1, 2):
        assert started(ledger, number, 0.02, "family").wait() == ENDED
    seen = [(one.number, one.epoch, one.ended) for one in ledger.attempts(RUN)]
    assert seen == [(1, "000001.000001", True), (2, "000002.000001", True)]
    ledger.assert_one_at_a_time(RUN)


def test_attempt_that_meets_another_one_fails_and_is_told_of(tmp_path: Path) -> None:
    """A second attempt at the same time does not get the lock, fails, and is in the ledger."""
    ledger = Ledger(tmp_path / "ledger")
    first = started(ledger, 1, 600)
    wait_until(lambda: ledger.has_begun(RUN, "manager"))
    assert started(ledger, 2, 0).wait() == MET_ANOTHER
    first.kill()
    first.wait()
    with pytest.raises(AssertionError, match="another attempt was alive"):
        ledger.assert_one_at_a_time(RUN)


def test_attempt_is_alive_as_long_as_its_grandchild_is(tmp_path: Path) -> None:
    """An attempt is alive while its detached grandchild, which ignores SIGTERM, has the lock."""
    ledger = Ledger(tmp_path / "ledger")
    first = started(ledger, 1, 600, "family")
    wait_until(lambda: len(ledger.attempts(RUN)[0].pids) == 2 if ledger.attempts(RUN) else False)
    first.kill()
    first.wait()
    [grandchild] = ledger.attempts(RUN)[0].pids - {first.pid}
    os.kill(grandchild, signal.SIGTERM)
    assert started(ledger, 2, 0).wait() == MET_ANOTHER
    os.kill(grandchild, signal.SIGKILL)
    wait_until(lambda: started(ledger, 3, 0).wait() == ENDED)


def test_two_without_locks_are_seen_by_the_clock(tmp_path: Path) -> None:
    """Two attempts without locks are found by their overlapping times."""
    ledger = Ledger(tmp_path / "ledger")
    with started(ledger, 1, 600, "lockless") as first:
        wait_until(lambda: ledger.has_begun(RUN, "manager"))
        assert started(ledger, 2, 0, "lockless").wait() == ENDED
        last = ledger.attempts(RUN)[0].last
        wait_until(lambda: ledger.attempts(RUN)[0].last > last)
        first.kill()
    with pytest.raises(AssertionError, match="two at once"):
        ledger.assert_one_at_a_time(RUN)
