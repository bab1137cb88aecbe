"""Locations: the current directory, paths against it, and the record of a run."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path

from fsm_orchestrator.constants import EPOCH_VARIABLE, EPOCHS_DIRECTORY
from fsm_orchestrator.disk.files import reason
from fsm_orchestrator.errors import UsageError


class RelativeTo(StrEnum):
    """The base of the relative paths in a config file."""

    FILE = "file"
    CWD = "cwd"


def current_directory() -> str:
    """Return the current directory.

    Raises:
        UsageError: it is gone, or cannot be determined.
    """
    try:
        return os.getcwd()
    except FileNotFoundError as error:
        raise UsageError(
            "the current directory no longer exists, and paths are relative to it",
            remedy="change to a directory that exists",
        ) from error
    except OSError as error:
        raise UsageError(
            f"the current directory cannot be determined: {reason(error)}",
            remedy="change to a directory that you may enter",
        ) from error


def base_of(relative_to: object, of_file: str, current: str) -> str:
    """Return the base of the relative paths in a file, by the file's own setting if it is valid.

    `of_file` is the directory of the file, `current` the one in which the command is typed.
    """
    if relative_to == RelativeTo.CWD:
        return current
    is_path = isinstance(relative_to, str) and os.path.isabs(relative_to)
    return str(relative_to) if is_path else of_file


def nearest_with(directory: Path, name: str) -> Path | None:
    """Return the nearest directory, at or above this one, that has an entry of that name."""
    for one in (directory, *directory.parents):
        if os.path.lexists(one / name):
            return one
    return None


def absolute(typed: str) -> Path:
    """Return a typed path, made absolute against the current directory if it is relative.

    Raises:
        UsageError: there is no current directory.
    """
    return Path(typed) if os.path.isabs(typed) else Path(current_directory(), typed)


def record_of(run_directory: Path) -> Path:
    """Return the directory of a run's record: the run's directory itself, or its latest epoch."""
    if not os.path.isdir(run_directory / EPOCHS_DIRECTORY):
        return run_directory
    from fsm_orchestrator.disk.epochs import latest_record  # noqa: PLC0415 - under an engine alone

    return latest_record(run_directory)


def run_of(record_directory: Path) -> Path:
    """Return the directory of the run whose record is in a directory, by the names alone."""
    above, name = record_directory.parent, record_directory.name
    if above.name != EPOCHS_DIRECTORY:
        return record_directory
    from fsm_orchestrator.disk.epochs import is_epoch_name  # noqa: PLC0415 - under an engine alone

    return above.parent if is_epoch_name(name) else record_directory


def place_variables(record_directory: Path) -> dict[str, str]:
    """Return the variables that give a process its run directory, and its epoch if there is one."""
    run = run_of(record_directory)
    told = {"ORCHESTRATOR_OUTPUT_DIR": str(run)}
    return told if run == record_directory else {**told, EPOCH_VARIABLE: record_directory.name}
