"""A GitHub for the tests of gates: a repository, made once and copied, and a stand-in for `gh`."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.gates.evidence_cases import repository
from tests.gates.github_cases import StandIn


@pytest.fixture(scope="session")
def committed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Return a repository with one commit, and the commit."""
    folder = tmp_path_factory.mktemp("committed")
    commit = repository(folder)
    shutil.rmtree(folder / ".git" / "hooks", ignore_errors=True)
    return folder, commit


@pytest.fixture
def github(tmp_path: Path, committed: tuple[Path, str]) -> StandIn:
    """Return a GitHub that knows the commit of a clean work tree, and nothing about it."""
    folder, commit = committed
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    return StandIn(tmp_path, commit)
