"""Finds where a record is relative to its place: there, moved, copied, or brought from elsewhere.

Processes and private values belong to the run in one directory. A copy of its record has neither.
Looks at directories, and writes nothing.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Final

from fsm_orchestrator.constants import ARCHIVE_DIRECTORY, CHECKPOINT_FILE
from fsm_orchestrator.disk import peek
from fsm_orchestrator.disk.held import Identity, identity_of
from fsm_orchestrator.disk.where import run_of
from fsm_orchestrator.processes import table
from fsm_orchestrator.record.home import Home, Whereabouts, is_at

BESIDE_MAX: Final = 2000
"""The most names that are looked at beside a directory, to find one that was renamed."""


def whereabouts(home: Home, directory: Path, run_id: str) -> Whereabouts:
    """Return the place of the run's record that is in `directory` and has that `home`."""
    directory = directory.absolute()
    if is_at(home, directory):
        return Whereabouts.HOME
    if _is_handed_on(home, directory):
        return Whereabouts.HANDED_ON
    here = _identity(directory)
    if here is None:
        return Whereabouts.BROUGHT
    if home.inode == here.inode and _is_known(home, here):
        is_home = _identity(Path(home.directory)) == here  # under another name
        return Whereabouts.HOME if is_home else Whereabouts.MOVED
    if original_of(home, directory, run_id) is not None:
        return Whereabouts.COPIED
    if _is_this_boot(home) and home.device != here.device:
        return Whereabouts.CARRIED
    return Whereabouts.BROUGHT


def _is_handed_on(home: Home, directory: Path) -> bool:
    """Return whether a directory is an epoch of the run, with a record of it or of an earlier one.

    By the same path, or, if the run has another one (on another machine, or after it was renamed),
    by being beside the very epoch that the record names.
    """
    run, before = run_of(directory), Path(home.directory)
    if directory == run or run_of(before) == before or before.name > directory.name:
        return False
    if run_of(before) == run:
        return True
    there = _identity(directory.parent / before.name)
    return there is not None and there.inode == home.inode


def _is_known(home: Home, here: Identity) -> bool:
    """Return whether a directory with that inode number, elsewhere, is that of the record.

    Another machine may have given the same numbers to another directory. A device may have another
    number after it was mounted again; the old place of the directory is then empty.
    """
    if not (_is_this_boot(home) or home.host == os.uname().nodename):
        return False
    if home.identity == here:
        return True
    there = _identity(Path(home.directory))
    return there is None or there.inode != home.inode


def _is_this_boot(home: Home) -> bool:
    """Return whether the record was written on this machine, and since it was booted."""
    boot = table.boot()
    return home.boot == boot if boot else home.host == os.uname().nodename


def original_of(home: Home, directory: Path, run_id: str) -> Path | None:
    """Return the directory on this machine in which the run of a copy works, or None.

    It is looked for at its old place, and under other names beside that and the copy.
    """
    there, here = Path(home.directory), _identity(directory)
    beside = (one for above in _above(there, directory) for one in _directories_in(above))
    for one in chain((there,), beside):
        found = _identity(one)
        if found not in {None, here} and _is_of(one, found, home, run_id):
            return one
    return None


def _above(*directories: Path) -> Iterator[Path]:
    """Yield the parent directories, each once."""
    known: list[Identity | None] = [None]
    for one in directories:
        found = _identity(one.parent)
        if found not in known:
            known.append(found)
            yield one.parent


def _directories_in(directory: Path) -> Iterator[Path]:
    with contextlib.suppress(OSError), os.scandir(directory) as entries:
        for entry, _ in zip(entries, range(BESIDE_MAX), strict=False):
            if entry.is_dir():
                yield Path(entry.path)


def _is_of(directory: Path, found: Identity | None, home: Home, run_id: str) -> bool:
    """Return whether a directory is the run's own: its record says that, or the copied one does.

    If a later run has taken its place there, the run is in the archive.
    """
    if found is None:
        return False
    is_known = found.inode == home.inode
    if is_known and os.path.isdir(directory / ARCHIVE_DIRECTORY / run_id):
        return True
    try:
        members = peek.leading(peek.beginning(directory / CHECKPOINT_FILE))
    except OSError:
        return False
    if members.get("run_id") != run_id:
        return False
    place = members.get("home")
    says_so = isinstance(place, dict) and (place.get("device"), place.get("inode")) == found
    return is_known or says_so


def _identity(directory: Path) -> Identity | None:
    try:
        return identity_of(os.stat(directory))
    except (OSError, ValueError):
        return None
