"""Real runs and their checkpoints, made once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.support.command import CHECKPOINT
from tests.sweeps.checkpoint_cases import ENDINGS, make_runs


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory with a run for each ending."""
    directory = tmp_path_factory.mktemp("endings")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(directory / "state"))
        make_runs(directory)
        yield directory


@pytest.fixture(scope="module")
def checkpoints(runs: Path) -> Mapping[str, bytes]:
    """The checkpoint of each ending."""
    return {ending: (runs / ending / CHECKPOINT).read_bytes() for ending in ENDINGS}
