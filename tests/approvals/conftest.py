"""Keys that are made once a session, and runs that wait for people."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.approvals.approval_cases import begin, line, make_key, project

PEOPLE = ("ann", "bob", "cat", "eve")


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return the keys of four people, by their names."""
    folder = tmp_path_factory.mktemp("keys")
    return {name: make_key(folder, name) for name in PEOPLE}


@pytest.fixture(scope="session")
def signers(keys: dict[str, Path]) -> str:
    """Return a file of signers: everybody but eve."""
    return "".join(line(keys[name], f"{name}@example.org") for name in PEOPLE[:3])


@pytest.fixture(scope="session")
def _waiting(tmp_path_factory: pytest.TempPathFactory, signers: str) -> Path:
    folder = project(tmp_path_factory.mktemp("waiting"))
    (folder / "signers").write_text(signers)
    assert begin(folder).code == 3
    shutil.copytree(folder / "out" / "approvals", folder / "asked")
    return folder


@pytest.fixture
def waiting(_waiting: Path, signers: str) -> Path:
    """Return a project whose run waits for one approval, reset to its state after the request.

    All tests share it, and may change answers, plan and signers.
    """
    shutil.rmtree(_waiting / "out" / "approvals")
    shutil.copytree(_waiting / "asked", _waiting / "out" / "approvals")
    (_waiting / "plan.md").write_text("the plan\n")
    (_waiting / "signers").write_text(signers)
    return _waiting
