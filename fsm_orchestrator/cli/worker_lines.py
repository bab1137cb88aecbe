"""The log of a Temporal worker on stderr: a line for each of its events."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import structlog

from fsm_orchestrator.cli.console import Console
from fsm_orchestrator.cli.style import toned
from fsm_orchestrator.temporal.watching import Say, WorkerEvent
from fsm_orchestrator.text.hidden import copyable, printable
from fsm_orchestrator.text.json_output import json_line
from fsm_orchestrator.text.phrases import counted

_LEVELS: Final[Mapping[WorkerEvent, str]] = {
    WorkerEvent.LOST: "warning",
    WorkerEvent.RUN_REFUSED: "warning",
    WorkerEvent.HEALTH_FAILED: "warning",
    WorkerEvent.BUG: "error",
}


def writer(out: Console, *, is_json: bool) -> Say:
    """Return a function that writes each event there, as text or as JSON."""

    def finish(_logger: object, _method: str, event: Any) -> Any:
        name = WorkerEvent(event["event"])
        level = _LEVELS.get(name, "info")
        if is_json:
            first = {key: event.pop(key) for key in ("at", "event")}
            return json_line({**first, "level": level, **event})
        text = f"{event['at']} {printable(_TEXTS[name](event))}"
        return f"{toned(text, level)}\n{event.get('traceback', '')}"

    log: _Logger = structlog.wrap_logger(
        _Lines(out), processors=[finish], wrapper_class=_Logger, context_class=dict
    ).bind()
    return log.say


class _Logger(structlog.BoundLoggerBase):
    def say(self, event: Mapping[str, Any]) -> None:
        """Write an event."""
        self._proxy_to_logger("line", **event)


class _Lines:
    def __init__(self, out: Console) -> None:
        self._out = out

    def line(self, text: str) -> None:
        """Write a line."""
        self._out.show(text)


def _server(event: Mapping[str, Any]) -> str:
    return f"{event['address']}, namespace {event['namespace']}, task queue {event['task_queue']}"


def _run(event: Mapping[str, Any]) -> str:
    where = event.get("run_id") or copyable(event.get("run_directory", ""))
    return f"run {where}, epoch {event['epoch']}"


def _ended(event: Mapping[str, Any]) -> str:
    asked = event.get("stop_reason")
    said = f" ({asked.replace('_', ' ')})" if asked else ""
    why = f": {event['reason']}" if event.get("reason") else ""
    return f"{_run(event)}: {event['standing'].replace('_', ' ')}{said}{why}"


_TEXTS: Final[Mapping[WorkerEvent, Callable[[Mapping[str, Any]], str]]] = {
    WorkerEvent.STARTED: lambda event: (
        f"worker {event['pid']} for {_server(event)}; {counted(event['jobs'], 'run')} at a time"
    ),
    WorkerEvent.CONNECTED: lambda event: f"connected to {_server(event)}",
    WorkerEvent.LOST: lambda event: f"no answer, trying again: {event['error']}",
    WorkerEvent.DRAINING: lambda event: (
        f"asked to end: handing on {counted(event['runs'], 'run')}; once more ends at once"
    ),
    WorkerEvent.ENDED: lambda _: "ended",
    WorkerEvent.RUN_TAKEN: lambda event: f"{_run(event)}: taken",
    WorkerEvent.RUN_ENDED: _ended,
    WorkerEvent.RUN_REFUSED: lambda event: f"{_run(event)}: not made: {event['error']}",
    WorkerEvent.HEALTH_FAILED: lambda event: (
        f"warning: cannot write {copyable(event['path'])}: {event['error']}"
    ),
    WorkerEvent.BUG: lambda event: f"internal error in epoch {event['epoch']}",
}
