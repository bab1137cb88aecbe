"""Runs of every outcome, each made once in a session and only read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.bundle.proof_cases import Whole, make_whole
from tests.support.outcome_runs import OUTCOMES

Runs = Callable[[str], Path]


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """Return a function from an outcome's name to the folder of its run; its directory is `out`."""
    made: dict[str, Path] = {}

    def folder_of(outcome: str) -> Path:
        if outcome not in made:
            made[outcome] = tmp_path_factory.mktemp("run")
            OUTCOMES[outcome].make(made[outcome])
        return made[outcome]

    return folder_of


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """Return a run with evidence, approvals and artifacts, and its signed bundle."""
    return make_whole(tmp_path_factory.mktemp("whole"))
