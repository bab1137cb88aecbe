"""The structured log: structlog events to `orchestrator_events.jsonl` and to a listener.

Setup only: the code where an event happens decides what is logged. No global configuration is
touched, so that a program that uses structlog itself can call this as a library.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from functools import partial
from typing import Any, Final, NamedTuple, Protocol

import structlog

from fsm_orchestrator.clock import Clock, timestamp
from fsm_orchestrator.constants import SCHEMA_VERSION
from fsm_orchestrator.model.declared import BaseModel
from fsm_orchestrator.secrets.masking import Masker
from fsm_orchestrator.vocabulary import EventName

EventDict = MutableMapping[str, Any]
Listener = Callable[[Mapping[str, Any]], None]
_SENTENCES: Final = frozenset({"message", "error", "reason"})
"""The keys of sentences, which may quote anything. Names are never masked, whatever a value is."""
_FIRST_KEYS: Final = ("seq", "at", "event", "level", "run_id", "state", "stage", "attempt")


class Sink(Protocol):
    """A log that events are written to, and numbered by."""

    def write(self, event: Mapping[str, Any]) -> Mapping[str, Any]:
        """Write an event; return it as its line has it."""

    def when_kept(self, tell: Callable[[], None]) -> None:
        """Call `tell` once everything written before is in the log."""

    def next_seq(self) -> int:
        """Return the number of the next event."""


class NoSink:
    """The absence of a log: events go to the listener alone."""

    def write(self, event: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the event unchanged."""
        return event

    def when_kept(self, tell: Callable[[], None]) -> None:
        """Call `tell` at once."""
        tell()

    def next_seq(self) -> int:
        """Return the first number."""
        return 1


class _Sinks(NamedTuple):
    """The receivers of a finished event."""

    event_file: Sink
    listener: Listener | None

    def emit(self, event: Mapping[str, Any]) -> None:
        event = self.event_file.write(event)
        if self.listener is not None:
            plain = {key: _plain(value) for key, value in event.items()}
            self.event_file.when_kept(partial(self.listener, plain))


class RunLogger(structlog.BoundLoggerBase):
    """A logger with one method: every event has a name from the closed set."""

    def emit(self, name: EventName, /, level: str = "info", **values: Any) -> None:
        """Log a fact. A record given as a value is logged unchanged: it was masked when made."""
        self._proxy_to_logger("emit", name.value, level=level, **values)


def build_logger(
    clock: Clock, masker: Masker, event_file: Sink, listener: Listener | None
) -> RunLogger:
    """Return a logger that numbers, stamps, masks and orders events, and feeds both sinks."""

    def finish(
        _logger: Any, _method: str, event: EventDict
    ) -> tuple[tuple[EventDict], dict[str, Any]]:
        event.update((key, masker.mask(event[key])) for key in _SENTENCES if key in event)
        event["seq"], event["at"] = event_file.next_seq(), timestamp(clock.now())
        event["schema_version"] = SCHEMA_VERSION
        first = {key: event[key] for key in _FIRST_KEYS if key in event}
        return ({**first, **event},), {}

    logger: RunLogger = structlog.wrap_logger(
        _Sinks(event_file, listener),
        processors=[finish],
        wrapper_class=RunLogger,
        context_class=dict,
        cache_logger_on_first_use=False,
    ).bind()
    return logger


def _plain(value: Any) -> Any:
    """Return a record as JSON values; it was masked when it was made."""
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else value
