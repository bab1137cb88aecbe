"""The order in which the logs of a run are shown, and how much of each."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from fsm_orchestrator.stages.output_files import StageLog

Line = TypeVar("Line")


def last_lines(lines: Iterable[Line], count: int | None) -> Iterable[Line]:
    """Return the last `count` of some lines; all of them when it is None."""
    return lines if count is None else deque(lines, maxlen=count)


def in_order_of_work(logs: Iterable[StageLog]) -> list[StageLog]:
    """Return the logs by when their attempt last printed, those of one attempt together."""
    known = list(logs)
    ended = _printed_last(known)
    return sorted(
        known,
        key=lambda log: (
            *(ended[log.stage, log.attempt], log.stage, log.attempt),
            *(log.verification, log.is_stderr),
        ),
    )


def printed_since(logs: Iterable[StageLog], instant: datetime) -> list[StageLog]:
    """Return the logs of the attempts that have printed something since an instant.

    The lines themselves have no times: of such an attempt all belong to it.
    """
    known, since_ns = list(logs), round(instant.timestamp() * 1e9)
    printed = _printed_last(known)
    return [log for log in known if printed[log.stage, log.attempt] >= since_ns]


def _printed_last(logs: Iterable[StageLog]) -> dict[tuple[str, int], int]:
    """Return when each attempt last printed, in nanoseconds."""
    ended: dict[tuple[str, int], int] = {}
    for log in logs:
        key = (log.stage, log.attempt)
        ended[key] = max(ended.get(key, 0), _changed_at_ns(log.path))
    return ended


def _changed_at_ns(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
