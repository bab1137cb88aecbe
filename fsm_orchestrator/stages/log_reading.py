"""Reading stage logs line by line, from their beginning or their end, while they grow.

Memory is bounded by the longest line that is shown, whatever a stage prints.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Final

from fsm_orchestrator.disk import files
from fsm_orchestrator.secrets.masking import Masker
from fsm_orchestrator.stages.output_files import StageLog

CHUNK_BYTES: Final = 64 * 1024
LINE_BYTES_MAX: Final = 16 * 1024
"""A longer line is shown in pieces."""


class LogReader:
    """One log file, from where it was left off."""

    def __init__(self, log: StageLog) -> None:
        self.log = log
        self._offset = 0
        self._rest = b""

    def new_lines(self, masker: Masker, *, is_over: bool) -> Iterator[str]:
        """The lines that were written since, masked; one without its end only when `is_over`.

        A file that cannot be read (any more) has none.
        """
        for chunk in self._new_chunks():
            *lines, self._rest = (self._rest + chunk).split(b"\n")
            yield from (masker.mask(_text(line)) for line in lines)
            if len(self._rest) > LINE_BYTES_MAX:
                text = self._rest.decode(errors="replace")
                part, decided = masker.masked_part(text, 0)  # what is left may go on to be a value
                yield part
                self._rest = text[decided:].encode()
        if is_over and self._rest:
            yield masker.mask(_text(self._rest))
            self._rest = b""

    def _new_chunks(self) -> Iterator[bytes]:
        try:
            descriptor = files.open_regular(self.log.path)
        except OSError:
            return
        try:
            while chunk := os.pread(descriptor, CHUNK_BYTES, self._offset):
                self._offset += len(chunk)
                yield chunk
        except OSError:
            return
        finally:
            os.close(descriptor)


def _text(line: bytes) -> str:
    return line.removesuffix(b"\r").decode(errors="replace")
