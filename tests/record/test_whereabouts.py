"""The location of a record is found with as few looks as possible."""

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
    """No neighbor of a copy is looked at while the original is in its place."""
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
