"""The stages at work in a run now, according to the end of its events.

An event is believed only as far as a screen needs: a stage can write into the file as well.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple

from fsm_orchestrator.constants import EVENTS_FILE, STATE_NAME_PATTERN
from fsm_orchestrator.disk import files
from fsm_orchestrator.record.events_mark import document_of, lines_backwards
from fsm_orchestrator.text.instants import is_instant
from fsm_orchestrator.text.late_pattern import late_pattern
from fsm_orchestrator.vocabulary import EventName

_EVENTS_MAX: Final = 500
"""The most events that are read: a group that retries writes some for each attempt."""
_COUNT_MAX: Final = 2**53
_ENTERING: Final = (EventName.TRANSITION, EventName.RUN_STARTED)
"""The events after which nothing of an earlier state is at work."""
_STAGE: Final = late_pattern(STATE_NAME_PATTERN)


class Doing(StrEnum):
    """The activity of a stage that is at work."""

    RUNNING = "running"
    VERIFYING = "verifying"
    """Its program has ended, and its work is being verified."""
    RETRYING = "retrying"
    """It waits for its next attempt."""


class StageAtWork(NamedTuple):
    """A stage that is at work.

    Attributes:
        since: when that activity began, in UTC.
        limit_ms: how long it may take; None if that is not known.
    """

    stage: str
    attempt: int
    doing: Doing
    since: str
    limit_ms: int | None


def stages_at_work(directory: Path) -> tuple[StageAtWork, ...]:
    """Return the stages at work in the state that the run entered last, in the order they began."""
    try:
        descriptor = files.open_regular(directory / EVENTS_FILE)
        try:
            events = _since_the_last_state(descriptor)
        finally:
            os.close(descriptor)
    except OSError:
        return ()
    found: dict[str, StageAtWork] = {}
    for event in reversed(events):
        _note(event, found)
    return tuple(found.values())


def _since_the_last_state(descriptor: int) -> list[dict[str, Any]]:
    events = []
    lines = lines_backwards(descriptor, os.fstat(descriptor).st_size)
    for line in islice(lines, _EVENTS_MAX):
        event = document_of(line)
        if event is None:
            continue
        if any(event["event"] == one for one in _ENTERING):
            break
        events.append(event)
    return events


def _note(event: Mapping[str, Any], found: dict[str, StageAtWork]) -> None:
    stage, at = event.get("stage"), event["at"]
    if not (isinstance(stage, str) and _STAGE.fullmatch(stage) and is_instant(at)):
        return
    attempt = _count(event.get("attempt")) or 1
    match event["event"]:
        case EventName.STAGE_STARTED:
            doing, limit_ms = Doing.RUNNING, _count(event.get("timeout_ms"))
        case EventName.VERIFICATION_STARTED:
            doing, limit_ms = Doing.VERIFYING, _count(event.get("timeout_ms"))
        case EventName.STAGE_RETRYING:
            doing, limit_ms = Doing.RETRYING, _count(event.get("wait_ms"))
        case EventName.STAGE_ENDED:
            found.pop(stage, None)
            return
        case _:
            return
    found[stage] = StageAtWork(stage, attempt, doing, at, limit_ms)


def _count(value: object) -> int | None:
    return value if type(value) is int and 0 <= value <= _COUNT_MAX else None
