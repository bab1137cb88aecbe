"""What the processes of a run are told of where it is."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from fsm_orchestrator.disk.where import run_of

DIRECTORY_VARIABLE: Final = "ORCHESTRATOR_OUTPUT_DIR"
EPOCH_VARIABLE: Final = "ORCHESTRATOR_EPOCH"
"""The claim under which an engine has the run: systems downstream refuse a lower one."""


def place_variables(record_directory: Path) -> dict[str, str]:
    """Return the variables of a run whose record lies in a directory."""
    run = run_of(record_directory)
    if run == record_directory:
        return {DIRECTORY_VARIABLE: str(run)}
    return {DIRECTORY_VARIABLE: str(run), EPOCH_VARIABLE: record_directory.name}
