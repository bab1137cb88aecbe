"""The structured log: structlog events to `orchestrator_events.jsonl` and to a listener.

Set-up only: what is logged is decided where it happens. No global configuration is touched, so
that a program that uses structlog itself can call this as a library.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any, Final, NamedTuple

import structlog
from pydantic import BaseModel

from fsm_orchestrator.clock import Clock, timestamp
from fsm_orchestrator.disk import files, moving
from fsm_orchestrator.disk.held import HeldDirectory, identity_of
from fsm_orchestrator.errors import RecordingError
from fsm_orchestrator.secrets.masking import Masker
from fsm_orchestrator.text.json_output import json_line
from fsm_orchestrator.vocabulary import EVENTS_FILE, SCHEMA_VERSION, EventName, Operation

EventDict = MutableMapping[str, Any]
Listener = Callable[[Mapping[str, Any]], None]
TAIL_BYTES_MAX: Final = 4 * 1024 * 1024
_SENTENCES: Final = frozenset({"message", "error", "reason"})
"""The sentences, which may quote anything. Names are never masked, whatever a value is."""
_FIRST_KEYS: Final = ("seq", "at", "event", "level", "run_id", "state", "stage", "attempt")


class EventFile:
    """The open events file: appends whole lines, numbered without gaps over invocations.

    A torn last line, left by a kill in mid-write, is cut off when the file is opened. The first
    failure, to open or to write, is kept in `failure` for the run to find; nothing is written
    after it.
    """

    def __init__(self, home: HeldDirectory) -> None:
        self._home = home
        self.path = home.path / EVENTS_FILE
        self.failure: RecordingError | None = None
        self.last_seq = 0
        self._descriptor = -1
        try:
            moving.take_own_copy(EVENTS_FILE, home)
            self._descriptor = files.open_append(self.path, within=home)
            self.last_seq = self._repair()
        except OSError as error:
            self.failure = self._error(error)

    def write(self, event: Mapping[str, Any]) -> None:
        """Append one event. A failure is kept, not raised."""
        if self.failure is not None:
            return
        line = json_line(event).encode()
        here = os.fstat(self._descriptor)
        size_bytes = here.st_size
        try:
            self._home.confirm()
            at = self._home.descriptor
            there = os.stat(EVENTS_FILE, dir_fd=at, follow_symlinks=False)
            if identity_of(here) != identity_of(there):
                raise FileNotFoundError(2, "the file was replaced while the run worked")
            files.write_all(self._descriptor, line)
        except OSError as error:
            self.failure = self._error(error)
            with contextlib.suppress(OSError):
                files.truncate(self._descriptor, size_bytes)

    def sync(self) -> None:
        """Make what was written durable. A failure is kept, not raised."""
        if self.failure is not None:
            return
        try:
            files.sync(self._descriptor)
        except OSError as error:
            self.failure = self._error(error)

    def close(self) -> None:
        """Close the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)

    def _repair(self) -> int:
        """Cut a torn last line; return the number of the last event, 0 if there is none."""
        size_bytes = os.fstat(self._descriptor).st_size
        start = max(0, size_bytes - TAIL_BYTES_MAX)
        tail = os.pread(self._descriptor, TAIL_BYTES_MAX, start)
        end_of_last_line = tail.rfind(b"\n") + 1
        if end_of_last_line < len(tail):
            files.truncate(self._descriptor, start + end_of_last_line)
        for line in reversed(tail[:end_of_last_line].splitlines()):
            with contextlib.suppress(ValueError, KeyError, TypeError):
                return int(json.loads(line)["seq"])
        return 0

    def _error(self, error: OSError) -> RecordingError:
        return RecordingError(Operation.EVENTS_PERSIST, str(self.path), files.reason(error))


class _Sinks(NamedTuple):
    """The receivers of a finished event."""

    event_file: EventFile
    listener: Listener | None

    def emit(self, event: Mapping[str, Any]) -> None:
        self.event_file.write(event)
        if self.listener is not None:
            self.listener(event)


class RunLogger(structlog.BoundLoggerBase):
    """A logger with one method: every event has a name from the closed set."""

    def emit(self, name: EventName, /, level: str = "info", **values: Any) -> None:
        """Log a fact. A record given as a value is logged as it is kept: masked when made."""
        self._proxy_to_logger("emit", name.value, level=level, **values)


def build_logger(
    clock: Clock, masker: Masker, event_file: EventFile, listener: Listener | None
) -> RunLogger:
    """Return a logger that numbers, stamps, masks and orders events, and feeds both sinks."""
    numbers = itertools.count(event_file.last_seq + 1)

    def finish(
        _logger: Any, _method: str, event: EventDict
    ) -> tuple[tuple[EventDict], dict[str, Any]]:
        line: dict[str, Any] = {
            key: masker.mask_path(value) if key in _SENTENCES else _plain(value)
            for key, value in event.items()
        }
        line |= {"seq": next(numbers), "at": timestamp(clock.now())}
        line["schema_version"] = SCHEMA_VERSION
        ordered: EventDict = {key: line.pop(key) for key in _FIRST_KEYS if key in line}
        return ({**ordered, **line},), {}

    logger: RunLogger = structlog.wrap_logger(
        _Sinks(event_file, listener),
        processors=[finish],
        wrapper_class=RunLogger,
        context_class=dict,
        cache_logger_on_first_use=False,
    ).bind()
    return logger


def _plain(value: Any) -> Any:
    """Return a record as JSON has it; it was masked when it was made."""
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else value
