"""Puts an archived run back into its output directory, and archives the run that is there."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from fsm_orchestrator.constants import ARCHIVE_DIRECTORY, CHECKPOINT_FILE, DEFAULT_KILL_GRACE_MS
from fsm_orchestrator.disk import archive, belongings, files, restoring
from fsm_orchestrator.disk.lock import OutputLock
from fsm_orchestrator.disk.taken_along import Along, artifacts_named
from fsm_orchestrator.errors import CommandError, RecordingError, TamperedError, UsageError
from fsm_orchestrator.inspection.run_directories import run_directory
from fsm_orchestrator.preparation.left_open import attempts_left_open
from fsm_orchestrator.record import left_file
from fsm_orchestrator.record.checkpoint_reader import SavedRun, load_saved
from fsm_orchestrator.record.record_check import checked
from fsm_orchestrator.retention.contents import why_not_whole
from fsm_orchestrator.secrets.state_key import own_key
from fsm_orchestrator.text.hidden import copyable
from fsm_orchestrator.vocabulary import Operation


class Restored(NamedTuple):
    """A run that is back in its output directory.

    Attributes:
        run_id: its id.
        archived: the id of the run that was there and is archived now; None if there was none.
        artifacts: the artifacts that came along, relative to the directory.
        elsewhere: how many artifacts its stages left in other places: those are unchanged.
    """

    run_id: str
    archived: str | None
    artifacts: tuple[str, ...]
    elsewhere: int


def restore(output: Path, name: str) -> Restored:
    """Put the archived run `name` back, or finish doing that after a kill.

    Raises:
        UsageError: there is no such run, or something is in its way; nothing was moved.
        CheckpointError: its record cannot be used; nothing was moved.
        TamperedError: its record is not the one that was archived; nothing was moved.
        BusyError: a run is at work in the directory.
        CommandError: something cannot be moved. The same command resumes the move.
    """
    try:
        return _restored(output, name)
    except RecordingError as error:
        raise CommandError(
            str(error),
            remedy="make room, or make the directory and everything in it writable; then type this"
            f" again, which continues: {restoring.restore_command(output, name)}",
        ) from error


def _restored(output: Path, name: str) -> Restored:
    home = OutputLock.acquire(output)
    try:
        with files.recording(Operation.ARCHIVE_MOVE, output / ARCHIVE_DIRECTORY):
            half = restoring.half_restored(output)
            if half is not None and half != name:
                restoring.take_back(home, half)
            if half == name:
                directory = output / ARCHIVE_DIRECTORY / f"{restoring.RESTORING}{name}"
                saved, archived = load_saved(directory), None
            elif _is_half_archived(output, name):
                restoring.fetch_back(home, name)
                return Restored(name, None, artifacts_named(output), 0)
            else:
                restoring.sweep(home)
                saved = _restorable(output, name)
                archived = _make_way(home, output / ARCHIVE_DIRECTORY / name)
            run_id = saved.checkpoint.run_id
            came = restoring.put_back(home, name, lambda: left_file.note_again(output, run_id))
    finally:
        home.release()
    return Restored(run_id, archived, came, _elsewhere(saved, output))


def _is_half_archived(output: Path, name: str) -> bool:
    is_there = name == archive.earlier_run_id(output)
    return is_there and archive.is_half_archived(output, name)


def _restorable(output: Path, name: str) -> SavedRun:
    """Return the record of an archived run that may be put back."""
    directory = run_directory(output, name)
    if directory == output:
        raise UsageError(
            f"the run {name} is in {copyable(output)} already", remedy="name an archived run"
        )
    saved = load_saved(directory)
    finding = checked(saved, directory, own_key(output))
    if finding.changes:
        said = "; ".join(one.words for one in finding.changes)
        raise TamperedError(
            f"the record in {copyable(directory)} is not the one that was archived: {said}",
            remedy="find out who did that, and put back what was there; nothing was moved",
        )
    left = why_not_whole(directory)
    if left is not None:
        raise UsageError(
            f"{copyable(directory)} cannot be put back: {left}",
            remedy="move away what is not the run's; nothing was moved",
        )
    return saved


def _make_way(home: OutputLock, directory: Path) -> str | None:
    """Archive the run that is in the output directory; return its id, or None if there is none."""
    output = home.path
    found = archive.present_files(output)
    foreign = belongings.foreign_names(output)
    own = artifacts_named(output) if found else ()
    coming = artifacts_named(directory)
    in_the_way = [
        *foreign,
        *(one for one in coming if one not in own and os.path.lexists(output / one)),
        *(one for one in _above(coming) if not _is_open(output / one)),
    ]
    if in_the_way:
        named = ", ".join(copyable(output / one) for one in in_the_way)
        raise UsageError(
            f"in the way of the run to put back: {named}",
            remedy="move it away; nothing was moved",
        )
    run_id = archive.earlier_run_id(output) if found else None
    if os.path.lexists(output / CHECKPOINT_FILE):
        _end_leftovers(output)
    for staying in archive.archive_run(home, found, Along(own, ())):
        raise staying.why
    return run_id


def _above(artifacts: Iterable[str]) -> Iterator[str]:
    """Yield the directories that hold artifacts, each once."""
    found = {parent for one in artifacts for parent in PurePosixPath(one).parents if parent.parts}
    yield from sorted(map(str, found))


def _is_open(place: Path) -> bool:
    """Return whether a directory of that name is there and not a link, or can be made."""
    return not os.path.lexists(place) or (os.path.isdir(place) and not os.path.islink(place))


def _end_leftovers(output: Path) -> None:
    """End the processes that interrupted attempts of the present run have left alive."""
    attempts = attempts_left_open(output)
    if not attempts:
        return
    from fsm_orchestrator.processes.leftovers import end_leftovers  # noqa: PLC0415 - rare

    for attempt in attempts:
        end_leftovers(attempt, DEFAULT_KILL_GRACE_MS)


def _elsewhere(saved: SavedRun, output: Path) -> int:
    made = {one.path for stage in saved.checkpoint.completions for one in stage.artifacts}
    return sum(not Path(one).is_relative_to(output) for one in made)
