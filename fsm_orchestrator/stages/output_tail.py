"""The end of a stage's log, masked before it is cut. Reads only."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Final, NamedTuple

from fsm_orchestrator.disk import files
from fsm_orchestrator.secrets.masking import Masker
from fsm_orchestrator.stages.output_files import LatestLog, StageLog
from fsm_orchestrator.text.terminal import shown_line

TAIL_BYTES: Final = 4096
TAIL_LINES: Final = 20


class Tail(NamedTuple):
    """The last 4 KiB of a log, masked.

    Attributes:
        is_cut: True if the log has more than that; the first line may then be incomplete.
        size_bytes: the size of the whole log.
    """

    text: str
    is_cut: bool
    size_bytes: int


def read_tail(descriptor: int, masker: Masker, *, start: int = 0, errors: str = "replace") -> Tail:
    """Return the end of an open log from the offset `start` on, as text whatever the bytes.

    More is read than is kept, so that no part of a value is left where the text begins.

    Raises:
        OSError: it cannot be read.
    """
    size_bytes = os.fstat(descriptor).st_size
    begin = max(start, size_bytes - TAIL_BYTES - masker.longest_bytes)
    data = os.pread(descriptor, max(0, size_bytes - begin), begin)
    text = data.decode(errors=errors)
    # Counted in characters, because a value is found in them; the text kept is bounded in bytes.
    spare = data[:-TAIL_BYTES].decode(errors=errors)
    return Tail(
        text=masker.masked_tail(text, len(text) - len(spare)),
        is_cut=size_bytes - start > TAIL_BYTES,
        size_bytes=size_bytes,
    )


def tail_of(log: StageLog, masker: Masker, *, errors: str = "replace") -> Tail | None:
    """Return the end of a log, or None if it cannot be read."""
    try:
        descriptor = files.open_regular(log.path)
    except OSError:
        return None
    try:
        return read_tail(descriptor, masker, errors=errors)
    except OSError:
        return None
    finally:
        os.close(descriptor)


def last_line(logs: Iterable[LatestLog], masker: Masker) -> str:
    """Return the last line that is not blank of the log written last, or an empty string."""
    written = [one for one in logs if one.status.st_size]
    for one in sorted(written, key=lambda one: (one.status.st_mtime_ns, one), reverse=True):
        tail = tail_of(one.log, masker)
        lines = [] if tail is None else tail.text.split("\n")[1 if tail.is_cut else 0 :]
        for line in reversed(lines):
            if shown := shown_line(line).strip():
                return shown
    return ""
