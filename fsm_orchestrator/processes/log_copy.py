"""Copies what a stage prints from pipes into its logs: a pipe cannot be truncated by opening it.

Used by the keeper, in an interpreter that cannot import this package, and by group_output.py.
"""

from __future__ import annotations

import os
import time

TYPE_CHECKING = False  # as in keeper.py
if TYPE_CHECKING:
    from collections.abc import Sequence

CHUNK_BYTES = 128 * 1024
DRAIN_BYTES_MAX = 16 * 1024**2
"""The most bytes to read from a pipe at the end: a writer that could not be ended may continue."""
MAY_BE_WRITTEN = 0o200
"""The mode of a pipe: a process that opens `/dev/stdout` for reading would take the output."""


class LogCopy:
    """The pipes that carry what a stage prints into its logs. `close` it.

    Of both together, no more than the limit is kept; the rest is counted and dropped, so that a
    stage that is about to be ended does not hang. So is what a log cannot take.

    Attributes:
        writers: the writing ends, for the stage's stdout and stderr, until `close_writers`.
        printed_bytes: the bytes that came through.
        kept_bytes: the bytes of those that each log got.
        printed_at: the time of the last output, by the monotonic clock.
        failure: the number of the first log that could not be written, and its errno.
    """

    def __init__(self, logs: Sequence[int], limit_bytes: int | None) -> None:
        """Create a pipe for each log, one for two descriptors of the same file; own the logs.

        Raises:
            OSError: a pipe cannot be created; the caller still owns the logs.
        """
        self.printed_bytes = 0
        self.printed_at = time.monotonic()
        self.kept_bytes = [0, 0]
        self.failure: tuple[int, int] | None = None
        self._limit_bytes = limit_bytes
        self._logs = tuple(logs)
        self._numbers: dict[int, int] = {}
        self._refused: set[int] = set()
        self._buffer = memoryview(bytearray(CHUNK_BYTES))
        self.writers: list[int] = []
        try:
            for number, log in enumerate(logs):
                if number and os.path.sameopenfile(log, logs[0]):
                    self.writers.append(self.writers[0])
                    continue
                reader, writer = os.pipe()
                self._numbers[reader] = number
                self.writers.append(writer)
                os.set_blocking(reader, False)
                _let_be_written(reader)
        except BaseException:
            self.close_writers()
            self._logs = ()
            self.close()
            raise

    @property
    def readers(self) -> tuple[int, ...]:
        """The reading ends; a pipe that all writers have closed is not among them."""
        return tuple(self._numbers)

    def close_writers(self) -> None:
        """Leave the writing ends to the stage."""
        for writer in set(self.writers):
            os.close(writer)
        self.writers = []

    def copy(self, reader: int) -> int:
        """Copy what a pipe holds, at most a chunk; return how much, 0 if it is empty or closed."""
        try:
            count = os.readv(reader, [self._buffer])
        except BlockingIOError:
            return 0
        if count == 0:
            del self._numbers[reader]
            os.close(reader)
            return 0
        room = count
        if self._limit_bytes is not None:
            room = min(count, max(0, self._limit_bytes - self.printed_bytes))
        self.printed_bytes += count
        self.printed_at = time.monotonic()
        self._write(self._numbers[reader], self._buffer[:room])
        return count

    def drain(self) -> None:
        """Copy what the pipes hold, without waiting for more."""
        for reader in self.readers:
            left_bytes = DRAIN_BYTES_MAX
            while left_bytes > 0 and (count := self.copy(reader)):
                left_bytes -= count

    def close(self) -> None:
        """Close the reading ends and the logs."""
        for descriptor in {*self._numbers, *self._logs}:
            os.close(descriptor)
        self._numbers = {}
        self._logs = ()

    def _write(self, number: int, data: memoryview) -> None:
        """Append to a log; after a failed write, write no more to it: it has a gap."""
        while data and number not in self._refused:
            try:
                count = os.write(self._logs[number], data)
                self.kept_bytes[number] += count
                data = data[count:]
            except OSError as error:
                self._refused.add(number)
                self.failure = self.failure or (number, error.errno or 0)


def _let_be_written(reader: int) -> None:
    try:
        os.fchmod(reader, MAY_BE_WRITTEN)
    except OSError:  # macOS
        return
