"""Space kept for a run's final record: freed when the disk is full, so that it can be written.

The blocks belong to a file without a name: it is never seen, and a kill leaves nothing of it. If
the space cannot be kept, the run continues without it.
"""

from __future__ import annotations

import contextlib
import errno
import os
from typing import Final

from fsm_orchestrator.disk.held import HeldDirectory

SIZE_BYTES_MIN: Final = 256 * 1024
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


class Reserve:
    """Blocks on a directory's file system that are kept until they are freed or closed."""

    def __init__(self, directory: HeldDirectory, size_bytes: int) -> None:
        self._descriptor = -1
        with contextlib.suppress(OSError):
            self._descriptor = _open_nameless(directory)
            try:
                _fill(self._descriptor, max(SIZE_BYTES_MIN, size_bytes))
            except OSError:
                self.close()

    def free_for(self, error: BaseException | None) -> bool:
        """Free the space if the error is a full disk; return whether there is more space now."""
        is_full = isinstance(error, OSError) and error.errno in _FULL
        if not is_full or self._descriptor < 0:
            return False
        self.close()
        return True

    def close(self) -> None:
        """Free the space."""
        if self._descriptor >= 0:
            with contextlib.suppress(OSError):
                os.close(self._descriptor)
            self._descriptor = -1


def _fill(descriptor: int, size_bytes: int) -> None:
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size_bytes)
        return
    written = 0
    while written < size_bytes:
        written += os.write(descriptor, b"\0" * (size_bytes - written))


def _open_nameless(directory: HeldDirectory) -> int:
    flags = os.O_RDWR | os.O_CLOEXEC
    if hasattr(os, "O_TMPFILE"):
        with contextlib.suppress(OSError):  # not every file system supports it
            return os.open(".", flags | os.O_TMPFILE, 0o600, dir_fd=directory.descriptor)
    name = f".{os.urandom(16).hex()}.tmp"
    flags |= os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    descriptor = os.open(name, flags, 0o600, dir_fd=directory.descriptor)
    os.unlink(name, dir_fd=directory.descriptor)
    return descriptor
