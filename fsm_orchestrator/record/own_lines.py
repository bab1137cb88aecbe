"""Checks that the lines that an invocation has appended to a file are there as it wrote them."""

from __future__ import annotations

import os
from typing import Final

from fsm_orchestrator.stages.artifact_snapshot import file_clock_ns
from fsm_orchestrator.text.digest import new_digest

BLOCK_BYTES: Final = 1 << 20
_SECOND_NS: Final = 1_000_000_000


class OwnLines:
    """The part of an open file that this process has appended since it opened it."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._begins = os.fstat(descriptor).st_size
        self._size = self._begins
        self._digest = new_digest()
        self._before = self._digest
        self._stamps = self._stamps_now()

    def appended(self, data: bytes) -> None:
        """Note data that was appended."""
        self._before = self._digest.copy()
        self._digest.update(data)
        self._size += len(data)
        self._stamps = self._stamps_now()

    def took_back(self, size: int) -> None:
        """Note that the file was cut to where it was before the last append."""
        if size < self._size:
            self._digest = self._before.copy()
        self._size = size
        self._stamps = self._stamps_now()

    def are_intact(self, *, wholly: bool) -> bool:
        """Return whether the lines are as they were written; if not, the current ones count now.

        Unless `wholly`, a file whose size and time of change are unchanged is not read.
        """
        stamps = self._stamps_now()
        if not wholly and stamps == self._stamps:
            return True
        self._stamps = stamps
        size, digest = stamps[0], new_digest()
        place = self._begins
        while place < size and (block := os.pread(self._descriptor, BLOCK_BYTES, place)):
            digest.update(block)
            place += len(block)
        is_same = size == self._size and digest.digest() == self._digest.digest()
        self._size, self._digest = size, digest
        self._begins = min(self._begins, size)
        return is_same

    def _stamps_now(self) -> tuple[int, int]:
        status = os.fstat(self._descriptor)
        return status.st_size, status.st_mtime_ns


def untouched(descriptor: int) -> str:
    """Return a stamp that later shows that an open file was not touched since; "" if none can.

    None can while a write would leave the same times: within a tick of the clock that stamps files,
    or where that clock counts only seconds.
    """
    status = os.fstat(descriptor)
    times = status.st_mtime_ns, status.st_ctime_ns
    if all(one % _SECOND_NS == 0 for one in times) or max(times) >= file_clock_ns():
        return ""
    return " ".join(map(str, (status.st_ino, status.st_size, *times)))
