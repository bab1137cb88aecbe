"""The order in which the logs of a run are shown, and how much of each."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
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
    ended: dict[tuple[str, int], int] = {}
    for log in known:
        key = (log.stage, log.attempt)
        ended[key] = max(ended.get(key, 0), _changed_at_ns(log.path))
    return sorted(
        known,
        key=lambda log: (ended[log.stage, log.attempt], log.stage, log.attempt, log.is_stderr),
    )


def _changed_at_ns(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
