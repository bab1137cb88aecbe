"""The invocations of a run, read from its events."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import msgspec

from fsm_orchestrator.constants import EVENTS_FILE
from fsm_orchestrator.disk import files
from fsm_orchestrator.model.declared import ValidationError
from fsm_orchestrator.model.execution import StageExecution
from fsm_orchestrator.model.trace import Trace, own_trace, span_of_invocation
from fsm_orchestrator.record.events import (
    AttemptInterrupted,
    EventLine,
    RunEnded,
    RunStarted,
    parse_event,
)
from fsm_orchestrator.record.failure_events import RunCrashed
from fsm_orchestrator.vocabulary import EventName, Outcome

EVENTS_MAX: Final = 20_000
"""The largest number of events of an invocation that are read; stages' output is not among them."""
LINE_BYTES_MAX: Final = 8 * 1024 * 1024
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_KEPT_FOR_THE_RECORD: Final = frozenset(
    {
        EventName.STAGE_OUTPUT,
        EventName.RECORD_BEGUN,
        EventName.RECORD_KEPT,
        EventName.CHAIN_GAP,
        EventName.ATTEMPT_BEGUN,
        EventName.INVOCATIONS_MOVED,
        EventName.REPORT_UNPLACED,
    }
)

_ENDS: Final = frozenset({EventName.RUN_ENDED, EventName.RUN_CRASHED})


class _Head(msgspec.Struct):
    """The members of a line that say what it is about."""

    event: str
    at: str = ""


@dataclass
class Told:
    """An invocation, read from its events.

    Attributes:
        started: its beginning.
        lines: its other events, in order; none for an invocation that is not asked for.
        ended: its end; None if there was none, or not yet.
        interrupted: its attempts whose end a later invocation found, by stage and number.
        last_at: the time of its last event.
        is_last: True if no invocation has begun after it.
        left_out: the number of its events that are not in `lines`.
    """

    started: RunStarted
    lines: list[EventLine] = field(default_factory=list)
    ended: RunEnded | RunCrashed | None = None
    interrupted: dict[tuple[str, int], StageExecution] = field(default_factory=dict)
    last_at: str = ""
    is_last: bool = False
    left_out: int = 0

    @property
    def number(self) -> int:
        """Its number."""
        return self.started.invocation

    @property
    def trace(self) -> Trace:
        """The trace that it belongs to."""
        origin = self.started.origin
        told = None if origin is None else origin.trace
        return own_trace(self.started.run_id) if told is None else told

    @property
    def span(self) -> str:
        """The id of its span."""
        return span_of_invocation(self.started.run_id, self.number)

    @property
    def outcome(self) -> Outcome | None:
        """The outcome of the run; None if the invocation did not end with one."""
        if self.ended is None:
            return None
        return self.ended.outcome if isinstance(self.ended, RunEnded) else Outcome.FAILED

    @property
    def gates_awaited(self) -> tuple[str, ...]:
        """The gates that the run waited for when the invocation ended."""
        ended = self.ended
        awaited = ended.waiting_for if isinstance(ended, RunEnded) else None
        return tuple(one.gate for one in awaited or ())

    @property
    def began(self) -> int:
        """The time when it began, in nanoseconds."""
        return nanoseconds(self.started.started_at)

    @property
    def over(self) -> int:
        """The time when it ended, where known, in nanoseconds."""
        if self.ended is not None:
            return max(self.began, nanoseconds(self.ended.finished_at))
        ends = [
            nanoseconds(one.started_at) + one.duration_ms * 1_000_000
            for one in self.interrupted.values()
        ]
        return max(self.began, nanoseconds(self.last_at), *ends)

    @property
    def has_times(self) -> bool:
        """True if its clock ran: with `--fixed-clock` it stood still."""
        return self.started.origin is not None


def nanoseconds(timestamp: str) -> int:
    """Return a time of a record in nanoseconds since 1970."""
    since = datetime.fromisoformat(timestamp) - _EPOCH
    return since // timedelta(microseconds=1) * 1000


def invocations_in(directory: Path, is_due: Callable[[Told], bool]) -> Iterator[Told]:
    """Yield the invocations of the run in a directory; of those that are not due, only the ends.

    Each is yielded after the one that follows it has been read, which may report on its attempts.
    Lines that are no events of this version are ignored.

    Raises:
        OSError: the events cannot be read.
    """
    before: Told | None = None
    here: Told | None = None
    kept: list[bytes] = []
    for line in _lines(directory / EVENTS_FILE):
        try:
            head = _DECODER.decode(line)
        except msgspec.MsgspecError:
            continue
        if head.event == EventName.RUN_STARTED:
            event = _event_in(line)
            if isinstance(event, RunStarted):
                if here is not None:
                    _fill(here, kept, is_due)
                if before is not None:
                    yield before
                before, here, kept = here, Told(started=event, last_at=event.at), []
        elif here is not None:
            here.last_at = max(here.last_at, head.at)
            _keep(here, before, head, line, kept)
    if before is not None:
        yield before
    if here is not None:
        here.is_last = True
        _fill(here, kept, is_due)
        yield here


def _keep(here: Told, before: Told | None, head: _Head, line: bytes, kept: list[bytes]) -> None:
    """Keep a line until it is known whether the invocation is due."""
    if head.event in _KEPT_FOR_THE_RECORD:
        return
    if head.event in _ENDS:
        event = _event_in(line)
        if isinstance(event, RunEnded | RunCrashed):
            here.ended = event
    elif head.event == EventName.ATTEMPT_INTERRUPTED and before is not None:
        match _event_in(line):
            case AttemptInterrupted(
                invocation=before.number, execution=StageExecution() as execution
            ):
                before.interrupted[(execution.stage, execution.attempt)] = execution
            case _:
                pass  # of another run, which was here before
    if len(kept) < EVENTS_MAX or head.event in _ENDS:
        kept.append(line)
    else:
        here.left_out += 1


def _fill(here: Told, kept: list[bytes], is_due: Callable[[Told], bool]) -> None:
    """Read the kept lines of an invocation if it is due."""
    if is_due(here):
        here.lines = [event for line in kept if (event := _event_in(line)) is not None]


def _event_in(line: bytes) -> EventLine | None:
    try:
        return parse_event(line)
    except (ValidationError, ValueError):
        return None


def _lines(path: Path) -> Iterator[bytes]:
    """Yield the whole lines of the events."""
    with os.fdopen(files.open_regular(path), "rb") as file:
        while line := file.readline(LINE_BYTES_MAX):
            if line.endswith(b"\n"):
                yield line


_DECODER: Final = msgspec.json.Decoder(_Head)
