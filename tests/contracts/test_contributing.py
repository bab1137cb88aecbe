"""CONTRIBUTING.md: its map is that of today's imports, and the paths that it names exist."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tools import room_map

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "CONTRIBUTING.md"
PATHS = tuple(sorted(set(re.findall(r"`((?:[a-z_.]+/)+(?:[a-z_.]+)?)`", PAGE.read_text()))))
"""The texts on the page that are marked as code and have a slash in them."""

RUN_ITS_TEST = """
import pathlib, runpy, sys
sys.path.insert(0, ".")
import fsm_orchestrator
print(fsm_orchestrator.__file__)
made = runpy.run_path("tests/engine/test_start_delay.py")
made["test_stage_is_started_when_its_delay_is_over"](pathlib.Path("out"))
"""


def run_in(directory: Path, command: list[str], given: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a directory that belongs to no repository."""
    return subprocess.run(
        command,
        input=given,
        cwd=directory,
        env={**os.environ, "GIT_CEILING_DIRECTORIES": str(directory.parent)},
        text=True,
        capture_output=True,
        check=False,
    )


def test_map_is_that_of_the_imports() -> None:
    """`make docs` changes nothing: the drawn rooms and arrows are those of the code."""
    text = PAGE.read_text()
    assert room_map.with_map(text, room_map.imports_between_rooms()) == text


def test_arrows_that_others_imply_are_left_out() -> None:
    """The picture keeps everything that is reached, with as few arrows as possible."""
    imports = {"top": {"middle", "low"}, "middle": {"low"}, "low": set[str]()}
    assert room_map.reduced(imports) == {"top": {"middle"}, "middle": {"low"}, "low": set()}


@pytest.mark.parametrize("path", PATHS)
def test_path_exists(path: str) -> None:
    """Each file and folder that the page names exists, in the checkout or in the package."""
    assert (ROOT / path).exists() or (ROOT / "fsm_orchestrator" / path).exists()


def test_setting_takes_the_four_files_of_the_diff(tmp_path: Path) -> None:
    """The page's diff applies to this package, and then the test that it adds passes."""
    (diff,) = re.findall(r"```diff\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert diff.count("\n+++ ") == 4
    shutil.copytree(
        ROOT / "fsm_orchestrator",
        tmp_path / "fsm_orchestrator",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    applied = run_in(tmp_path, ["git", "apply", "-"], diff)
    assert applied.returncode == 0, applied.stderr
    ran = run_in(tmp_path, [sys.executable, "-"], RUN_ITS_TEST)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == f"{tmp_path / 'fsm_orchestrator' / '__init__.py'}\n"
