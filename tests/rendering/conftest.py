"""Fixtures that the tests of pages share."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def private_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Use one private state for runs and their pages."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
