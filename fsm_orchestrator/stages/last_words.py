"""The last line that a running attempt printed, for a person who watches it. Logs nothing."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable

from fsm_orchestrator.secrets.masking import Masker
from fsm_orchestrator.stages.output_tail import read_tail
from fsm_orchestrator.text.terminal import last_lines

OnWords = Callable[[str, str], None]
"""A callback that gets a stage and the line that it just printed: masked, otherwise unchanged."""


class LastWords:
    """A reader of the ends of two outputs, each time one has grown; never of more than an end."""

    def __init__(
        self, outputs: tuple[int, int], masker: Masker, on_words: Callable[[str], None]
    ) -> None:
        self._masker = masker
        self._on_words = on_words
        self._starts = {one: os.fstat(one).st_size for one in outputs}
        self._sizes = dict(self._starts)
        self._last = ""

    def read(self) -> bool:
        """Pass on the last line of the output that has grown; return False: there is never more."""
        with contextlib.suppress(OSError):  # it is for a screen: an error must not end a run
            self._look()
        return False

    def _look(self) -> None:
        for output, before in self._sizes.items():
            size_bytes = os.fstat(output).st_size
            if size_bytes == before:
                continue
            self._sizes[output] = size_bytes
            start = min(self._starts[output], size_bytes)
            lines = last_lines(read_tail(output, self._masker, start=start).text, 1)
            if lines and lines[0] != self._last:
                self._last = lines[0]
                self._on_words(self._last)

    def finish(self) -> None:
        """Read nothing more: the attempt has ended, and its end is reported elsewhere."""
