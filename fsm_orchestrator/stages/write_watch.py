"""Notices writes to a file, whatever its time stamps say: on Linux, by inotify(7).

Stamps cannot distinguish a rewrite of the same bytes from a change of permissions or a new link,
and do not show it at all on a file system that stamps by the second. The kernel reports each write.
"""

from __future__ import annotations

import contextlib
import os
import struct
import sys
from collections.abc import Iterable
from typing import Final

_IN_MODIFY: Final = 0x2
_EVENT: Final = struct.Struct("iIII")
_READ_BYTES: Final = 65536


class WriteWatch:
    """A watch on files from the moment it is made. It needs no closing: it goes with its last user.

    Attributes:
        paths: the watched files. If the kernel or the file system cannot watch, there are none.
    """

    def __init__(self, paths: Iterable[str]) -> None:
        self._descriptor: int | None = None
        self._paths: dict[int, set[str]] = {}
        self._written: set[str] = set()
        wanted = list(paths)
        if wanted and sys.platform == "linux":
            self._watch(wanted)
        self.paths: Final = frozenset(path for same in self._paths.values() for path in same)

    def _watch(self, paths: list[str]) -> None:
        import ctypes  # noqa: PLC0415 - rare: only where something was left

        libc = ctypes.CDLL(None, use_errno=True)
        try:
            descriptor = libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
        except AttributeError:  # a C library without it
            return
        if descriptor < 0:
            return
        self._descriptor = descriptor
        for path in paths:
            number = libc.inotify_add_watch(descriptor, os.fsencode(path), _IN_MODIFY)
            if number >= 0:
                self._paths.setdefault(number, set()).add(path)

    def forget(self) -> None:
        """Forget the writes until now."""
        self.written()
        self._written.clear()

    def written(self) -> frozenset[str]:
        """Return the paths of watched files that were written to."""
        with contextlib.suppress(OSError):
            while self._descriptor is not None and (data := os.read(self._descriptor, _READ_BYTES)):
                at = 0
                while at < len(data):
                    number, mask, _, name_bytes = _EVENT.unpack_from(data, at)
                    at += _EVENT.size + name_bytes
                    if mask & _IN_MODIFY:
                        self._written |= self._paths.get(number, set())
        return frozenset(self._written)

    def __del__(self) -> None:
        """Make the kernel stop watching."""
        if self._descriptor is not None:
            with contextlib.suppress(OSError):
                os.close(self._descriptor)
