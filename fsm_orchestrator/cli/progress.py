"""The log on stderr: JSON lines for programs, one readable line per event for people."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from fsm_orchestrator.cli.console import stderr
from fsm_orchestrator.cli.log_stream import LogStream
from fsm_orchestrator.constants import EVENTS_FILE
from fsm_orchestrator.text.hidden import copyable
from fsm_orchestrator.text.json_output import json_line
from fsm_orchestrator.text.phrases import printable, span_words
from fsm_orchestrator.text.terminal import shown_line
from fsm_orchestrator.text.units import exact_span
from fsm_orchestrator.vocabulary import EventName, LogFormat, LogLevel, OutputStream, StageStatus

if TYPE_CHECKING:
    from fsm_orchestrator.processes.interrupts import Interrupts

GAP: Final = "log.gap"
"""The name of the one line on stderr that is no event: it has no number, and is in no file."""
_GRAVITY: Final = (*LogLevel, "critical")
"""The levels of events, the least grave first."""


class Progress:
    """The listener that writes events to stderr, as text for a terminal or if asked for.

    Events below `log_level` are not shown.
    """

    def __init__(self, log_format: LogFormat, log_level: LogLevel, output_path: Path) -> None:
        console = stderr()
        self._is_text = log_format is LogFormat.TEXT or (
            log_format is LogFormat.AUTO and console.is_terminal
        )
        self._has_colour = console.has_colour
        self._shown = frozenset(_GRAVITY[_GRAVITY.index(log_level) :])
        self._events_path = output_path / EVENTS_FILE
        self._stream = LogStream(2, self._gap_line)

    def __call__(self, event: Mapping[str, Any]) -> None:
        """Show an event."""
        if event["level"] not in self._shown:
            return
        if not self._is_text:
            self._stream.write(json_line(event))
        elif (line := line_of(event)) is not None:
            self._stream.write(self._coloured(line, event["level"]))

    def finish(self, interrupts: Interrupts) -> None:
        """Wait a while for the reader to take the last lines."""
        self._stream.finish(interrupts)

    def _gap_line(self, count: int) -> str:
        were = "1 line of the log was" if count == 1 else f"{count} lines of the log were"
        they = "it is" if count == 1 else "they are"
        message = f"{were} not shown; {they} in {copyable(str(self._events_path))}"
        if self._is_text:
            return self._coloured(message, "warning")
        return json_line({"event": GAP, "level": "warning", "lines": count, "message": message})

    def _coloured(self, line: str, level: str) -> str:
        colour = {"warning": "yellow", "error": "red", "critical": "red"}.get(level)
        if colour is not None and self._has_colour:
            line = click.style(line, fg=colour)
        return line + "\n"


def line_of(event: Mapping[str, Any]) -> str | None:
    """Return an event as one line of text; None when another line says the same."""
    render = _RENDERERS.get(EventName(event["event"]))
    return None if render is None else printable(render(event))


def _gate(event: Mapping[str, Any]) -> str:
    decision = event["decision"]
    verdict = "passed" if decision["passed"] else f"refused, {decision['reason_code']}"
    return f"gate {decision['gate']}: {decision['status']}: {verdict}"


def _stage_started(event: Mapping[str, Any]) -> str:
    limit = exact_span(event["timeout_ms"])
    said = f", limit {limit} (the default)" if event["is_default_timeout"] else ""
    return f"{event['stage']}: started, attempt {event['attempt']}{said}"


def _stage_ended(event: Mapping[str, Any]) -> str:
    execution = event["execution"]
    took = span_words(execution["duration_ms"])
    if execution["status"] == StageStatus.SUCCESS:
        return f"{event['stage']}: succeeded in {took}"
    return f"{event['stage']}: {execution['status']} after {took}: {execution['error']}"


def _output(event: Mapping[str, Any]) -> str:
    sign = "!" if event["stream"] == OutputStream.STDERR else "|"
    text = shown_line(event["text"])
    return f"{event['stage']} {sign} {text}{' [cut off]' if event['is_cut'] else ''}"


def _interrupted(event: Mapping[str, Any]) -> str:
    ended = f"; ended its remaining processes: {event['ended_pids']}" if event["ended_pids"] else ""
    return f"{event['stage']}: attempt {event['attempt']} was interrupted{ended}"


_RENDERERS: Final[Mapping[EventName, Callable[[Mapping[str, Any]], str]]] = {
    EventName.RUN_STARTED: lambda event: (
        f"{event['execution_mode']} {event['run_id']} ({event['lifecycle']})"
    ),
    EventName.GATE_DECIDED: _gate,
    EventName.STAGE_STARTED: _stage_started,
    EventName.STAGE_OUTPUT: _output,
    EventName.STAGE_ENDED: _stage_ended,
    EventName.ARTIFACT_SLOW: lambda event: (
        f"{event['stage']}: still judging its artifacts after {span_words(event['elapsed_ms'])},"
        f" now {event['path']}"
    ),
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
