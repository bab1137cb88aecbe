"""A deadline of the tests is short on an idle machine, and is extended on a busy one."""

from __future__ import annotations

import time

import pytest

from tests.support import patience
from tests.support.patience import Deadline


def test_deadline_is_as_long_as_the_machine_is_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not extended on an idle machine; otherwise the worst slowness counts."""
    began = time.monotonic()
    monkeypatch.setattr(patience, "slowness", lambda: 1.0)
    assert not Deadline(60).is_over
    assert Deadline(60, began - 61).is_over
    found = iter((5.0, 2.0, 2.0))
    monkeypatch.setattr(patience, "slowness", lambda: next(found))
    late = Deadline(60, began - 61)
    assert not late.is_over
    assert not late.is_over
    assert Deadline(60, began - 200).is_over


def test_slowness_is_at_least_one() -> None:
    """No machine is faster than an idle one."""
    assert patience.slowness() >= 1.0
