"""Prunes the archived runs that every given bound gives up: each as a whole, or left with a reason.

The run in an output directory is never pruned, nor is any archived run of a directory where a run
is at work.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple

from fsm_orchestrator.clock import timestamp
from fsm_orchestrator.constants import ARCHIVE_DIRECTORY, EPOCHS_DIRECTORY
from fsm_orchestrator.disk import files
from fsm_orchestrator.disk.archive import archived_run_ids
from fsm_orchestrator.disk.belongings import is_of_a_run
from fsm_orchestrator.disk.held import HeldDirectory
from fsm_orchestrator.disk.lock import OutputLock
from fsm_orchestrator.errors import BusyError, OperationError
from fsm_orchestrator.inspection.run_directories import ABSENT
from fsm_orchestrator.model.base import StrictModel
from fsm_orchestrator.model.declared import Field
from fsm_orchestrator.retention.archived import ArchivedRun, archived_runs
from fsm_orchestrator.retention.contents import why_not_whole
from fsm_orchestrator.retention.removing import give_up, remove_given_up
from fsm_orchestrator.text.hidden import copyable

DEPTH_MAX: Final = 16
"""The depth to which output directories are searched for."""


class Bounds(NamedTuple):
    """The bounds that keep archived runs of an output directory.

    Attributes:
        keep: how many of the latest runs are kept; None if their number does not matter.
        before: runs that ended then or later are kept; None if their age does not matter.
    """

    keep: int | None
    before: datetime | None

    def given_up(self, runs: Sequence[ArchivedRun]) -> tuple[ArchivedRun, ...]:
        """Return the runs of one directory, given the latest first, that no bound keeps."""
        beyond = runs[self.keep or 0 :]
        if self.before is None:
            return tuple(beyond)
        limit = timestamp(self.before)
        return tuple(one for one in beyond if one.ended_at < limit)


class PrunedRun(StrictModel):
    """An archived run that was given up, or would be."""

    output_directory: str = Field(description="Absolute path of its output directory.")
    run: ArchivedRun = Field(description="The run.")
    left: str | None = Field(description="Why it is left; null where it is gone, or would be.")


class Pruned(StrictModel):
    """The result of pruning, or of a dry run of it."""

    is_dry_run: bool = Field(description="Whether nothing was done.")
    runs: tuple[PrunedRun, ...] = Field(description="The runs that no bound keeps.")
    kept: int = Field(description="How many archived runs a bound keeps.")
    freed_bytes: int = Field(description="The size of what is gone, or would be.")
    troubles: tuple[str, ...] = Field(
        description="What could not be done: of directories, and of what is left of removed runs."
    )


def before_now(now: datetime, milliseconds: int | None) -> datetime | None:
    """Return the time that many milliseconds ago, or the earliest possible one if that is later."""
    if milliseconds is None:
        return None
    try:
        return now - timedelta(milliseconds=milliseconds)
    except OverflowError:
        return datetime.min.replace(tzinfo=now.tzinfo)


def output_directories(directory: Path, troubles: list[str]) -> Iterator[Path]:
    """Yield a directory if it has runs, else those below it that have; no link is followed.

    Adds the directories that cannot be read to `troubles`, as sentences.
    """
    rest = [(directory, 0)]
    while rest:
        here, depth = rest.pop()
        if is_of_a_run(here) or archived_run_ids(here):
            yield here
            continue
        if os.path.isdir(here / EPOCHS_DIRECTORY):  # an engine's run: each claim tidies it up
            continue
        try:
            with os.scandir(here) as entries:
                below = sorted(one.path for one in entries if one.is_dir(follow_symlinks=False))
        except OSError as error:
            if error.errno not in ABSENT:  # else it is gone by now
                troubles.append(f"{copyable(here)} cannot be read: {files.reason(error)}")
            continue
        if depth < DEPTH_MAX:
            rest += [(Path(one), depth + 1) for one in reversed(below)]


def prune(
    outputs: Sequence[Path], bounds: Bounds, *, is_dry_run: bool, troubles: Sequence[str] = ()
) -> Pruned:
    """Prune the archives of output directories; `troubles` are those found before."""
    runs: list[PrunedRun] = []
    troubles = list(troubles)
    kept = 0
    for output in outputs:
        try:
            lock = OutputLock.acquire(output)
        except BusyError:
            troubles.append(f"{output}: a run is at work there, so nothing there is pruned")
            continue
        except OperationError as error:
            troubles.append(str(error))
            continue
        try:
            found = archived_runs(output)
            given_up = bounds.given_up(found)
            kept += len(found) - len(given_up)
            runs += [_pruned(lock, one, is_dry_run=is_dry_run) for one in given_up]
        finally:
            lock.release()
        if not is_dry_run:
            troubles += _finished(output)
    freed = sum(one.run.size_bytes for one in runs if one.left is None)
    return Pruned(
        is_dry_run=is_dry_run,
        runs=tuple(runs),
        kept=kept,
        freed_bytes=freed,
        troubles=tuple(troubles),
    )


def _pruned(home: OutputLock, run: ArchivedRun, *, is_dry_run: bool) -> PrunedRun:
    left = None
    try:
        left = why_not_whole(home.path / ARCHIVE_DIRECTORY / run.name)
        if left is None and not is_dry_run:
            give_up(home, run.name)
    except OSError as error:
        left = files.reason(error)
    return PrunedRun(output_directory=str(home.path), run=run, left=left)


def _finished(output: Path) -> Iterator[str]:
    """Remove the remains of runs that were given up; that needs no lock: nobody uses them."""
    try:
        descriptor = files.open_directory(output)
    except OSError as error:
        yield f"{output}: {files.reason(error)}"
        return
    try:
        for why in remove_given_up(HeldDirectory(output, descriptor)):
            where = output / ARCHIVE_DIRECTORY
            yield f"{where}: something is left of a run that was given up: {files.reason(why)}"
    finally:
        os.close(descriptor)
