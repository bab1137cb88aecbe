"""The lines that stages print, as they may be shown to others, while the logs grow.

Reads in chunks, so memory stays flat whatever a stage prints. Values are masked before anything is
split or cut. Logs nothing itself, and reads only when asked.
"""

from __future__ import annotations

import codecs
import os
import time
from collections.abc import Callable, Iterator
from typing import Final

from fsm_orchestrator.disk import files
from fsm_orchestrator.secrets.masking import Masker
from fsm_orchestrator.stages.output_files import StageLog
from fsm_orchestrator.text.terminal import latest_state
from fsm_orchestrator.vocabulary import OutputStream

CHUNK_BYTES: Final = 8 * 1024
LINE_BYTES_MAX: Final = 8 * 1024
LOOK_BYTES_MAX: Final = 512 * 1024
"""The most bytes read of one stream in one look, so that a stage that floods is still watched."""
LINES_MAX: Final = 10_000
UTF8_BYTES_MAX: Final = 4
"""The most bytes that a character has."""
STATE_SECONDS: Final = 2.0
"""The interval between two reports of the state of a line that is overwritten again and again."""

OnLine = Callable[[OutputStream, str, bool], None]
"""A callback that gets each line: its stream, its text, and whether it was cut."""
Piece = tuple[str, bool]
"""A line, or the next 8 KiB of a longer one; and whether the line ends with it."""


class GrowingLog:
    """One log from an offset on, turned from bytes into masked lines."""

    def __init__(self, offset: int = 0, errors: str = "replace") -> None:
        self._offset = offset
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors=errors)
        self._errors = errors
        self._held = ""
        """The text that may still be part of a value, after the character before it, if any."""
        self._held_from = 0
        self._line = bytearray()

    @classmethod
    def of_end(cls, descriptor: int, bytes_max: int, masker: Masker, errors: str) -> GrowingLog:
        """Return a log that starts at a line within its last bytes; no value is cut in two there.

        Raises:
            OSError: it cannot be read.
        """
        begin = os.fstat(descriptor).st_size - bytes_max
        if begin <= 0:
            return cls(errors=errors)
        cut = begin + os.pread(descriptor, LINE_BYTES_MAX, begin).find(b"\n") + 1
        around = masker.longest_bytes + UTF8_BYTES_MAX
        at = max(0, cut - around)
        data = os.pread(descriptor, cut + around - at, at)
        for piece, is_value in masker.pieces(data.decode(errors="surrogateescape")):
            end = at + len(piece.encode(errors="surrogateescape"))
            if is_value and at < cut < end:
                cut = end
            at = end
        return cls(cut, errors)

    @property
    def offset(self) -> int:
        """The offset up to which it has been read."""
        return self._offset

    def chunk(self, descriptor: int) -> bytes:
        """Read the next bytes; return none if everything that was printed has been read.

        A log that the stage itself has cut short is read again from its beginning: any other place
        might be within a value.
        """
        if os.fstat(descriptor).st_size < self._offset:
            self._offset = 0
        data = os.pread(descriptor, CHUNK_BYTES, self._offset)
        self._offset += len(data)
        return data

    def pieces(self, data: bytes, masker: Masker) -> Iterator[Piece]:
        """Yield the lines that these bytes finish, and full pieces of longer ones."""
        text = self._held + self._decoder.decode(data)
        masked, rest = masker.masked_part(text, self._held_from)
        self._held_from = min(rest, 1)
        self._held = text[rest - self._held_from :]
        yield from self._split(masked)

    def last_pieces(self, masker: Masker) -> Iterator[Piece]:
        """Yield the text that was held back, and the last line if it has no newline."""
        text = self._held + self._decoder.decode(b"", final=True)
        masked = masker.masked_end(text, self._held_from)
        self._held, self._held_from = "", 0
        yield from self._split(masked)
        if self._line:
            yield self._take_line()

    def _split(self, masked: str) -> Iterator[Piece]:
        *finished, begun = masked.split("\n")
        for part in finished:
            yield from self._add(part)
            yield self._take_line()
        yield from self._add(begun)

    def _add(self, part: str) -> Iterator[Piece]:
        self._line += part.encode(errors=self._errors)
        while len(self._line) > LINE_BYTES_MAX:
            cut = LINE_BYTES_MAX
            while cut > LINE_BYTES_MAX - UTF8_BYTES_MAX and self._line[cut] & 0xC0 == 0x80:  # noqa: PLR2004
                cut -= 1  # it is within a character
            piece = self._line[:cut].decode(errors=self._errors)
            del self._line[:cut]
            yield piece, False

    @property
    def unfinished(self) -> str:
        """The part that was read of a line that has not ended; of a long line, its last piece."""
        return self._line.decode(errors=self._errors)

    def _take_line(self) -> Piece:
        line = self._line.decode(errors=self._errors)
        self._line.clear()
        return line, True


