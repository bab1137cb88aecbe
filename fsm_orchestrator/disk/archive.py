"""An earlier run's files, moved aside when a new run starts in the same directory."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from fsm_orchestrator.constants import (
    APPROVALS_DIRECTORY,
    ARCHIVE_DIRECTORY,
    CHECKPOINT_FILE,
    EVIDENCE_DIRECTORY,
    LOGS_DIRECTORY,
    REPORT_FILE,
    TAMPERED_DIRECTORY,
)
from fsm_orchestrator.disk import files, moving, peek
from fsm_orchestrator.disk.belongings import RUN_FILES, is_of_a_run
from fsm_orchestrator.disk.held import HeldDirectory

UNREADABLE_RUN: Final = "unreadable"


def present_files(output_directory: Path) -> tuple[Path, ...]:
    """Return what an earlier run left in the directory; nothing where no run of ours was.

    A directory in a file's place is no run's: it stays, and the run says that it is in the way.
    """
    if not is_of_a_run(output_directory):
        return ()
    paths = [output_directory / name for name in RUN_FILES]
    found = [path for path in paths if os.path.lexists(path) and not os.path.isdir(path)]
    names = (LOGS_DIRECTORY, EVIDENCE_DIRECTORY, APPROVALS_DIRECTORY, TAMPERED_DIRECTORY)
    directories = [output_directory / name for name in names]
    return (*found, *filter(os.path.lexists, directories))


def earlier_run_id(output_directory: Path) -> str | None:
    """Return the id of the run whose files are in the directory; None if none can be read.

    Read leniently: what cannot be resumed can still be archived under its name.
    """
    for name in (CHECKPOINT_FILE, REPORT_FILE):
        run_id = peek.run_id(output_directory / name)
        if run_id is not None:
            return run_id
    return None


def archived_run_ids(output_directory: Path) -> frozenset[str]:
    """List the names in the archive."""
    try:
        return frozenset(entry.name for entry in (output_directory / ARCHIVE_DIRECTORY).iterdir())
    except OSError:
        return frozenset()


def archive_run(output: HeldDirectory, found: tuple[Path, ...]) -> None:
    """Move everything an earlier run left, which is `present_files`, to `archive/<run_id>/`.

    The checkpoint is moved last, once the others are durable: after a kill or a power cut in the
    middle the next start goes on, and what belongs together comes to lie together.

    Raises:
        OSError: something could not be moved; nothing was overwritten.
    """
    if output.path / CHECKPOINT_FILE not in found:
        _sync_archive(output.path / ARCHIVE_DIRECTORY)
    if not found:
        return
    directory = output.path / ARCHIVE_DIRECTORY
    run_id = earlier_run_id(output.path)
    if run_id is not None and (begun := _fitting(directory / run_id, found)):
        _move_all(tuple(reversed(begun)), output, run_id)
        found = tuple(path for path in found if path not in begun)
        if not found:
            return
    _move_all(tuple(reversed(found)), output, _free_name(directory, run_id or UNREADABLE_RUN))


def other_run_reported(output_directory: Path, run_id: str) -> str | None:
    """Return the run that the report in the directory is of, if that is another than `run_id`."""
    found = peek.leading_run_id(output_directory / REPORT_FILE)
    return None if found == run_id else found


def archive_report(output: HeldDirectory) -> None:
    """Move the report alone aside, before another takes its place. As `archive_run`."""
    report = output.path / REPORT_FILE
    if report not in present_files(output.path):
        return
    run_id = peek.run_id(report) or earlier_run_id(output.path) or UNREADABLE_RUN
    name = _free_name(output.path / ARCHIVE_DIRECTORY, f"{run_id}.report")
    _move_all((report,), output, name)


def _sync_archive(directory: Path) -> None:
    """Sync an archive that an interrupted start may have left unsynced."""
    if os.path.isdir(directory):
        for entry in directory.iterdir():
            if entry.is_dir():
                files.sync_directory(entry)
        files.sync_directory(directory)


def _move_all(sources: tuple[Path, ...], output: HeldDirectory, name: str) -> None:
    """Move files of the output directory to `archive/<name>/`, in this order."""
    with (
        files.below(output, ARCHIVE_DIRECTORY) as directory,
        files.below(directory, name) as destination,
    ):
        files.sync(directory.descriptor)  # its maker may have been killed
        files.sync(output.descriptor)
        for source in sources:
            if source.name == CHECKPOINT_FILE and len(sources) > 1:
                files.sync(destination.descriptor)  # no cut undoes those moves alone
            moving.move(source.name, output, destination)
        files.sync(destination.descriptor)
        files.sync(output.descriptor)


def _fitting(destination: Path, found: tuple[Path, ...]) -> tuple[Path, ...]:
    """Return the files that an interrupted archiving still has to move.

    Empty unless the checkpoint is among them. A refusal since then may have written files whose
    names are taken in the archive: those do not belong there.
    """
    try:
        names = {entry.name for entry in destination.iterdir()}
    except OSError:
        return ()
    fitting = tuple(path for path in found if path.name not in names)
    return fitting if any(path.name == CHECKPOINT_FILE for path in fitting) else ()


def _free_name(directory: Path, name: str) -> str:
    """Return `name`, or `name.2`, `name.3` … if it is taken in `directory`."""
    candidate, number = name, 1
    while os.path.lexists(directory / candidate):
        number += 1
        candidate = f"{name}.{number}"
    return candidate
