"""The events for the page of one run: what its stages print, and that the page is out of date."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

from fsm_orchestrator.constants import CHECKPOINT_FILE, REPORT_FILE
from fsm_orchestrator.errors import OrchestratorError
from fsm_orchestrator.vocabulary import Standing
from fsm_orchestrator.web.board import LOOK_SECONDS, Board
from fsm_orchestrator.web.events import BEAT, BEAT_SECONDS, Messages, message
from fsm_orchestrator.web.run_log import RunLog

Value = TypeVar("Value")

LOG_AGAIN_SECONDS: Final = 5.0
"""The seconds until the log is asked for again after a refusal."""
_HELD: Final = frozenset({Standing.WORKING.value, Standing.SUSPENDED.value})


class InThread(Protocol):
    """A function that runs slow work outside the loop."""

    async def __call__(self, work: Callable[[], Value]) -> Value:
        """Return the result of the work."""


def stamp_of(directory: Path) -> tuple[object, ...]:
    """Return a stamp that changes when there is something else to draw of a run."""
    return tuple(_file_stamp(directory / name) for name in (REPORT_FILE, CHECKPOINT_FILE))


async def run_messages(
    board: Board, key: str, place: Callable[[], Path | None], in_thread: InThread
) -> Messages:
    """Yield the events for a page of a run, until the board is closed or the run is gone."""
    if await board.known(key) is None:
        yield message("gone", {})
        return
    with board.watching():
        output, told = Output(), object()
        sent_at = time.monotonic()
        while not board.is_closed:
            row, directory = board.rows.get(key), place()
            if row is None or directory is None:
                yield message("gone", {})
                return
            news = partial(output.news, directory, is_over=row["look"] not in _HELD)
            for one in await in_thread(news):
                yield one
                sent_at = time.monotonic()
            now = (row["run_id"], row["look"], await in_thread(partial(stamp_of, directory)))
            if now != told:
                told, sent_at = now, time.monotonic()
                yield message("standing", {"run_id": row["run_id"], "look": row["look"]})
            elif time.monotonic() - sent_at > BEAT_SECONDS:
                sent_at = time.monotonic()
                yield BEAT
            await board.pause(LOOK_SECONDS)


class Output:
    """The log of a run, or the message that it must not be shown."""

    def __init__(self) -> None:
        self._log: RunLog | None = None
        self._refused_at = 0.0
        self._refusal: Mapping[str, Any] | None = None

    def news(self, directory: Path, *, is_over: bool) -> list[bytes]:
        """Return the messages that are due."""
        if self._refusal and time.monotonic() - self._refused_at < LOG_AGAIN_SECONDS:
            return []
        try:
            if self._log is None:
                self._log = RunLog(directory)
            self._log.go_on_in(directory)
            lines = self._log.news(is_over=is_over)
        except OrchestratorError as error:
            self._log, self._refused_at = None, time.monotonic()
            refusal = {"said": str(error), "remedy": error.remedy}
            is_same, self._refusal = refusal == self._refusal, refusal
            return [] if is_same else [message("refused", refusal)]
        again = [message("shown", {})] if self._refusal else []
        self._refusal = None
        return [*again, message("lines", lines)] if lines else again


def _file_stamp(path: Path) -> tuple[int, int, int]:
    try:
        found = os.stat(path)
    except OSError:
        return (0, 0, 0)
    return (found.st_ino, found.st_size, found.st_mtime_ns)
