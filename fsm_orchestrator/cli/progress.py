"""A run as it is shown on stderr while it works: redrawn on a terminal, text, or JSON lines."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from fsm_orchestrator.cli.console import stderr
from fsm_orchestrator.cli.log_stream import LogStream
from fsm_orchestrator.constants import EVENTS_FILE
from fsm_orchestrator.text.hidden import copyable
from fsm_orchestrator.text.json_output import json_line
from fsm_orchestrator.vocabulary import EventName, LogFormat, LogLevel

if TYPE_CHECKING:
    from fsm_orchestrator.cli.live import Live
    from fsm_orchestrator.cli.run_view import RunView
    from fsm_orchestrator.cli.ticker import Ticker
    from fsm_orchestrator.processes.interrupts import Interrupts
    from fsm_orchestrator.stages.meter import OnMetered

GAP: Final = "log.gap"
"""The name of the one line on stderr that is not an event: it has no number, and is in no file."""
_GRAVITY: Final = (*LogLevel, "critical")
"""The levels of events, the least grave first."""
STILL_SECONDS: Final = 60.0
"""The seconds between two lines in a log saying that a stage is still at work."""
FRAME_SECONDS: Final = 0.1


class Progress(Protocol):
    """A display or log of a run while it works."""

    @property
    def on_words(self) -> Callable[[str, str], None] | None:
        """The receiver of a stage and the line it printed last; None if those are not shown."""

    @property
    def on_metered(self) -> OnMetered | None:
        """The receiver of the amounts that the run has spent; None if those are not shown."""

    @property
    def is_live(self) -> bool:
        """True if stages and warnings have been shown as the summary would show them."""

    def __call__(self, event: Mapping[str, Any]) -> None:
        """Show an event."""

    def close(self) -> None:
        """Show the rest, and wait a while for the reader to take it."""


def progress_of(
    log_format: LogFormat, log_level: LogLevel, output_path: Path, interrupts: Interrupts
) -> Progress:
    """Return a display or log of a run. Events below `log_level` are not shown."""
    console = stderr()
    shown = frozenset(_GRAVITY[_GRAVITY.index(log_level) :])
    path = copyable(str(output_path / EVENTS_FILE))
    if log_format is LogFormat.JSON:
        return JsonLog(shown, path, interrupts)
    is_auto = log_format is LogFormat.AUTO
    if is_auto and console.may_be_redrawn and LogLevel.INFO in shown:
        return LiveDisplay(interrupts, has_color=console.has_color)
    return TextLog(shown, path, interrupts, has_color=console.has_color)


class JsonLog:
    """The log for programs: the events as they are in the file."""

    on_words = None
    on_metered = None
    is_live = False

    def __init__(self, shown: frozenset[str], events_path: str, interrupts: Interrupts) -> None:
        self._shown = shown
        self._events_path = events_path
        self._interrupts = interrupts
        self._stream = LogStream(2, self._gap_line)

    def __call__(self, event: Mapping[str, Any]) -> None:
        """Show an event."""
        if event["level"] in self._shown:
            self._stream.write(json_line(event))

    def close(self) -> None:
        """Wait a while for the reader to take the last lines."""
        self._stream.finish(self._interrupts)

    def _gap_line(self, count: int) -> str:
        message = gap_message(count, self._events_path)
        return json_line({"event": GAP, "level": "warning", "lines": count, "message": message})


class TextLog:
    """The log for people: a line for each event, and at intervals one that a stage still runs."""

    on_words = None
    on_metered = None
    is_live = False

    def __init__(
        self,
        shown: frozenset[str],
        events_path: str,
        interrupts: Interrupts,
        *,
        has_color: bool,
    ) -> None:
        self._shown = shown
        self._events_path = events_path
        self._interrupts = interrupts
        self._has_color = has_color
        self._stream = LogStream(2, self._gap_line)
        self._lock = threading.RLock()
        self._ticker: Ticker | None = None
        self._view: RunView | None = None
        self._still_at = 0.0

    def __call__(self, event: Mapping[str, Any]) -> None:
        """Show an event."""
        from fsm_orchestrator.cli.event_lines import document_of, line_of

        with self._lock:
            line = line_of(event) if event["level"] in self._shown else None
            if line is not None:
                self._write(line, event["level"])
                if (document := document_of(event)) is not None:
                    self._stream.write(f"{document}\n")
            if LogLevel.WARNING in self._shown:
                self._follow(event)

    def close(self) -> None:
        """Wait a while for the reader to take the last lines."""
        self._interrupts.on_request = _nothing
        if self._ticker is not None:
            self._ticker.stop()
        self._stream.finish(self._interrupts)

    def _follow(self, event: Mapping[str, Any]) -> None:
        """Follow what the run is doing, from its first stage on."""
        is_start = event["event"] == EventName.STAGE_STARTED
        if self._view is None:
            if not is_start:
                return
            from fsm_orchestrator.cli.run_view import RunView

            self._view = RunView()
        self._view.note(event, time.monotonic())
        self._view.settled.clear()
        if is_start:
            self._still_at = time.monotonic() + STILL_SECONDS
        if self._ticker is None:
            from fsm_orchestrator.cli.ticker import Ticker

            self._ticker = Ticker(self._tick)
            self._interrupts.on_request = self._ticker.wake
            self._ticker.start()

    def _tick(self) -> float:
        with self._lock:
            view = self._view
            if view is None or not view.at_work:
                return STILL_SECONDS
            if view.requests != self._interrupts.count:
                from fsm_orchestrator.cli.live_lines import stopping_words

                view.requests = self._interrupts.count
                self._write(stopping_words(view), "warning")
            now = time.monotonic()
            if now >= self._still_at:
                self._still_at = now + STILL_SECONDS
                if LogLevel.INFO in self._shown:
                    from fsm_orchestrator.cli.live_lines import still_words

                    for one in view.at_work.values():
                        self._write(still_words(one, now), "info")
            return max(0.0, self._still_at - now)

    def _gap_line(self, count: int) -> str:
        return self._colored(gap_message(count, self._events_path), "warning")

    def _write(self, line: str, level: str) -> None:
        self._stream.write(self._colored(line, level))

    def _colored(self, line: str, level: str) -> str:
        if not self._has_color:
            return f"{line}\n"
        from fsm_orchestrator.cli.style import toned

        return f"{toned(line, level)}\n"


class LiveDisplay:
    """The display on a terminal. A thread draws it: the run only notes what happened."""

    is_live = True

    def __init__(self, interrupts: Interrupts, *, has_color: bool) -> None:
        self.on_words: Callable[[str, str], None] | None = self._note_words
        self.on_metered: OnMetered | None = self._note_metered
        self._metered: tuple[tuple[str, str, str | None], ...] = ()
        self._interrupts = interrupts
        self._has_color = has_color
        self._events: deque[tuple[float, Mapping[str, Any]]] = deque()
        self._words: dict[str, str] = {}
        self._lock = threading.RLock()
        self._view: RunView | None = None
        self._live: Live | None = None
        self._ticker: Ticker | None = None
        self._stopped_at = 0.0

    def __call__(self, event: Mapping[str, Any]) -> None:
        """Note an event; the first stage, or a gate that waits, starts the display."""
        self._events.append((time.monotonic(), event))
        if self._ticker is None and event["event"] in _BEGINS:
            from fsm_orchestrator.cli.ticker import Ticker

            self._ticker = Ticker(self._tick)
            self._interrupts.on_request = self._ticker.wake
            self._interrupts.before_stop = self._make_room
            self._interrupts.after_stop = self._come_back
            self._ticker.start()

    def close(self) -> None:
        """Leave the settled lines on the screen."""
        hooks = self._interrupts
        hooks.on_request = hooks.before_stop = hooks.after_stop = _nothing
        if self._ticker is not None:
            self._ticker.stop()
        with self._lock:
            if self._events or self._live is not None:
                self._take_events().finish(lambda stream: stream.finish(self._interrupts))

    def _note_words(self, stage: str, words: str) -> None:
        self._words[stage] = words

    def _note_metered(self, spent: tuple[tuple[str, str, str | None], ...]) -> None:
        self._metered = spent

    def _tick(self) -> float:
        with self._lock:
            self._take_events().draw()
        return FRAME_SECONDS

    def _take_events(self) -> Live:
        """Pass the new events to the view; loads the display while the stage works."""
        from fsm_orchestrator.cli.event_lines import document_of, line_of
        from fsm_orchestrator.cli.live import Live
        from fsm_orchestrator.cli.run_view import RunView

        if self._view is None or self._live is None:
            self._view = RunView()
            self._live = Live(2, self._view, has_color=self._has_color)
        while self._events:
            at, event = self._events.popleft()
            if event["event"] in _NEW_WORDS:
                self._words[event["stage"]] = ""
            self._view.note(event, at)
            if event["event"] in _SAID and not event.get("is_passed_over"):
                self._view.say(line_of(event) or "", event["level"], document_of(event))
        for stage, words in [*self._words.items()]:
            if words:
                self._view.printed(stage, words)
        self._view.spent = self._metered
        self._view.requests = self._interrupts.count
        return self._live

    def _make_room(self) -> None:
        """Remove the display before this process is stopped (Ctrl-Z)."""
        with self._lock:
            self._stopped_at = time.monotonic()
            if self._live is not None:
                self._live.clear()

    def _come_back(self) -> None:
        with self._lock:
            if self._live is not None and self._view is not None:
                self._view.suspended(time.monotonic() - self._stopped_at)
                self._live.moved()


_BEGINS: Final = frozenset({EventName.STAGE_STARTED, EventName.GATE_WAITING})
"""The events that begin something that can take long."""
_NEW_WORDS: Final = frozenset({EventName.STAGE_STARTED, EventName.VERIFICATION_STARTED})
"""The events after which another process provides the words shown."""
_SAID: Final = frozenset(
    {
        *(EventName.WARNING, EventName.STAGE_OUTPUT, EventName.ARTIFACT_SLOW),
        *(EventName.ATTEMPT_INTERRUPTED, EventName.RECORDING_FAILED, EventName.RUN_REFUSED),
        *(EventName.REPORT_UNPLACED, EventName.RUN_CRASHED),
    }
)
"""The events that are shown as a sentence; the summary covers a refused closing."""


def gap_message(count: int, events_path: str) -> str:
    """Return the sentence about lines that a reader was not shown."""
    were = "1 line of the log was" if count == 1 else f"{count} lines of the log were"
    they = "it is" if count == 1 else "they are"
    return f"{were} not shown; {they} in {events_path}"


def _nothing() -> None:
    """Do nothing: the display or log is closed."""
