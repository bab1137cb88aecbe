"""What lies beside a path that leads to nothing: what was meant is probably among it."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from fsm_orchestrator.constants import CHECKPOINT_FILE, REPORT_FILE

_LOOKED_AT_MAX: Final = 1_000
"""How many entries of a directory are looked at."""


def runs_beside(path: Path) -> tuple[str, ...]:
    """Return the names of the directories beside a path that a run has left its files in."""
    files = (CHECKPOINT_FILE, REPORT_FILE)
    return _beside(path, lambda entry: any((entry / one).exists() for one in files))


def toml_files_beside(path: Path) -> tuple[str, ...]:
    """Return the names of the TOML files beside a path."""
    return _beside(path, lambda entry: entry.suffix == ".toml" and entry.is_file())


def _beside(path: Path, is_meant: Callable[[Path], bool]) -> tuple[str, ...]:
    try:
        with os.scandir(path.parent) as entries:
            names = [one.name for one in itertools.islice(entries, _LOOKED_AT_MAX)]
        return tuple(name for name in names if is_meant(path.parent / name))
    except OSError:
        return ()
