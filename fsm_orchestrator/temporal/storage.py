"""Probes storage for what epochs need: rename, hard links, exclusive mkdir, fsync."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from fsm_orchestrator.disk import files
from fsm_orchestrator.errors import CommandError
from fsm_orchestrator.text.hidden import copyable


def probe(directory: Path) -> None:
    """Try out in a directory the operations that records need, and leave nothing there.

    Raises:
        CommandError: one operation fails, or does not do what it should.
    """
    try:
        _try_out(directory)
    except OSError as error:
        raise CommandError(
            f"runs cannot be kept in {copyable(str(directory))}: {files.reason(error)}",
            remedy="mount storage there that all workers reach, with rename, hard links and fsync",
        ) from error


def _try_out(directory: Path) -> None:
    draft = directory / f".{os.uname().nodename}.{os.getpid()}.{os.urandom(4).hex()}.probe"
    final = draft.with_suffix(".probed")
    draft.mkdir(mode=0o700)
    try:
        files.replace_file(draft / "a", b"probe", mode=0o600)
        os.link(draft / "a", draft / "b")
        if (draft / "b").stat().st_nlink < 2:  # noqa: PLR2004 - both names of it
            raise OSError(0, "a hard link is not counted")
        files.replace_file(draft / "a", b"replaced", mode=0o600)
        if files.read_bounded(draft / "b", 16) != b"probe":
            raise OSError(0, "a file that was replaced has changed under its other name")
        os.rename(draft, final)
        files.sync_directory(directory)
        with contextlib.suppress(FileExistsError):
            final.mkdir()
            raise OSError(0, "a directory can be made where one exists")
    finally:
        for place in (draft, final):
            with contextlib.suppress(OSError):
                for name in os.listdir(place):
                    (place / name).unlink()
                place.rmdir()
