"""A program is found by its name as the standard library finds it, with a single search."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final

import pytest

from fsm_orchestrator.model.endings import NotSpawned
from fsm_orchestrator.processes.command import Command, look_up
from fsm_orchestrator.processes.search_path import found_on

SHAPES: Final = {
    "the first that may be executed": "empty:shut:folder:good:also_good",
    "nowhere": "empty:shut:folder:gone",
    "an empty path": "",
    "an empty directory is the current one": ":empty",
    "one that is named twice": "empty:empty:good",
    "one with a slash at its end": "good/",
}
"""Search paths, as names of directories below the current one."""


@pytest.fixture(autouse=True)
def _places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, mode in (("shut", 0o644), ("good", 0o755), ("also_good", 0o755)):
        program = tmp_path / name / "tool"
        program.parent.mkdir()
        program.write_text("#!/bin/sh\n")
        program.chmod(mode)
    (tmp_path / "empty").mkdir()
    (tmp_path / "folder" / "tool").mkdir(parents=True)
    (tmp_path / "here").write_text("#!/bin/sh\n")
    (tmp_path / "here").chmod(0o755)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", ["tool", "here", "other", "", "with\0nul"])
@pytest.mark.parametrize("shape", SHAPES)
def test_program_is_found_as_the_standard_library_finds_it(shape: str, name: str) -> None:
    """The same file is found, or none, whether it is to be executed or only to exist."""
    path = SHAPES[shape]
    assert found_on(path, name) == shutil.which(name, path=path)
    assert found_on(path, name, mode=os.F_OK) == shutil.which(name, os.F_OK, path)


@pytest.mark.parametrize("variable", ["good", "", None])
def test_without_a_path_that_of_the_environment_counts(
    variable: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a path the environment's is used, and without that the system's."""
    monkeypatch.delenv("PATH")
    if variable is not None:
        monkeypatch.setenv("PATH", variable)
    for name in ("tool", "sh"):
        assert found_on(None, name) == shutil.which(name)


def test_what_was_found_is_started_whatever_the_path_says_since(tmp_path: Path) -> None:
    """A program that was found and read is started; without it the path is searched."""
    found = str(tmp_path / "good" / "tool")
    command = Command("tool", (), str(tmp_path), {}, "also_good", -1, -1)
    assert look_up(command._replace(found=found)) == found
    assert look_up(command) == str(tmp_path / "also_good" / "tool")
    assert isinstance(look_up(command._replace(search_path="empty")), NotSpawned)
