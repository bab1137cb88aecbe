"""The log of one run as a page shows it: the end of what was printed, and what is added.

All of it is text, masked as `logs` masks it. The amount sent at once is bounded: if a stage prints
faster, lines are left out, and their bytes are counted.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from fsm_orchestrator.disk import files
from fsm_orchestrator.inspection.logs import in_order_of_work, name_of, secrets_to_mask
from fsm_orchestrator.rendering.html.colors import Span
from fsm_orchestrator.rendering.html.output import masked_spans
from fsm_orchestrator.secrets.masking import Masker
from fsm_orchestrator.stages.output_files import StageLog, logs_of, verification_logs_of
from fsm_orchestrator.stages.output_lines import GrowingLog, Piece
from fsm_orchestrator.text.hidden import HIDDEN, spelled

LOGS_MAX: Final = 12
"""The largest number of logs that are shown at first: those that were printed to last."""
END_BYTES: Final = 64 * 1024
"""The bytes at the end of each log that are shown at first."""
LOOK_BYTES_MAX: Final = 256 * 1024
"""The largest number of bytes of one log that are read at one look."""
LINES_MAX: Final = 2_000
"""The largest number of lines sent at once: a page keeps no more."""


class RunLog:
    """The logs of the run in a directory, with how far each has been shown."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._known = secrets_to_mask(directory)
        self._readers: dict[Path, _Reader] = {}
        self._is_first = True

    def go_on_in(self, directory: Path) -> None:
        """Continue in another record of the run: the next epoch, which has all that was shown."""
        if directory == self._directory:
            return
        self._directory = directory
        before = {path.name: reader for path, reader in self._readers.items()}
        for log in (*logs_of(directory), *verification_logs_of(directory)):
            reader = before.get(log.path.name)
            if reader is not None:
                reader.go_on_with(log)
                self._readers[log.path] = reader

    def news(self, *, is_over: bool) -> list[dict[str, Any]]:
        """Return the lines that were added since the last call.

        An unfinished line comes only if `is_over`.

        Raises:
            CheckpointError, UsageError: the values to mask are not known.
        """
        logs = (*logs_of(self._directory), *verification_logs_of(self._directory))
        changed = [log for log in logs if self._has_changed(log, is_over=is_over)]
        if not changed:
            self._is_first = False
            return []
        self._known = secrets_to_mask(self._directory).and_before(self._known)
        masker, found = self._known.masker, list[_Line]()
        ordered = in_order_of_work(changed)
        if self._is_first:
            left_out, ordered = ordered[:-LOGS_MAX], ordered[-LOGS_MAX:]
            found += self._passed_over(left_out)
        self._is_first = False
        for log in ordered:
            found += self._readers[log.path].lines(masker, is_over=is_over)
        if len(found) > LINES_MAX:
            found = [_note(f"{len(found) - LINES_MAX} lines left out"), *found[-LINES_MAX:]]
        return [one.shown(masker) for one in found]

    def _has_changed(self, log: StageLog, *, is_over: bool) -> bool:
        reader = self._readers.setdefault(log.path, _Reader(log))
        return reader.has_changed(is_over=is_over)

    def _passed_over(self, logs: list[StageLog]) -> Iterator[_Line]:
        if logs:
            yield _note(f"{len(logs)} earlier logs are not shown here; `logs` prints them all")


class _Line(NamedTuple):
    """A line to show, masked; or a note about lines that are not shown."""

    name: str
    is_stderr: bool
    text: str
    is_note: bool = False

    def shown(self, masker: Masker) -> dict[str, Any]:
        """Return it in the page's form: its texts in order, each with classes and a style."""
        if self.is_note:
            parts = [[self.text, "note", ""]]
        else:
            parts = [part for span in masked_spans(self.text, masker) for part in _parts(span)]
        return {"name": self.name, "err": self.is_stderr, "parts": parts}


class _Reader:
    """A reader of one log, from near its end on."""

    def __init__(self, log: StageLog) -> None:
        self._log = log
        self._name = name_of(log)
        self._seen = (0, 0, 0)
        self._growing: GrowingLog | None = None
        self._has_rest = False
        """True if a line may have been read without its end."""

    def go_on_with(self, log: StageLog) -> None:
        """Continue in a copy of the log."""
        self._log = log
        with contextlib.suppress(OSError):
            self._seen = (os.lstat(log.path).st_ino, *self._seen[1:])

    def has_changed(self, *, is_over: bool) -> bool:
        """Return whether there is more to show than at the last call."""
        try:
            found = os.lstat(self._log.path)
        except OSError:
            return False
        before, self._seen = self._seen, (found.st_ino, found.st_size, found.st_mtime_ns)
        if before[0] != found.st_ino or before[1] > found.st_size:
            self._growing = None  # another run's in the same place, or truncated
        is_other = self._seen != before and found.st_size > 0
        return is_other or (is_over and self._has_rest)

    def lines(self, masker: Masker, *, is_over: bool) -> Iterator[_Line]:
        """Yield the lines that were added; if there are too many, those at the end."""
        try:
            descriptor = files.open_regular(self._log.path)
        except OSError:
            return
        try:
            yield from self._read(descriptor, masker)
            if is_over and self._growing is not None:
                for piece in self._growing.last_pieces(masker):
                    yield self._line(piece)
            self._has_rest = not is_over
        except OSError:
            return
        finally:
            os.close(descriptor)

    def _read(self, descriptor: int, masker: Masker) -> Iterator[_Line]:
        size = os.fstat(descriptor).st_size
        before = 0 if self._growing is None else self._growing.offset
        if self._growing is None or size - before > LOOK_BYTES_MAX:
            self._growing = GrowingLog.of_end(descriptor, END_BYTES, masker, "surrogateescape")
            left_out = self._growing.offset - before
            if left_out > 0:
                said = f"… {left_out:,} bytes left out"
                yield _Line(self._name, self._log.is_stderr, said, is_note=True)
        while self._growing.offset < size and (data := self._growing.chunk(descriptor)):
            for piece in self._growing.pieces(data, masker):
                yield self._line(piece)

    def _line(self, piece: Piece) -> _Line:
        text, is_end = piece
        text = text.removesuffix("\r") if is_end else text
        return _Line(self._name, self._log.is_stderr, text)


def _note(said: str) -> _Line:
    return _Line("", is_stderr=False, text=said, is_note=True)


def _parts(span: Span) -> Iterator[list[str]]:
    """Yield a span as text, classes and style; invisible characters in it are spelled out."""
    start = 0
    for match in HIDDEN.finditer(span.text):
        if match.start() > start:
            yield [span.text[start : match.start()], span.classes, span.style]
        yield [spelled(match[0]), "odd", ""]
        start = match.end()
    if start < len(span.text):
        yield [span.text[start:], span.classes, span.style]
