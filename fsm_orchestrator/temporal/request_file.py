"""The request of a run that was submitted: its place, and the run that it is for."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from fsm_orchestrator.config import config_reading
from fsm_orchestrator.config.config_file import ConfigFile
from fsm_orchestrator.disk.where import base_of
from fsm_orchestrator.errors import UsageError
from fsm_orchestrator.text.hidden import copyable

REQUEST_FILE: Final = "orchestrator_request.toml"
"""The name of the request file, in the directory of a run's epochs, mode 0600."""


def submitted_run_id(run_directory: Path) -> str | None:
    """Return the id of the run that was submitted in a directory, or None if none was.

    Raises:
        UsageError: its request cannot be read.
    """
    path = run_directory / REQUEST_FILE
    if not os.path.lexists(path):
        return None
    run_id = config_reading.load(path, str(path)).content.run_id
    if run_id is None:
        raise UsageError(
            f"{copyable(str(path))} names no run",
            remedy="submit the run again, in another directory",
        )
    return run_id


def run_id_of(run_directory: Path) -> str:
    """Return the id of the run that was submitted in a directory.

    Raises:
        UsageError: none was submitted, or its request cannot be read.
    """
    found = submitted_run_id(run_directory)
    if found is None:
        raise UsageError(
            f"no run was submitted in {copyable(str(run_directory))}",
            remedy="submit one: fsm-orchestrator temporal submit OUT ...",
        )
    return found


def directory_of(request: ConfigFile, path: str) -> str:
    """Return the directory in which a run was requested, where its stages work."""
    beside = os.path.dirname(path)
    return base_of(request.relative_to, beside, beside)
