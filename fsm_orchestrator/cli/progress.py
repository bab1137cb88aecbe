"""The log on stderr: JSON lines for programs, one readable line an event for a person."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

import click

from fsm_orchestrator.cli.console import Console, stderr
from fsm_orchestrator.text.json_output import json_line
from fsm_orchestrator.text.phrases import printable, span_words
from fsm_orchestrator.vocabulary import EventName, LogFormat, LogLevel, OutputStream, StageStatus

if TYPE_CHECKING:
    from fsm_orchestrator.record.event_log import Listener


_GRAVITY: Final = (*LogLevel, "critical")
"""The levels of events, the least grave first."""


def listener_for(log_format: LogFormat, log_level: LogLevel = LogLevel.INFO) -> Listener:
    """What to do with each event: text if a person looks at stderr, or if asked for.

    Events below `log_level` are not shown.
    """
    console = stderr()
    shown = frozenset(_GRAVITY[_GRAVITY.index(log_level) :])
    if log_format is LogFormat.TEXT or (log_format is LogFormat.AUTO and console.is_terminal):
        return lambda event: _write_text(console, event) if event["level"] in shown else None
    return lambda event: console.write(json_line(event)) if event["level"] in shown else None


def _write_text(console: Console, event: Mapping[str, Any]) -> None:
    line = line_of(event)
    if line is None:
        return
    colour = {"warning": "yellow", "error": "red", "critical": "red"}.get(event["level"])
    if colour is not None and console.has_colour:
        line = click.style(line, fg=colour)
    console.write(line + "\n")


def line_of(event: Mapping[str, Any]) -> str | None:
    """One line for a person; None for what another line says already."""
    render = _RENDERERS.get(EventName(event["event"]))
    return None if render is None else printable(render(event))


def _gate(event: Mapping[str, Any]) -> str:
    decision = event["decision"]
    verdict = "passed" if decision["passed"] else f"refused, {decision['reason_code']}"
    return f"gate {decision['gate']}: {decision['status']}: {verdict}"


def _stage_ended(event: Mapping[str, Any]) -> str:
    execution = event["execution"]
    took = span_words(execution["duration_ms"])
    if execution["status"] == StageStatus.SUCCESS:
        return f"{event['stage']}: succeeded in {took}"
    return f"{event['stage']}: {execution['status']} after {took}: {execution['error']}"


def _output(event: Mapping[str, Any]) -> str:
    sign = "!" if event["stream"] == OutputStream.STDERR else "|"
    return f"{event['stage']} {sign} {event['text']}{' [cut off]' if event['is_cut'] else ''}"


def _interrupted(event: Mapping[str, Any]) -> str:
    ended = f"; ended what was left of it: {event['ended_pids']}" if event["ended_pids"] else ""
    return f"{event['stage']}: attempt {event['attempt']} had been interrupted{ended}"


_RENDERERS: Final[Mapping[EventName, Callable[[Mapping[str, Any]], str]]] = {
    EventName.RUN_STARTED: lambda event: (
        f"{event['execution_mode']} {event['run_id']} ({event['lifecycle']})"
    ),
    EventName.GATE_DECIDED: _gate,
    EventName.STAGE_STARTED: lambda event: f"{event['stage']}: started, attempt {event['attempt']}",
    EventName.STAGE_OUTPUT: _output,
    EventName.STAGE_ENDED: _stage_ended,
    EventName.STAGE_SKIPPED: lambda event: (
        f"{event['stage']}: skipped, {event['execution']['reason']}"
    ),
    EventName.WARNING: lambda event: f"warning: {event['message']}",
    EventName.ATTEMPT_INTERRUPTED: _interrupted,
    EventName.CLOSURE_REFUSED: lambda event: f"closing refused: {event['execution']['error']}",
    EventName.RECORDING_FAILED: lambda event: f"error: {event['error']}",
    EventName.RUN_REFUSED: lambda event: f"error: {event['error']}",
    EventName.RUN_CRASHED: lambda event: str(event["traceback"]),
}
