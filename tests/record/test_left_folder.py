"""The memory of output directories is bounded: the oldest of many are forgotten."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fsm_orchestrator.record import left_file
from fsm_orchestrator.record.left_file import DIRECTORIES_KEPT, DIRECTORIES_MAX, Left, LeftFile


def test_oldest_are_forgotten_once_there_are_too_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest entries are forgotten as soon as there is one more than the limit."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    output = tmp_path / "out"
    own = left_file.file_of(output)
    own.parent.mkdir(parents=True)
    others = [own.with_name(f"{number}.jsonl") for number in range(DIRECTORIES_MAX - 1)]
    for number, path in enumerate(others):
        path.touch()
        os.utime(path, (number, number))
    _note(output)
    assert {*own.parent.iterdir()} == {own, *others}
    own.unlink()
    others.append(own.with_name("latest.jsonl"))
    others[-1].touch()
    _note(output)
    assert {*own.parent.iterdir()} == {own, *others[1 - DIRECTORIES_KEPT :]}


def _note(output: Path) -> None:
    file = LeftFile(output, Left("run", "", ""))
    file.note(seq=1)
    file.close()
    assert file.failure is None
