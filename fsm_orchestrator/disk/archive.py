"""An earlier run's files, moved aside when a new run starts in the same directory."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from fsm_orchestrator.constants import ARCHIVE_DIRECTORY, CHECKPOINT_FILE, REPORT_FILE
from fsm_orchestrator.disk import files, moving, peek
from fsm_orchestrator.disk.belongings import RUN_DIRECTORIES, RUN_FILES, is_of_a_run
from fsm_orchestrator.disk.held import HeldDirectory

if TYPE_CHECKING:
    from fsm_orchestrator.disk.taken_along import Along, Staying

UNREADABLE_RUN: Final = "unreadable"


def present_files(output_directory: Path) -> tuple[Path, ...]:
    """Return what an earlier run left in the directory; empty if no run has written there.

    A directory in place of a file is not from a run: it stays, and the run reports that it is in
    the way.
    """
    if not is_of_a_run(output_directory):
        return ()
    paths = [output_directory / name for name in RUN_FILES]
    found = [path for path in paths if os.path.lexists(path) and not os.path.isdir(path)]
    directories = [output_directory / name for name in RUN_DIRECTORIES]
    return (*found, *filter(os.path.lexists, directories))


def earlier_run_id(output_directory: Path) -> str | None:
    """Return the id of the run whose files are in the directory, or None if none can be read.

    It is read leniently: a run that cannot be resumed can still be archived under its id.
    """
    for name in (CHECKPOINT_FILE, REPORT_FILE):
        run_id = peek.run_id(output_directory / name)
        if run_id is not None:
            return run_id
    return None


def archived_run_ids(output_directory: Path) -> frozenset[str]:
    """List the names in the archive, except runs on their way out of it, which begin with a dot."""
    try:
        names = os.listdir(output_directory / ARCHIVE_DIRECTORY)
    except OSError:
        return frozenset()
    return frozenset(name for name in names if name[:1] != ".")


def is_half_archived(output_directory: Path, run_id: str) -> bool:
    """Return whether moving a run from its directory to the archive was cut short."""
    return os.path.isdir(output_directory / ARCHIVE_DIRECTORY / run_id)


def half_archived(output_directory: Path, run_id: str) -> str | None:
    """Return how to undo or finish an archiving that was cut short, or None if none was."""
    if not is_half_archived(output_directory, run_id):
        return None
    from fsm_orchestrator.disk.restoring import restore_command  # noqa: PLC0415 - rare

    command = restore_command(output_directory, run_id)
    return (
        f"moving the run {run_id} to the archive was cut short: `{command}` takes it back, and a"
        " new run continues it"
    )


def archive_run(
    output: HeldDirectory,
    found: tuple[Path, ...],
    along: Along | None = None,
    run_id: str | None = None,
) -> tuple[Staying, ...]:
    """Move everything an earlier run left (`found`, its `present_files`) to `archive/<run_id>/`.

    Its artifacts in the directory (`along`) go first and the checkpoint last, once the others are
    durable: after a kill or a power cut in the middle, the next start continues, and the files of a
    run end up together. An artifact that cannot be moved stays and is returned. `run_id` is the
    run's id, if the caller has read it.

    Raises:
        OSError: a file of the run could not be moved; nothing was overwritten.
    """
    if output.path / CHECKPOINT_FILE not in found:
        found = _after_a_restore(output, found)
        _sync_archive(output.path / ARCHIVE_DIRECTORY)
    if not found:
        return ()
    directory = output.path / ARCHIVE_DIRECTORY
    run_id = run_id or earlier_run_id(output.path)
    begun = () if run_id is None else _fitting(directory / run_id, found)
    name = run_id if begun and run_id else _free_name(directory, run_id or UNREADABLE_RUN)
    staying = () if along is None else _take_along(along, output, name)
    if begun:
        _move_all(tuple(reversed(begun)), output, name)
        found = tuple(path for path in found if path not in begun)
        if not found:
            return staying
        name = _free_name(directory, name)
    _move_all(tuple(reversed(found)), output, name)
    return staying


def _after_a_restore(output: HeldDirectory, found: tuple[Path, ...]) -> tuple[Path, ...]:
    """Undo a restore that was cut short, if there was one, and return the files present now."""
    if not os.path.isdir(output.path / ARCHIVE_DIRECTORY):
        return found
    from fsm_orchestrator.disk.restoring import half_restored, take_back  # noqa: PLC0415 - rare

    name = half_restored(output.path)
    if name is None:
        return found
    take_back(output, name)
    return present_files(output.path)


def _take_along(along: Along, output: HeldDirectory, name: str) -> tuple[Staying, ...]:
    from fsm_orchestrator.disk.taken_along import copy_along, move_along  # noqa: PLC0415 - rare

    with (
        files.below(output, ARCHIVE_DIRECTORY) as directory,
        files.below(directory, name) as destination,
    ):
        files.sync(directory.descriptor)
        files.sync(output.descriptor)
        moved = move_along(along.moved, output, destination)
        return (*moved, *copy_along(along.copied, output, destination))


def other_run_reported(output_directory: Path, run_id: str) -> str | None:
    """Return the id of the run that the directory's report belongs to, if it is not `run_id`."""
    found = peek.leading_run_id(output_directory / REPORT_FILE)
    return None if found == run_id else found


def archive_report(output: HeldDirectory) -> None:
    """Move only the report aside, as `archive_run` does, before another takes its place."""
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
    """Move files of the output directory to `archive/<name>/`, in the given order."""
    with (
        files.below(output, ARCHIVE_DIRECTORY) as directory,
        files.below(directory, name) as destination,
    ):
        files.sync(directory.descriptor)  # may have been made by a killed process
        files.sync(output.descriptor)
        for source in sources:
            if source.name == CHECKPOINT_FILE and len(sources) > 1:
                files.sync(destination.descriptor)  # a power cut cannot undo only these
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
