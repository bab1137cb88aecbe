"""Runs and a server that the tests of a file share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.web.runs import make_runs
from tests.web.served import Served, served


@pytest.fixture(name="folder", scope="module")
def _folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the runs of a file, which are in `runs`."""
    folder = tmp_path_factory.mktemp("served")
    make_runs(folder)
    return folder


@pytest.fixture(name="server", scope="module")
def _server(folder: Path) -> Iterator[Served]:
    """Yield one server for all tests of a file except those that end it."""
    with served("runs", cwd=folder) as server:
        yield server
