"""The entries next to a path that leads to nothing: the intended one is probably among them."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from fsm_orchestrator.constants import CHECKPOINT_FILE, REPORT_FILE

_LOOKED_AT_MAX: Final = 1_000
"""The most entries of a directory that are looked at."""


def runs_beside(path: Path) -> tuple[str, ...]:
    """Return the names of the directories next to a path in which a run has left its files."""
    files = (CHECKPOINT_FILE, REPORT_FILE)
    return _beside(path, lambda entry: any((entry / one).exists() for one in files))


def toml_files_beside(path: Path) -> tuple[str, ...]:
    """Return the names of the TOML files next to a path."""
    return _beside(path, lambda entry: entry.suffix == ".toml" and entry.is_file())


def _beside(path: Path, is_meant: Callable[[Path], bool]) -> tuple[str, ...]:
    try:
        with os.scandir(path.parent) as entries:
            names = [one.name for one in itertools.islice(entries, _LOOKED_AT_MAX)]
        return tuple(name for name in names if is_meant(path.parent / name))
    except OSError:
        return ()
