"""The shared fixtures of the sweeps: real runs and their checkpoints, made once, and a desk."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from fsm_orchestrator.engine import invocation
from tests.support.command import CHECKPOINT
from tests.support.memory import MEMORY
from tests.support.shared import made_once
from tests.support.soak import SOAK
from tests.sweeps.checkpoint_cases import ENDINGS, make_runs
from tests.sweeps.desk import Desk
from tests.sweeps.fault_disk import PlainRunner


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Yield a directory with a run for each ending; it must not be changed."""

    def make(directory: Path) -> None:
        patch.setenv("XDG_STATE_HOME", str(directory / "state"))
        make_runs(directory)

    with pytest.MonkeyPatch.context() as patch:
        directory = made_once(tmp_path_factory.getbasetemp(), "endings", make)
        patch.setenv("XDG_STATE_HOME", str(directory / "state"))
        yield directory


@pytest.fixture(scope="session")
def checkpoints(runs: Path) -> Mapping[str, bytes]:
    """Return the checkpoint of each ending."""
    return {ending: (runs / ending / CHECKPOINT).read_bytes() for ending in ENDINGS}


@pytest.fixture(name="desk")
def own_desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """Yield a desk with its own private state, in memory if possible, to spare the disk."""
    with contextlib.ExitStack() as stack:
        root = tmp_path
        if os.access(MEMORY, os.W_OK):
            root = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=MEMORY)))
        desk = Desk(root)
        monkeypatch.setenv("XDG_STATE_HOME", str(desk.state))
        if not SOAK:
            monkeypatch.setattr(invocation, "ProcessRunner", PlainRunner)
        yield desk
