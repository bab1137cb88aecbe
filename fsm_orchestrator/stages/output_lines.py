"""What a running stage prints, line by line, as it may be shown to others.

Reads the stage's log files by descriptor, in chunks, so memory is flat whatever a stage prints.
Values are masked before anything is split or cut. Logs nothing itself, and looks only when told.
"""

from __future__ import annotations

import codecs
import os
from collections.abc import Callable, Iterator
from typing import Final

from fsm_orchestrator.secrets.masking import Masker
from fsm_orchestrator.vocabulary import OutputStream

CHUNK_BYTES: Final = 8 * 1024
LINE_BYTES_MAX: Final = 8 * 1024
LOOK_BYTES_MAX: Final = 512 * 1024
"""How much of one stream is read in one look, so that a stage that floods is still waited for."""
LINES_MAX: Final = 10_000

Tell = Callable[[OutputStream, str, bool], None]
"""Told of a line: its stream, its text, and whether it was cut."""


class OutputLines:
    """The lines of two outputs from the moment of construction on, at most 10,000 of them.

    Two descriptors of the same file are one output: stdout. `on_full` is called once, when there
    is a line too many; nothing is read after it.
    """

    def __init__(
        self,
        outputs: tuple[int, int],
        masker: Masker,
        tell: Tell,
        on_full: Callable[[], None],
    ) -> None:
        self._tell = tell
        self._on_full = on_full
        self._lines_left = LINES_MAX
        self._streams = [_Stream(OutputStream.STDOUT, outputs[0], masker)]
        if not os.path.sameopenfile(*outputs):
            self._streams.append(_Stream(OutputStream.STDERR, outputs[1], masker))

    def read(self) -> bool:
        """Tell of the lines that were finished since the last look, stdout's first.

        Returns:
            Whether there was more than is read at once.
        """
        has_more = False
        for stream in self._streams:
            left_bytes = LOOK_BYTES_MAX
            while left_bytes > 0 and (data := stream.chunk()):
                left_bytes -= len(data)
                if not self._tell_all(stream, stream.lines(data)):
                    return False
            has_more = has_more or left_bytes <= 0
        return has_more

    def finish(self) -> None:
        """Tell of all the rest, last lines without a newline included: nothing more will come."""
        while self.read():
            pass
        for stream in self._streams:
            if not self._tell_all(stream, stream.last_lines()):
                return

    def _tell_all(self, stream: _Stream, lines: Iterator[tuple[str, bool]]) -> bool:
        """Tell of lines; False when there was one too many."""
        for text, is_cut in lines:
            if self._lines_left == 0:
                self._streams = []
                self._on_full()
                return False
            self._lines_left -= 1
            self._tell(stream.name, text, is_cut)
        return True


class _Stream:
    """One output, on its way from bytes to masked lines."""

    def __init__(self, name: OutputStream, descriptor: int, masker: Masker) -> None:
        self.name = name
        self._descriptor = descriptor
        self._offset = os.fstat(descriptor).st_size
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._masker = masker
        self._held = ""
        """What may be part of a value still, after the character before it, if there is one."""
        self._held_from = 0
        self._line = bytearray()
        self._is_cut = False

    def chunk(self) -> bytes:
        """The next bytes; none when all that was printed has been read.

        A log that the stage itself has cut short is read anew from its beginning: anywhere else
        might be within a value.
        """
        if os.fstat(self._descriptor).st_size < self._offset:
            self._offset = 0
        data = os.pread(self._descriptor, CHUNK_BYTES, self._offset)
        self._offset += len(data)
        return data

    def lines(self, data: bytes) -> Iterator[tuple[str, bool]]:
        """The lines that these bytes finish, and whether each was cut."""
        text = self._held + self._decoder.decode(data)
        masked, rest = self._masker.masked_part(text, self._held_from)
        self._held_from = min(rest, 1)
        self._held = text[rest - self._held_from :]
        yield from self._split(masked)

    def last_lines(self) -> Iterator[tuple[str, bool]]:
        """What was held back, and the last line if it has no newline."""
        text = self._held + self._decoder.decode(b"", final=True)
        yield from self._split(self._masker.masked_end(text, self._held_from))
        if self._line:
            yield self._take_line()

    def _split(self, masked: str) -> Iterator[tuple[str, bool]]:
        *finished, begun = masked.split("\n")
        for part in finished:
            self._add(part)
            yield self._take_line()
        self._add(begun)

    def _add(self, part: str) -> None:
        data = part.encode()
        room = LINE_BYTES_MAX - len(self._line)
        self._line += data[:room]
        self._is_cut = self._is_cut or len(data) > room

    def _take_line(self) -> tuple[str, bool]:
        line = self._line.decode(errors="ignore"), self._is_cut  # a cut may be within a character
        self._line.clear()
        self._is_cut = False
        return line
