"""The lines on what a run has left in an epoch, kept with it: one per step, proved by a shared key.

The private state of a machine (left_file.py) knows nothing of what was left on another one. If
workers share a key, the same lines are kept beside the record, so that a worker that continues it
elsewhere notices that an older record was put back.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from fsm_orchestrator.disk import files
from fsm_orchestrator.disk.held import HeldDirectory
from fsm_orchestrator.record.left_file import KEPT_LINES, READ_BYTES_MAX, Left, line_of, parsed
from fsm_orchestrator.secrets.state_key import RecordKey

LEFT_FILE: Final = "orchestrator_left.jsonl"


class LeftBeside:
    """The open file of one epoch."""

    def __init__(self, epoch: HeldDirectory, key: RecordKey) -> None:
        self._epoch, self._key = epoch, key
        self._descriptor = -1

    def note(self, left: Left) -> None:
        """Add a line.

        Raises:
            OSError: it cannot be written.
        """
        if self._descriptor < 0:
            path = self._epoch.path / LEFT_FILE
            self._descriptor = files.open_append(path, mode=0o600, within=self._epoch)
        line = line_of(left)
        files.write_all(self._descriptor, f"{self._key.mac(line)} ".encode() + line)

    def close(self) -> None:
        """Close the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def lines_beside(directory: Path, key: RecordKey) -> tuple[Left, ...]:
    """Return the lines beside a record that the key proves, oldest first."""
    return tuple(
        found
        for mac, line in _split(directory)
        if key.mac(line) == mac and (found := parsed(line)) is not None
    )


def take_along(before: Path, made: HeldDirectory) -> None:
    """Copy the last lines of an epoch, if it has any, into the one made from it.

    Raises:
        OSError: they cannot be written.
    """
    lines = [f"{mac} ".encode() + line for mac, line in _split(before)][-KEPT_LINES:]
    if not lines:
        return
    descriptor = files.make_new(made.path / LEFT_FILE, mode=0o600, within=made)
    try:
        files.write_all(descriptor, b"".join(lines))
        files.sync(descriptor)
    finally:
        os.close(descriptor)


def _split(directory: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the MAC of each whole line, and the line."""
    with contextlib.suppress(OSError):
        *whole, _ = files.read_bounded(directory / LEFT_FILE, READ_BYTES_MAX).split(b"\n")
        for text in whole:
            mac, _, line = text.partition(b" ")
            yield mac.decode("latin-1"), line + b"\n"
