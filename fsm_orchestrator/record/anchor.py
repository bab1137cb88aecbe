"""Checks that the run's own files are what this program left: others may have written to them.

A stage runs with the operator's rights, and may write to checkpoint and report. Before either is
replaced, the existing file is compared with the one that was left, byte by byte: both are small,
and no time stamp is fine enough to show every change.
"""

from __future__ import annotations

import contextlib
import os
import stat
from enum import StrEnum
from pathlib import Path
from typing import Final, NamedTuple, assert_never

from fsm_orchestrator.constants import TAMPERED_DIRECTORY
from fsm_orchestrator.disk import files
from fsm_orchestrator.disk.held import HeldDirectory
from fsm_orchestrator.disk.peek import RECORD_BYTES_MAX
from fsm_orchestrator.errors import OperationError
from fsm_orchestrator.text.hidden import copyable
from fsm_orchestrator.vocabulary import Operation

KEPT_MAX: Final = 100
"""The most foreign versions of one file that are kept in a run's directory."""


class Tampering(StrEnum):
    """A change that others made to one of this program's files."""

    REMOVED = "removed"
    EDITED = "edited"
    REPLACED = "replaced"
    """Replaced by something that is not a regular file."""

    @property
    def words(self) -> str:
        """The change, as text for people."""
        match self:
            case Tampering.REMOVED:
                return "was removed or moved"
            case Tampering.EDITED:
                return "was changed or replaced"
            case Tampering.REPLACED:
                return "was replaced by something that is not a regular file"
            case _:
                assert_never(self)


class Found(NamedTuple):
    """The state of a file that others have changed; `data` is None where it was not read."""

    what: Tampering
    data: bytes | None


class _Answered(NamedTuple):
    """A change to a file, and the answer to it.

    Attributes:
        kept: where the foreign version is kept; None if it is not.
        trouble: why this program's version could not be restored; None if it is.
    """

    path: Path
    what: Tampering
    kept: Path | None
    trouble: str | None


class Anchor:
    """The content that this invocation left in the run's files, where known."""

    def __init__(self, home: HeldDirectory) -> None:
        self._home = home
        self._left: dict[Path, bytes] = {}
        self._said: _Answered | None = None
        """The first change that was found and has not been reported."""

    def left(self, path: Path, data: bytes | None) -> None:
        """Note the content written to a file; None where it is unknown."""
        if data is None:
            self._left.pop(path, None)
        else:
            self._left[path] = data

    def data_of(self, path: Path) -> bytes | None:
        """Return the content written to a file, or None where it is unknown."""
        return self._left.get(path)

    def look(self) -> None:
        """Compare all files with what was left; restore those that differ, and keep what was there.

        Raises:
            OSError: the whole directory was removed or replaced, or a file cannot be read.
        """
        for path, data in self._left.items():
            found = _compared(path, data)
            if found is not None:
                self._home.confirm()
                answered = self._put_back(path, found)
                self._said = self._said or answered

    def confirm(self) -> None:
        """Check that all files are, and were at each look, what was left.

        Raises:
            OperationError: one was not. It is raised once, and says whether the file is restored.
            OSError: as for `look`.
        """
        self.look()
        said, self._said = self._said, None
        if said is None:
            return
        is_back = said.trouble is None
        done = "is restored" if is_back else f"cannot be restored: {said.trouble}"
        there = "" if said.kept is None else f"; the other version is kept in {copyable(said.kept)}"
        raise OperationError(
            Operation.CONTROL_VERIFY,
            f"{copyable(said.path)} {said.what.words} while the run was at work, and {done}{there}",
            remedy="find out who did that, a stage perhaps, then resume; a confined stage cannot",
        )

    def _put_back(self, path: Path, found: Found) -> _Answered:
        """Restore this program's version and keep the foreign one."""
        kept = trouble = None
        with contextlib.suppress(OSError):
            if found.data is not None:
                kept = self._kept(path, found.data)
            elif found.what is not Tampering.REMOVED:
                kept = self._moved(path)
        try:
            files.replace_file(path, self._left[path], within=self._home)
        except OSError as error:
            trouble = files.reason(error)
        return _Answered(path, found.what, kept, trouble)

    def _kept(self, path: Path, data: bytes) -> Path | None:
        with self._tampered() as place:
            name = _free_name(path.name, place)
            if name is None:
                return None
            files.replace_file(place.path / name, data, mode=0o600, within=place)
            return place.path / name

    def _moved(self, path: Path) -> Path | None:
        with self._tampered() as place:
            name = _free_name(path.name, place)
            if name is None:
                return None
            both = {"src_dir_fd": self._home.descriptor, "dst_dir_fd": place.descriptor}
            os.rename(path.name, name, **both)
            return place.path / name

    def _tampered(self) -> contextlib.AbstractContextManager[HeldDirectory]:
        """Open the private directory for foreign versions, in the one that the run has locked."""
        with contextlib.suppress(FileExistsError):
            os.mkdir(TAMPERED_DIRECTORY, 0o700, dir_fd=self._home.descriptor)
        return files.below(self._home, TAMPERED_DIRECTORY, may_make=False)


def _free_name(name: str, place: HeldDirectory) -> str | None:
    """Return a new name for a foreign version, or None where too many are kept already."""
    taken = set(os.listdir(place.descriptor))
    names = (f"{name}.{number}" for number in range(1, KEPT_MAX + 1))
    return next((one for one in names if one not in taken), None)


def _compared(path: Path, data: bytes) -> Found | None:
    """Return the state of a file that was left with `data`, or None if it is unchanged."""
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return Found(Tampering.REMOVED, None)
    if not stat.S_ISREG(status.st_mode):
        return Found(Tampering.REPLACED, None)
    if status.st_size > RECORD_BYTES_MAX:
        return Found(Tampering.EDITED, None)
    try:
        there = files.read_bounded(path, RECORD_BYTES_MAX)
    except PermissionError:
        if status.st_mode & stat.S_IRUSR:  # the permissions allow reading: the disk refused
            raise
        return Found(Tampering.EDITED, None)
    return None if there == data else Found(Tampering.EDITED, there)
