"""Where a record lies is found out with as few looks as it takes."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from fsm_orchestrator.record import whereabouts as module
from fsm_orchestrator.record.home import Home, Whereabouts
from fsm_orchestrator.record.whereabouts import whereabouts

RUN_ID = "a-run"


def test_nothing_beside_is_looked_at_where_the_original_is_at_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A list of many copies would else look at all of them for each."""
    original = tmp_path / "original"
    original.mkdir()
    status = os.stat(original)
    home = Home(
        directory=str(original),
        device=status.st_dev,
        inode=status.st_ino,
        host=os.uname().nodename,
        boot="",
        started_in=str(tmp_path),
    )
    record = {"schema_version": 1, "run_id": RUN_ID, "home": home.model_dump(mode="json")}
    (original / "orchestrator_checkpoint.json").write_text(json.dumps(record))
    copy = Path(shutil.copytree(original, tmp_path / "copy"))
    asked: list[Any] = []

    def listed(above: Path) -> list[Path]:
        asked.append(above)
        return [*above.iterdir()]

    monkeypatch.setattr(module, "_directories_in", listed)
    assert whereabouts(home, copy, RUN_ID) is Whereabouts.COPIED
    assert asked == []
    original.rename(tmp_path / "renamed")
    assert whereabouts(home, copy, RUN_ID) is Whereabouts.COPIED
    assert asked == [tmp_path]
