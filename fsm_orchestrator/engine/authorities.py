"""The operator's files by which gates judge, held against what they were before a stage ran.

Who may approve, and what a policy allows, is read each time that a gate is judged. While a gate
waits an operator may change it; what changes while stages are at work may be a stage's doing,
and lets nothing pass. Where a gate refuses to close a run by what is there now, as after a
revocation, that counts.
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
    """The files of the sources of a run."""

    def __init__(self, sources: Iterable[SourceModel]) -> None:
        named = (path for one in sources for path in one.authorities)
        self._named = tuple(dict.fromkeys(named))
        self._seen = self._now()
        self.changed: OperationError | None = None
        """What the first look said that found a change; the file stays as it is."""

    def note(self) -> None:
        """Take the files as they are now."""
        self._seen = self._now()

    def look(self) -> None:
        """Compare the files with what they were, and take them as they are now."""
        before, self._seen = self._seen, self._now()
        for path in (*before, *self._seen):
            why = _difference(path, before, self._seen)
            if why is not None and self.changed is None:
                self.changed = OperationError(
                    Operation.CONTROL_VERIFY,
                    f"{copyable(path)} {why} while stages were at work, and gates are judged by it",
                    remedy="find out who did that, a stage perhaps; put it right, then resume",
                )

    def _now(self) -> dict[str, str | None]:
        return {path: _digest(path) for path in _files(self._named)}


def _difference(
    path: str, before: Mapping[str, str | None], now: Mapping[str, str | None]
) -> str | None:
    """Return what was done to a file; None where it is what it was."""
    then, there = before.get(path), now.get(path)
    if then == there:
        return None
    if there is None:
        return "was removed, or cannot be read any more,"
    return "was put there" if then is None else "was changed or replaced"


def _files(named: Iterable[str]) -> Iterator[str]:
    """Yield files, and those in directories at any depth, in order; only so many."""
    left = FILES_MAX
    for path in named:
        if not os.path.isdir(path):
            yield path
            continue
        for place, below, names in os.walk(path):
            below.sort()
            for name in sorted(names):
                left -= 1
                if left < 0:
                    return
                yield os.path.join(place, name)


def _digest(path: str) -> str | None:
    try:
        return sha256_of(files.read_bounded(Path(path), FILE_BYTES_MAX, is_link_good=True))
    except OSError:
        return None
