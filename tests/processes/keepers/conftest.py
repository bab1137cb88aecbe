"""Fixtures: private state, long waits and the processes that a test starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from fsm_orchestrator.processes import keeper_messages, leftovers
from tests.processes.keepers.keeper_cases import STUCK_SECONDS


@pytest.fixture(autouse=True)
def own_desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Use separate private state for each test."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture(autouse=True)
def long_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every wait for a keeper that does not end much longer than anything else takes."""
    monkeypatch.setattr(keeper_messages, "FINISH_SECONDS_MAX", STUCK_SECONDS)
    monkeypatch.setattr(leftovers, "KEEPER_SECONDS_MAX", STUCK_SECONDS)
