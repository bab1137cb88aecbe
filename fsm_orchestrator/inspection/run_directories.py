"""The places of runs: a directory that was typed is a run's, or has some directly below it.

The record of a run that an engine has is in its latest epoch.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from fsm_orchestrator.constants import ARCHIVE_DIRECTORY, CHECKPOINT_FILE, REPORT_FILE
from fsm_orchestrator.disk import archive, files
from fsm_orchestrator.disk.lock import holder_of
from fsm_orchestrator.disk.where import absolute, record_of, run_of
from fsm_orchestrator.errors import CommandError, ReportError, UsageError
from fsm_orchestrator.text.hidden import copyable

ABSENT: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})
"""The errors that mean that there is no such file."""


def directory_of_a_run(typed: str) -> Path:
    """Return the directory of a run's record, which must exist, from its typed output directory.

    Raises:
        UsageError: there is no such directory, or no run in it.
    """
    output = output_directory_of(typed)
    if not os.path.lexists(output / CHECKPOINT_FILE):
        raise UsageError(
            f"there is no run in {copyable(run_of(output))}",
            remedy="name the output directory of a run",
        )
    return output


def output_directory_of(typed: str) -> Path:
    """Return the directory of a run's record, from its typed output directory.

    That is the directory itself, as an absolute path, or its latest epoch.

    Raises:
        UsageError: there is no such directory.
    """
    output = absolute(typed)
    if os.path.isdir(output):
        return record_of(output)
    from fsm_orchestrator.disk.near import runs_beside  # noqa: PLC0415 - for a typo
    from fsm_orchestrator.text.phrases import suggestion  # noqa: PLC0415 - for a typo

    what = "is not a directory" if os.path.lexists(output) else "does not exist"
    hint = suggestion(output.name, runs_beside(output))
    raise UsageError(
        f"{copyable(output)} {what}{hint}", remedy="name the output directory of a run"
    )


def run_directory(output: Path, run_id: str | None) -> Path:
    """Return the directory with the files of a run in `output`: that, or one in its archive.

    Raises:
        UsageError: there is no such run.
    """
    if run_id is None or run_id == archive.earlier_run_id(output):
        return output
    known = sorted(archive.archived_run_ids(output))
    if run_id not in known:
        latest = archive.earlier_run_id(output)
        ids = known if latest is None else [*known, latest]
        from fsm_orchestrator.text.phrases import suggestion  # noqa: PLC0415 - for a typo

        others = f"archived are {', '.join(known)}" if known else "nothing is archived there"
        raise UsageError(
            f"there is no run {run_id!r} in {copyable(run_of(output))}{suggestion(run_id, ids)}",
            remedy=others if latest is None else f"the run there is {latest}; {others}",
        )
    return output / ARCHIVE_DIRECTORY / run_id


def is_run_directory(directory: Path) -> bool:
    """Return whether a run has left its files here, or in its latest epoch."""
    directory = record_of(directory)
    for name in (REPORT_FILE, CHECKPOINT_FILE):
        try:
            os.stat(os.path.join(directory, name))
        except OSError as error:
            if error.errno not in ABSENT:  # not readable: reported later, never passed over
                return True
        else:
            return True
    return False


def run_directories(directory: Path) -> Iterator[Path]:
    """Yield the run directories directly below a directory, by name; each is examined when due.

    Raises:
        ReportError: the directory cannot be read.
    """
    return filter(is_run_directory, (directory / name for name in names_below(directory)))


def names_below(directory: Path) -> list[str]:
    """Return the names of the directories directly below a directory, sorted.

    Raises:
        ReportError: the directory cannot be read.
    """
    try:
        with os.scandir(directory) as entries:
            return sorted(one.name for one in entries if _may_be_directory(one))
    except OSError as error:
        raise ReportError(f"cannot read {copyable(directory)}: {files.reason(error)}") from error


def runs_below(output: Path) -> Iterator[Path]:
    """Return the run directories below a directory; none below one that is itself a run's.

    Raises:
        CommandError: no permission to look.
        ReportError: the directory cannot be read.
    """
    if is_run_directory(output) or holder_of(output) is not None:
        return iter(())
    return run_directories(output)


def runs_in(named: Iterable[tuple[str, Path]]) -> Iterator[tuple[str, Path]]:
    """Yield each run in the given order, as it is shown; those of a directory by name.

    A directory that cannot be read is one of them: its line says what is wrong with it.
    """
    for name, output in named:
        is_parent = False
        with contextlib.suppress(CommandError, ReportError):
            for run in runs_below(output):
                is_parent = True
                yield os.path.join(name, run.name), run
        if not is_parent:
            yield name, output


def _may_be_directory(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a loop of links, or a link whose target cannot be read
        return False