class LogReader:
    """One log file, read from its beginning and then from where reading stopped."""

    def __init__(self, log: StageLog) -> None:
        self._path = log.path
        self._log = GrowingLog(errors="surrogateescape")

    def go_on_with(self, log: StageLog) -> None:
        """Continue in a copy of the log, which has everything that was read."""
        self._path = log.path

    def new_pieces(self, masker: Masker, *, is_over: bool) -> Iterator[Piece]:
        """Yield the lines written since, as printed; an unfinished one only if `is_over`.

        A long line comes in pieces, each with whether its line ends with it; bytes that are not
        UTF-8 come as `surrogateescape` has them. A file that cannot be read (any more) has no
        lines.
        """
        for data in self._new_chunks():
            yield from self._log.pieces(data, masker)
        if is_over:
            yield from self._log.last_pieces(masker)

    def _new_chunks(self) -> Iterator[bytes]:
        try:
            descriptor = files.open_regular(self._path)
        except OSError:
            return
        try:
            while data := self._log.chunk(descriptor):
                yield data
        except OSError:
            return
        finally:
            os.close(descriptor)


class OutputLines:
    """The lines of two outputs from the moment of construction on, at most 10,000 of them.

    Two descriptors of the same file are one output: stdout. A long line is cut. `on_full` is called
    once, when there is one line too many; nothing is read after that.
    """

    def __init__(
        self,
        outputs: tuple[int, int],
        masker: Masker,
        on_line: OnLine,
        on_full: Callable[[], None],
    ) -> None:
        self._masker = masker
        self._on_line = on_line
        self._on_full = on_full
        self._lines_left = LINES_MAX
        self._streams = [_Stream(OutputStream.STDOUT, outputs[0])]
        if not os.path.sameopenfile(*outputs):
            self._streams.append(_Stream(OutputStream.STDERR, outputs[1]))

    def read(self) -> bool:
        """Pass on the lines that were finished since the last look, stdout's first.

        Returns:
            True if there was more than is read at once.
        """
        has_more = False
        for stream in self._streams:
            left_bytes = LOOK_BYTES_MAX
            while left_bytes > 0 and (data := stream.log.chunk(stream.descriptor)):
                left_bytes -= len(data)
                if not self._pass_on(stream, stream.log.pieces(data, self._masker)):
                    return False
            has_more = has_more or left_bytes <= 0
            if not self._tell_state(stream):
                return False
        return has_more

    def _tell_state(self, stream: _Stream) -> bool:
        """Pass on, now and then, the state of a line that is overwritten and does not end."""
        now = time.monotonic()
        if now < stream.next_state_at:
            return True
        line = stream.log.unfinished
        if "\r" not in line:
            return True
        stream.next_state_at = now + STATE_SECONDS
        state = latest_state(line)
        if state in {"", stream.last_state}:
            return True
        stream.last_state = state
        return self._tell(stream, state, is_cut=False)

    def finish(self) -> None:
        """Pass on the rest, including last lines without a newline: nothing more will come."""
        while self.read():
            pass
        for stream in self._streams:
            if not self._pass_on(stream, stream.log.last_pieces(self._masker)):
                return

    def _pass_on(self, stream: _Stream, pieces: Iterator[Piece]) -> bool:
        """Pass on the first piece of each line; return False if there was one line too many."""
        for piece, is_end in pieces:
            text, is_cut = (piece, False) if stream.begun is None else (stream.begun, True)
            if "\r" in piece.removesuffix("\r"):  # what was before it has been overwritten
                text, is_cut = piece, False
            stream.begun = None if is_end else text
            if is_end and not self._tell(stream, latest_state(text), is_cut=is_cut):
                return False
        return True

    def _tell(self, stream: _Stream, text: str, *, is_cut: bool) -> bool:
        """Pass on a line; return False if it was one too many."""
        if self._lines_left == 0:
            self._streams = []
            self._on_full()
            return False
        self._lines_left -= 1
        self._on_line(stream.name, text, is_cut)
        return True


class _Stream:
    """One output, and the first piece of a long line in it that has not ended."""

    def __init__(self, name: OutputStream, descriptor: int) -> None:
        self.name = name
        self.descriptor = descriptor
        self.log = GrowingLog(os.fstat(descriptor).st_size)
        self.begun: str | None = None
        self.last_state = ""
        self.next_state_at = 0.0
