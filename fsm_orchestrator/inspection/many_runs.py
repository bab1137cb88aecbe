"""Many runs, looked at repeatedly: for most, only whether their files have changed.

A run is read again when its report, checkpoint, events or lock file have changed. For a run that is
at work, each look also checks whether its orchestrator is still there, and what it has printed
since. So a look costs a few stat calls per run, and reading for those that changed.

Any number of readers may share one of these: its rows never change, they are replaced.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from types import MappingProxyType
from typing import Final, NamedTuple

from fsm_orchestrator.constants import CHECKPOINT_FILE, EVENTS_FILE, LOCK_FILE, REPORT_FILE
from fsm_orchestrator.disk.where import record_of, run_of
from fsm_orchestrator.errors import ReportError
from fsm_orchestrator.inspection.holder import standing_of_held
from fsm_orchestrator.inspection.looking import Looked, look_at
from fsm_orchestrator.inspection.overview import RunOverview
from fsm_orchestrator.inspection.run_directories import ABSENT, is_run_directory, names_below
from fsm_orchestrator.stages.output_files import latest_logs

REST_SECONDS: Final = 0.5
REST_SECONDS_MAX: Final = 2.0
_FILES: Final = (REPORT_FILE, CHECKPOINT_FILE, EVENTS_FILE, LOCK_FILE)
"""The files that are compared; the lock file is the last of them."""
_RECORD: Final = slice(0, 2)
"""The files without which there is no run."""


class Place(NamedTuple):
    """A directory that somebody named: of a run, or of runs.

    Attributes:
        shown: the path as it is shown and used in commands.
        path: the absolute path.
    """

    shown: str
    path: Path


class Changes(NamedTuple):
    """The differences from the previous look.

    Attributes:
        rows: the runs that are new, or have changed.
        gone: the directories of runs that are no longer there, as they were shown.
        troubles: why places cannot be read now, as sentences; earlier troubles are over.
    """

    rows: tuple[RunOverview, ...]
    gone: tuple[str, ...]
    troubles: tuple[str, ...]


def _never() -> bool:
    return False


class ManyRuns:
    """The runs in some places. Only ever called by one thread at a time."""

    def __init__(self, places: Sequence[Place]) -> None:
        self._places = tuple(places)
        self._known: dict[str, _Known] = {}
        self._rows: dict[str, RunOverview] = {}
        self._took_seconds = 0.0

    @property
    def rows(self) -> Mapping[str, RunOverview]:
        """The runs as of the last look, by directory as it is shown, in order."""
        return MappingProxyType(self._rows)

    @property
    def rest_seconds(self) -> float:
        """The seconds to rest before the next look: more if a look takes longer."""
        return min(max(REST_SECONDS, 9 * self._took_seconds), REST_SECONDS_MAX)

    def path_of(self, shown: str) -> Path:
        """Return the directory of a run's record, as an absolute path.

        Raises:
            KeyError: there was no such run at the last look.
        """
        return Path(self._known[shown].directory)

    def look(self, is_over: Callable[[], bool] = _never) -> Changes:
        """Look again, and return what has changed. Never raises for the contents of places.

        Once `is_over` returns true, the remaining runs count as gone: for a caller that then ends.
        """
        began = time.thread_time()
        before, self._known = self._known, {}
        troubles: list[str] = []
        locks: Mapping[int, AbstractSet[int]] = {}
        if any(one.row.holder is not None for one in before.values()):
            from fsm_orchestrator.processes.lockers import kernel_locks  # noqa: PLC0415 - rarely asked

            locks = kernel_locks() or {}
        for shown, directory in self._directories(troubles):
            if is_over():
                break
            stamp, lock = _stamp(directory)
            if stamp is None:
                continue
            known = before.get(shown)
            if known is None or known.stamp != stamp or not known.is_held_by(locks.get(lock)):
                self._known[shown] = _Known(directory, stamp, look_at(Path(directory), shown))
            else:
                self._known[shown] = known.again()
        shown_before, self._rows = self._rows, {k: one.row for k, one in self._known.items()}
        changed = tuple(row for k, row in self._rows.items() if shown_before.get(k) is not row)
        gone = tuple(shown for shown in shown_before if shown not in self._rows)
        self._took_seconds = time.thread_time() - began
        return Changes(changed, gone, tuple(troubles))

    def _directories(self, troubles: list[str]) -> Iterator[tuple[str, str]]:
        """Yield each directory that may be a run's, with its shown path; append to `troubles`."""
        for shown, path in self._places:
            if is_run_directory(path):
                yield shown, str(record_of(run_of(path)))
                continue
            try:
                names = names_below(path)
            except ReportError as error:
                troubles.append(str(error))
                continue
            for name in names:
                yield os.path.join(shown, name), str(record_of(path / name))


class _Known(NamedTuple):
    """The knowledge about a run.

    Attributes:
        stamp: a digest of its files when they were read.
    """

    directory: str
    stamp: int
    looked: Looked

    @property
    def row(self) -> RunOverview:
        return self.looked.overview

    def is_held_by(self, pids: AbstractSet[int] | None) -> bool:
        """Return whether its orchestrator, if there was one, is among the locking processes."""
        holder = self.row.holder
        return holder is None or (pids is not None and holder.pid in pids)

    def again(self) -> _Known:
        """Return the present knowledge of a run whose files have not changed."""
        row, directory = self.row, Path(self.directory)
        if row.holder is None:
            return self
        if standing_of_held(directory, row.holder) is not row.standing:
            return self._replace(looked=look_at(directory, row.output_directory))
        if self.looked.masker is None:
            return self
        return self._replace(looked=self.looked.with_words(latest_logs(directory)))


def _stamp(directory: str) -> tuple[int | None, int]:
    """Return a value that changes with a run's files, None without a run, and its lock's inode."""
    found: list[tuple[int, int, int]] = []
    lock = 0
    for name in _FILES:
        try:
            status = os.stat(f"{directory}{os.sep}{name}")
        except OSError as error:
            lock = 0
            found.append((0, 0, 0 if error.errno in ABSENT else error.errno or 1))
        else:
            lock = status.st_ino
            found.append((lock, status.st_size, status.st_ctime_ns))
    if not any(map(any, found[_RECORD])):
        return None, 0
    return hash(tuple(found)), lock
