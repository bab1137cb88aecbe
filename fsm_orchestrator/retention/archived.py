"""The archived runs of an output directory: their names, how and when they ended, their size."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from fsm_orchestrator.clock import timestamp
from fsm_orchestrator.constants import ARCHIVE_DIRECTORY
from fsm_orchestrator.disk import archive
from fsm_orchestrator.inspection.looking import overview_of_archived
from fsm_orchestrator.model.base import Count, RunId, StrictModel, Timestamp
from fsm_orchestrator.model.declared import Field
from fsm_orchestrator.vocabulary import Standing


class ArchivedRun(StrictModel):
    """An archived run, in one line."""

    name: str = Field(description="Its name in the archive: the run's id, unless that was taken.")
    run_id: RunId | None = Field(description="Identifies the run; null when it cannot be read.")
    standing: Standing | None = Field(
        description="Where it stood when it was archived; null when it cannot be read."
    )
    ended_at: Timestamp = Field(
        description="Since when it had stood there, in UTC; of one that cannot be read, when its"
        " directory was changed last."
    )
    size_bytes: Count = Field(description="The size of its files, artifacts included.")
    trouble: str | None = Field(description="Why nothing more is known; null when it is.")


def archived_runs(output: Path) -> tuple[ArchivedRun, ...]:
    """Return the archived runs of an output directory, the latest first."""
    found = [
        archived_run(output, name)
        for name in sorted(archive.archived_run_ids(output))
        if _is_directory(output / ARCHIVE_DIRECTORY / name)
    ]
    return tuple(sorted(found, key=lambda one: (one.ended_at, one.name), reverse=True))


def archived_run(output: Path, name: str) -> ArchivedRun:
    """Return what is known of an archived run. Nothing in its directory makes this raise."""
    directory = output / ARCHIVE_DIRECTORY / name
    known = overview_of_archived(output, name, name)
    return ArchivedRun(
        name=name,
        run_id=known.run_id,
        standing=known.standing,
        ended_at=known.since or _changed_at(directory),
        size_bytes=size_of(directory),
        trouble=known.trouble,
    )


def size_of(directory: Path) -> int:
    """Return the size of all files below a directory; links count as themselves, once each."""
    return sum({(one.st_dev, one.st_ino): one.st_size for one in _files_in(directory)}.values())


def _files_in(directory: Path) -> Iterator[os.stat_result]:
    rest = [os.fspath(directory)]
    while rest:
        try:
            with os.scandir(rest.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        rest.append(entry.path)
                    else:
                        yield entry.stat(follow_symlinks=False)
        except OSError:
            continue


def _is_directory(path: Path) -> bool:
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except OSError:
        return False


def _changed_at(directory: Path) -> str:
    from datetime import UTC, datetime  # noqa: PLC0415 - rare

    try:
        seconds = os.lstat(directory).st_mtime
    except OSError:
        seconds = 0.0
    return timestamp(datetime.fromtimestamp(seconds, UTC))
