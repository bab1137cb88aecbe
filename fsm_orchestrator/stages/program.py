"""The digests of the files that an attempt runs, taken at almost no cost to the attempt."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Final, NamedTuple

from fsm_orchestrator.config.program_files import files_of
from fsm_orchestrator.config.stage_settings import StageSettings
from fsm_orchestrator.disk import files
from fsm_orchestrator.disk.kinds import read_open
from fsm_orchestrator.model.program import ProgramFile
from fsm_orchestrator.secrets.masking import Masker
from fsm_orchestrator.text.digest import sha256_of

SMALL_BYTES: Final = 256 * 1024
"""The size of a script, at most. A larger program is read once its process exists: from then on the
kernel keeps others from writing to it."""
LARGE_BYTES: Final = 1024**3
FILES_MAX: Final = 10


class _Taken(NamedTuple):
    """A file that was read, or is open to be read; `stamp` is the time of its last change."""

    path: str
    sha256: str | None
    descriptor: int = -1
    stamp: int = 0


class Program:
    """The files that an attempt is about to run. `close` it.

    Attributes:
        path: where the program was found; None if it was not.
    """

    def __init__(self, settings: StageSettings) -> None:
        self._taken: list[_Taken] = []
        self.path: str | None = None
        for file in files_of(settings, ()):
            if len(self._taken) == FILES_MAX:
                return
            path, is_program = os.path.abspath(file.path), file.argument is None
            if is_program:
                self.path = path
            self._taken.append(_take(path, is_program=is_program))

    def started(self) -> None:
        """Read the files that were left to be read."""
        self._taken = [_finish(one) if one.descriptor >= 0 else one for one in self._taken]

    def record(self, masker: Masker) -> tuple[ProgramFile, ...]:
        """Return the record of these files."""
        return tuple(
            ProgramFile(path=masker.mask(one.path), sha256=one.sha256) for one in self._taken
        )

    def close(self) -> None:
        """Close the files that are still open."""
        for one in self._taken:
            if one.descriptor >= 0:
                os.close(one.descriptor)
        self._taken = [one._replace(descriptor=-1) for one in self._taken]


def _take(path: str, *, is_program: bool) -> _Taken:
    try:
        descriptor = files.open_regular(Path(path), is_link_good=True)
    except OSError:
        return _Taken(path, None)
    info = os.fstat(descriptor)
    if info.st_size > SMALL_BYTES and is_program and info.st_size <= LARGE_BYTES:
        return _Taken(path, None, descriptor, info.st_ctime_ns)
    try:
        data = read_open(descriptor, SMALL_BYTES + 1)
    finally:
        os.close(descriptor)
    return _Taken(path, sha256_of(data) if len(data) <= SMALL_BYTES else None)


def _finish(taken: _Taken) -> _Taken:
    import hashlib  # noqa: PLC0415 - several times as fast, where that outweighs loading it

    sha256 = None
    with os.fdopen(taken.descriptor, "rb", buffering=0) as stream, contextlib.suppress(OSError):
        read = hashlib.file_digest(stream, "sha256").hexdigest()
        if os.fstat(stream.fileno()).st_ctime_ns == taken.stamp:
            sha256 = read
    return _Taken(taken.path, sha256)
