"""Puts an archived run back into its output directory, step by step: any step may be the last.

In the meantime the archived directory is called `.restoring.<name>` and has the checkpoint: the
next start takes back what is already out, and the next `restore` continues.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from fsm_orchestrator.constants import ARCHIVE_DIRECTORY, CHECKPOINT_FILE, PRODUCT
from fsm_orchestrator.disk import files, moving
from fsm_orchestrator.disk.belongings import RUN_DIRECTORIES, RUN_FILES
from fsm_orchestrator.disk.files import SystemCall
from fsm_orchestrator.disk.held import HeldDirectory
from fsm_orchestrator.disk.taken_along import artifacts_named, move_along
from fsm_orchestrator.errors import UsageError
from fsm_orchestrator.text.hidden import copyable, shell_line

RESTORING: Final = ".restoring."
"""The prefix of an archived run's directory while the run is put back. No run id begins like this:
an id begins with a letter or a digit."""
_BEFORE: Final = tuple(one for one in (*RUN_FILES, *RUN_DIRECTORIES) if one != CHECKPOINT_FILE)


def half_restored(output_directory: Path) -> str | None:
    """Return the archived run whose restore was cut short, or None."""
    if os.path.lexists(output_directory / CHECKPOINT_FILE):
        return None
    try:
        names = os.listdir(output_directory / ARCHIVE_DIRECTORY)
    except OSError:
        return None
    begun = sorted(name for name in names if name.startswith(RESTORING))
    return begun[0].removeprefix(RESTORING) if begun else None


def refuse_half_restored(output_directory: Path) -> None:
    """Refuse a run of which only a part is in its place.

    Raises:
        UsageError: putting it back was begun and cut short.
    """
    name = half_restored(output_directory)
    if name is not None:
        raise UsageError(
            f"putting the archived run {name} back into {copyable(output_directory)} was cut short",
            remedy=f"`{restore_command(output_directory, name)}` finishes it",
        )


def restore_command(output_directory: Path, name: str) -> str:
    """Return the command that puts an archived run back, or continues to."""
    return shell_line((PRODUCT, "restore", str(output_directory), name))


def put_back(output: HeldDirectory, name: str, note: Callable[[], None]) -> tuple[str, ...]:
    """Put the archived run `name` back, or continue to; return the artifacts that came along.

    The directory has no run. `note` is called when everything but the checkpoint is in its place.

    Raises:
        OSError: something cannot be moved. The restore can be continued or taken back.
    """
    with files.below(output, ARCHIVE_DIRECTORY, may_make=False) as archive:
        if half_restored(output.path) != name:
            _rename(name, RESTORING + name, archive)
        with files.below(archive, RESTORING + name, may_make=False) as source:
            artifacts = artifacts_named(source.path)
            for one in _BEFORE:
                _move(one, source, output)
            for staying in move_along(artifacts, source, output):
                raise staying.why
            files.sync(output.descriptor)
            note()
            _move(CHECKPOINT_FILE, source, output)
            files.sync(output.descriptor)
        _let_go(name, archive)
    return tuple(one for one in artifacts if os.path.lexists(output.path / one))


def fetch_back(output: HeldDirectory, run_id: str) -> None:
    """Move back what the archive already has of the run whose checkpoint is in the directory.

    Raises:
        OSError: something cannot be moved.
    """
    artifacts = artifacts_named(output.path)
    with files.below(output, ARCHIVE_DIRECTORY, may_make=False) as archive:
        with files.below(archive, run_id, may_make=False) as source:
            for one in _BEFORE:
                _move(one, source, output)
            for staying in move_along(artifacts, source, output):
                raise staying.why
            files.sync(output.descriptor)
        _remove_emptied(archive.path / run_id)
        files.sync(archive.descriptor)


def take_back(output: HeldDirectory, name: str) -> None:
    """Move what was put back of a run into the archive again: the restore was not finished.

    Raises:
        OSError: something cannot be moved.
    """
    with files.below(output, ARCHIVE_DIRECTORY, may_make=False) as archive:
        with files.below(archive, RESTORING + name, may_make=False) as destination:
            for one in reversed(_BEFORE):
                _move(one, output, destination)
            for staying in move_along(artifacts_named(destination.path), output, destination):
                raise staying.why
            files.sync(destination.descriptor)
        files.sync(output.descriptor)
        _rename(RESTORING + name, name, archive)


def sweep(output: HeldDirectory) -> None:
    """Remove what is left of a directory in the archive whose run is back in its place."""
    with (
        contextlib.suppress(OSError),
        files.below(output, ARCHIVE_DIRECTORY, may_make=False) as archive,
    ):
        for one in os.listdir(archive.descriptor):
            if one.startswith(RESTORING) and half_restored(output.path) is None:
                _let_go(one.removeprefix(RESTORING), archive)


def _move(name: str, source: HeldDirectory, destination: HeldDirectory) -> None:
    """Move a name that exists, unless it has been moved before."""
    if os.path.lexists(source.path / name) and not os.path.lexists(destination.path / name):
        moving.move(name, source, destination)


def _rename(old: str, new: str, archive: HeldDirectory) -> None:
    both = {"src_dir_fd": archive.descriptor, "dst_dir_fd": archive.descriptor}
    if os.path.lexists(archive.path / new):
        os.rmdir(new, dir_fd=archive.descriptor)  # fails unless it was emptied
    files.perform(SystemCall.RENAME, os.rename, old, new, **both)
    files.sync(archive.descriptor)


def _let_go(name: str, archive: HeldDirectory) -> None:
    """Remove the emptied directory of a run; what others have put there stays as `<name>.rest`."""
    emptied = archive.path / f"{RESTORING}{name}"
    _remove_emptied(emptied)
    if os.path.lexists(emptied):
        rest, number = f"{name}.rest", 1
        while os.path.lexists(archive.path / rest):
            number += 1
            rest = f"{name}.rest.{number}"
        with contextlib.suppress(OSError):
            _rename(RESTORING + name, rest, archive)
    files.sync(archive.descriptor)


def _remove_emptied(directory: Path) -> None:
    """Remove a directory and those in it, where they are empty."""
    for place, _, _ in os.walk(directory, topdown=False):
        with contextlib.suppress(OSError):
            os.rmdir(place)
