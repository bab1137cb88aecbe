"""Environments made for a figure: the program alone, or with other installed packages.

A library, and so a floor, might load other packages installed where the suite itself runs.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

CHECKOUT: Final = Path(__file__).parents[2]
_SOURCES: Final = ("fsm_orchestrator", "states", "pyproject.toml", "README.md")
SECONDS_MAX: Final = 600


class Environment(NamedTuple):
    """A virtual environment, by its folder."""

    folder: Path

    @property
    def python(self) -> str:
        """The path of its interpreter."""
        return str(self.folder / "bin" / "python")

    @property
    def command(self) -> str:
        """The path of the program in it."""
        return str(self.folder / "bin" / "fsm-orchestrator")


def made(folder: Path, *requirements: str) -> Environment:
    """Make an environment and install the requested packages.

    Raises:
        RuntimeError: they cannot be installed here.
    """
    environment = Environment(folder)
    _do([sys.executable, "-m", "venv", str(folder)])
    pip = [environment.python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    _do([*pip, *requirements])
    return environment


def with_the_program(folder: Path, *beside: str) -> Environment:
    """Make an environment with this program, built from a copy since a build leaves files."""
    source = folder.with_name(f"{folder.name}-source")
    source.mkdir()
    for name in _SOURCES:
        one = CHECKOUT / name
        if one.is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(one, source / name, ignore=ignored)
        else:
            shutil.copy(one, source / name)
    return made(folder, str(source), *beside)


def _do(argv: Sequence[str]) -> None:
    done = subprocess.run(
        argv, capture_output=True, text=True, timeout=SECONDS_MAX, check=False, cwd="/"
    )
    if done.returncode != 0:
        said = (done.stderr.strip().splitlines() or [""])[-1]
        raise RuntimeError(f"no environment can be made: {said}")
