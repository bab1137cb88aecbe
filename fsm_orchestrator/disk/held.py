"""A directory that is known by its descriptor, and used only while it still has its name."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import NamedTuple

MOVED = "another directory is in the place of the one that the run works in"


class Identity(NamedTuple):
    """The device and inode that distinguish a directory from all others that exist at the time."""

    device: int
    inode: int


def identity_of(status: os.stat_result) -> Identity:
    """Return the identity in the status of a directory or file."""
    return Identity(status.st_dev, status.st_ino)


class HeldDirectory:
    """An open directory. Operations below it go through its descriptor.

    Attributes:
        path: the name that it had when it was opened.
        descriptor: the open directory.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._name = os.fspath(path)  # converted once: `confirm` runs before each operation
        self._hold(descriptor)

    def _hold(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._known: Identity | None = None

    @property
    def identity(self) -> Identity:
        """The directory's identity."""
        return self._known or self._looked_at()

    def confirm(self) -> None:
        """Make sure that the directory still has its name.

        Raises:
            OSError: it was removed or moved, or something else has taken its place.
        """
        there, here = os.stat(self._name), self._known or self._looked_at()
        if there.st_ino != here.inode or there.st_dev != here.device:
            raise OSError(errno.ESTALE, MOVED, str(self.path))

    def _looked_at(self) -> Identity:
        """Return the identity, read once: it does not change while the directory is open."""
        self._known = identity_of(os.fstat(self.descriptor))
        return self._known
