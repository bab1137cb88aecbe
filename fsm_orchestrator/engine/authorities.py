"""The operator's files by which gates judge, compared with their state before a stage ran.

Who may approve and what a policy allows are read each time a gate is judged. While a gate waits, an
operator may change them; a change while stages are at work may be a stage's doing, and lets nothing
pass. If a gate refuses to close a run because of the present files, as after a revocation, the
refusal counts.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from fsm_orchestrator.disk import files
from fsm_orchestrator.errors import OperationError
from fsm_orchestrator.gates.sources.base import SourceModel
from fsm_orchestrator.text.digest import sha256_of
from fsm_orchestrator.text.hidden import copyable
from fsm_orchestrator.vocabulary import Operation

FILE_BYTES_MAX: Final = 16 * 1024 * 1024
FILES_MAX: Final = 10_000


class Authorities:
    """The files that the sources of a run judge by."""

    def __init__(self, sources: Iterable[SourceModel]) -> None:
        named = (path for one in sources for path in one.authorities)
        self._named = tuple(dict.fromkeys(named))
        self.changed: OperationError | None = None
        """The error from the first look that found a change, or too many files to notice one; None
        until then. The files themselves are not restored."""
        self._seen = self._now()

    def note(self) -> None:
        """Note the present state of the files."""
        self._seen = self._now()

    def look(self) -> None:
        """Compare the files with the state noted last, and note their present state."""
        before, self._seen = self._seen, self._now()
        for path in (*before, *self._seen):
            why = _difference(path, before, self._seen)
            if why is not None:
                self._refuse(
                    f"{copyable(path)} {why} while stages were at work, and gates are judged by it",
                    "find out who did that, a stage perhaps; put it right, then resume",
                )

    def _now(self) -> dict[str, str | None]:
        found: dict[str, str | None] = {}
        for path in _files(self._named):
            if len(found) == FILES_MAX:
                self._refuse(
                    f"gates are judged by more than {FILES_MAX:,} files, too many to notice a"
                    f" change: {copyable(path)} is one more",
                    "name the files themselves, or a directory that has no others; then resume",
                )
                break
            found[path] = _state(path)
        return found

    def _refuse(self, why: str, remedy: str) -> None:
        if self.changed is None:
            self.changed = OperationError(Operation.CONTROL_VERIFY, why, remedy=remedy)


def _difference(
    path: str, before: Mapping[str, str | None], now: Mapping[str, str | None]
) -> str | None:
    """Return what was done to a file, or None if it has not changed."""
    then, there = before.get(path), now.get(path)
    if then == there:
        return None
    if there is None:
        return "was removed, or can no longer be read,"
    return "was added" if then is None else "was changed or replaced"


def _files(named: Iterable[str]) -> Iterator[str]:
    """Yield the named files, and those at any depth in the named directories."""
    for path in named:
        if not os.path.isdir(path):
            yield path
            continue
        for place, below, names in os.walk(path):
            below.sort()
            yield from (os.path.join(place, name) for name in sorted(names))


def _state(path: str) -> str | None:
    """Return a text that changes with the content of a file; None if there is no file."""
    try:
        return sha256_of(files.read_bounded(Path(path), FILE_BYTES_MAX, is_link_good=True))
    except OSError:
        return _status(path)


def _status(path: str) -> str | None:
    """Return a text that every write to a file changes, without reading it; None for no file."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return f"{found.st_dev} {found.st_ino} {found.st_size} {found.st_mtime_ns} {found.st_ctime_ns}"
