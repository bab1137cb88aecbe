"""Copies what a stage prints from pipes into its logs: nothing that a stage opens can cut a pipe.

Used by the keeper, in an interpreter that has nothing of this package, and by grouped.py.
"""

from __future__ import annotations

import os
import time

TYPE_CHECKING = False  # as in keeper.py
if TYPE_CHECKING:
    from collections.abc import Sequence

CHUNK_BYTES = 128 * 1024
DRAIN_BYTES_MAX = 16 * 1024**2
"""The most that is read of a pipe at the end: a writer that could not be ended may go on."""
MAY_BE_WRITTEN = 0o200
"""The mode of a pipe: who opens `/dev/stdout` for reading would take what was printed."""


class LogCopy:
    """The pipes that a stage prints to, on their way into its logs. `close` it.

    No more than the limit is kept of both together; the rest is counted, and dropped, so that a
    stage that is about to be ended does not hang. So is what a log cannot take.

    Attributes:
        writers: the ends for the stage's stdout and stderr, until `close_writers`.
        printed_bytes: how much came through.
        kept_bytes: how much of that each log has got.
        printed_at: when something came through last, by the monotonic clock.
        failure: the number of the first log that could not be written, and the errno of it.
    """

    def __init__(self, logs: Sequence[int], limit_bytes: int | None) -> None:
        """Make a pipe for each log, one for two descriptors of the same file; own the logs.

        Raises:
            OSError: a pipe cannot be made; the logs are the caller's still.
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
        """The ends to read from; a pipe that all writers have closed is not among them."""
        return tuple(self._numbers)

    def close_writers(self) -> None:
        """Leave the writing ends to the stage."""
        for writer in set(self.writers):
            os.close(writer)
        self.writers = []

    def copy(self, reader: int) -> int:
        """Copy what a pipe holds, a chunk at most; return how much, 0 if it is empty or closed."""
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
        """Append to a log; write no more to one that once could not take all: it has a gap."""
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
