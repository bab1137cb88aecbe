"""Removes archived runs, each as a whole: renamed first, and removed under the new name later.

A kill at any moment leaves a run whole under its name, or gone; the next removal finishes the rest.
No link is followed, and nothing on another file system is touched.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from typing import Final

from fsm_orchestrator.constants import ARCHIVE_DIRECTORY
from fsm_orchestrator.disk import files
from fsm_orchestrator.disk.files import SystemCall
from fsm_orchestrator.disk.held import HeldDirectory

REMOVING: Final = ".removing."
"""The prefix of the name of an archived run's directory while it is removed. No run has such a
name: an id begins with a letter or a digit."""
_OWNERS_ALL: Final = 0o700
_A_DIRECTORY: Final = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_ANYTHING: Final[int | None] = getattr(os, "O_PATH", None)
"""The flag that opens what may not be read; None where the system has none."""


def give_up(output: HeldDirectory, name: str) -> None:
    """Give up an archived run: rename it, so that what is left of it has a name that no run has.

    Raises:
        OSError: it cannot be renamed, and is whole.
    """
    with files.below(output, ARCHIVE_DIRECTORY, may_make=False) as archive:
        new, number = f"{REMOVING}{name}", 1
        while os.path.lexists(archive.path / new):
            number += 1
            new = f"{REMOVING}{name}.{number}"
        both = {"src_dir_fd": archive.descriptor, "dst_dir_fd": archive.descriptor}
        files.perform(SystemCall.RENAME, os.rename, name, new, **both)
        files.sync(archive.descriptor)


def remove_given_up(output: HeldDirectory) -> tuple[OSError, ...]:
    """Remove the remains of runs that were given up; return why some cannot be removed."""
    return tuple(_removed(output))


def _removed(output: HeldDirectory) -> Iterator[OSError]:
    try:
        with files.below(output, ARCHIVE_DIRECTORY, may_make=False) as archive:
            device = archive.identity.device
            for name in sorted(os.listdir(archive.descriptor)):
                if name.startswith(REMOVING):
                    try:
                        _remove(name, archive.descriptor, device)
                    except OSError as error:
                        yield error
            files.sync(archive.descriptor)
    except FileNotFoundError:
        return
    except OSError as error:
        yield error


def _remove(name: str, above: int, device: int) -> None:
    with contextlib.suppress(FileNotFoundError):
        status = os.stat(name, dir_fd=above, follow_symlinks=False)
        if not stat.S_ISDIR(status.st_mode):
            files.perform(SystemCall.UNLINK, os.unlink, name, dir_fd=above)
            return
        if status.st_mode & _OWNERS_ALL != _OWNERS_ALL:  # a stage may have locked it
            _unshut(name, above)
        descriptor = os.open(name, _A_DIRECTORY | os.O_RDONLY, dir_fd=above)
        try:
            if os.fstat(descriptor).st_dev != device:
                raise OSError(errno.EXDEV, "something is mounted there", name)
            for one in os.listdir(descriptor):
                _remove(one, descriptor, device)
        finally:
            os.close(descriptor)
        os.rmdir(name, dir_fd=above)


def _unshut(name: str, above: int) -> None:
    """Give a directory's owner access to it, never through a link in its place."""
    if _ANYTHING is None:
        return
    descriptor = os.open(name, _A_DIRECTORY | _ANYTHING, dir_fd=above)
    try:
        os.chmod(f"/proc/self/fd/{descriptor}", _OWNERS_ALL)
    except FileNotFoundError:  # no /proc: the directory stays locked, and that is reported
        return
    finally:
        os.close(descriptor)
