"""Many runs, watched: read again and again, and shown until the watch is ended."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol

from fsm_orchestrator.cli.console import Console, Result
from fsm_orchestrator.cli.redrawn import Redrawn
from fsm_orchestrator.cli.run_changes import ChangeLines
from fsm_orchestrator.errors import OutputError
from fsm_orchestrator.inspection.many_runs import Changes, ManyRuns, Place
from fsm_orchestrator.inspection.overview import RunOverview
from fsm_orchestrator.inspection.selecting import Selection
from fsm_orchestrator.processes.interrupts import Interrupts
from fsm_orchestrator.processes.polling import readable
from fsm_orchestrator.vocabulary import ExitCode

DRAW_SECONDS: Final = 0.5
"""The seconds after which a screen is drawn again: times advance, and windows are resized."""


class Frame(Protocol):
    """The content of a screen about many runs."""

    def note(self, rows: Mapping[str, RunOverview], changes: Changes) -> None:
        """Record the findings."""

    def lines(self, width: int, height: int) -> Sequence[str]:
        """Return the painted lines of the current findings: as many as fit, none wider."""


def places_of(typed: Sequence[str], outputs: Sequence[Path]) -> list[Place]:
    """Return the directories that were typed, in the form that a reader of many runs takes."""
    return [Place(name, path) for name, path in zip(typed, outputs, strict=True)]


def watch(many: ManyRuns, frame: Frame, selection: Selection, *, is_plain: bool) -> int:
    """Show runs until asked to end; return 128 plus the number of the signal.

    If nobody reads any longer, return 0.
    """
    interrupts = Interrupts()
    with interrupts.installed():
        out = Result(1, None, interrupts)
        screen: _Screen = _Lines(out, selection)
        if out.may_be_redrawn and not is_plain:
            screen = _Drawn(out, frame, selection)
        try:
            with interrupts.stop_deferred():
                _watch(many, screen, interrupts, out)
            screen.close()
        except OutputError:
            if interrupts.first is None:
                raise
        return ExitCode.DONE if interrupts.first is None else 128 + interrupts.first


def _watch(many: ManyRuns, screen: _Screen, interrupts: Interrupts, out: Console) -> None:
    while not (out.is_gone or _is_over(interrupts)):
        changes = many.look(lambda: _is_over(interrupts))
        if _is_over(interrupts):
            return
        screen.note(many.rows, changes)
        until = time.monotonic() + many.rest_seconds
        while not _is_over(interrupts) and time.monotonic() < until:
            screen.show()
            readable([interrupts.fileno()], min(until, time.monotonic() + DRAW_SECONDS))
            if interrupts.is_stop_due:
                screen.close()
                interrupts.stop_here()
                interrupts.drain()


def _is_over(interrupts: Interrupts) -> bool:
    return interrupts.first is not None


class _Screen(Protocol):
    def note(self, rows: Mapping[str, RunOverview], changes: Changes) -> None:
        """Record the findings."""

    def show(self) -> None:
        """Show the current findings."""

    def close(self) -> None:
        """Restore the terminal."""


class _Drawn:
    """A screen that is redrawn in place."""

    def __init__(self, out: Console, frame: Frame, selection: Selection) -> None:
        self._out = out
        self._frame = frame
        self._selection = selection
        self._redrawn = Redrawn(out)

    def note(self, rows: Mapping[str, RunOverview], changes: Changes) -> None:
        self._frame.note(_selected(rows, self._selection), changes)

    def show(self) -> None:
        width, height = self._out.size
        self._redrawn.draw(self._frame.lines(width - 1, max(height - 1, 2)))

    def close(self) -> None:
        self._redrawn.clear()


class _Lines:
    """A line for each change."""

    def __init__(self, out: Console, selection: Selection) -> None:
        self._out = out
        self._selection = selection
        self._changes = ChangeLines()

    def note(self, rows: Mapping[str, RunOverview], changes: Changes) -> None:
        text = self._changes.text_of(_selected(rows, self._selection), changes)
        if text:
            self._out.show(text)

    def show(self) -> None:
        pass

    def close(self) -> None:
        pass


def _selected(rows: Mapping[str, RunOverview], selection: Selection) -> Mapping[str, RunOverview]:
    if selection == Selection():
        return rows
    return {shown: row for shown, row in rows.items() if selection.takes(row)}
