"""Runs that are made once and copied by tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.command.resume_cases import half_done
from tests.support.shared import made_once


@pytest.fixture(scope="session")
def half_done_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the directory of a half-done run, for tests that run nothing: they copy its `out`."""
    return made_once(tmp_path_factory.getbasetemp(), "half-done", half_done)
