"""The screen of `gates`: a table; with `--watch` a redrawn one, or a line for each change."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Final, Protocol

from fsm_orchestrator.cli.console import Console
from fsm_orchestrator.cli.formatting import columns, sentences
from fsm_orchestrator.cli.live import ERASE_BELOW, KEEP_PLACE, TO_PLACE
from fsm_orchestrator.cli.screen import Line, prose_width, shortened, shown
from fsm_orchestrator.cli.style import Mark, lead_cells
from fsm_orchestrator.clock import timestamp
from fsm_orchestrator.explanation.gate_table import GATE_COLUMNS, evidence_words, gate_row
from fsm_orchestrator.gates.sources.base import AskedToEndError
from fsm_orchestrator.inspection.asked_gates import AskedGate, GateAsking
from fsm_orchestrator.preparation.preparation import Preparation
from fsm_orchestrator.processes.interrupts import Interrupts
from fsm_orchestrator.processes.polling import readable
from fsm_orchestrator.text.hidden import printable
from fsm_orchestrator.text.terminal import last_lines
from fsm_orchestrator.text.units import span_words

INTERVAL_MS: Final = 10_000
LINES_MAX: Final = 5
"""The maximum number of lines shown of a command's output."""


class GateScreen(Protocol):
    """A screen for the answers of a watch."""

    @property
    def is_read(self) -> bool:
        """True while anybody still reads it."""

    def show(self, found: Sequence[AskedGate], interval_ms: int) -> None:
        """Show the answers so far, and that the gates will be asked again."""

    def finish(self, found: Sequence[AskedGate]) -> None:
        """Show the answers at the end."""


def watch(
    asking: GateAsking, interrupts: Interrupts, interval_ms: int, screen: GateScreen | None
) -> tuple[AskedGate, ...]:
    """Ask until no gate still awaits its evidence; show each answer.

    Raises:
        AskedToEndError: it was asked to end; the answers so far are shown.
    """
    found: tuple[AskedGate, ...] = ()
    try:
        found = asking.ask()
        while any(one.is_awaited for one in found):
            if screen is not None:
                screen.show(found, interval_ms)
                if not screen.is_read:
                    break
            until = time.monotonic() + interval_ms / 1000
            while interrupts.first is None and time.monotonic() < until:
                readable([interrupts.fileno()], until)
            if interrupts.first is not None:
                raise AskedToEndError
            found = asking.ask()
    finally:
        if screen is not None:
            screen.finish(found)
    return found


def screen_of(out: Console, preparation: Preparation) -> GateScreen:
    """Return a screen for a watch there: a redrawn table, or a line for each change."""
    return _Table(out, preparation) if out.may_be_redrawn else _Changes(out, preparation)


class _Table:
    """A table that is redrawn in place; the cursor waits in its first cell."""

    def __init__(self, out: Console, preparation: Preparation) -> None:
        self._out = out
        self._preparation = preparation
        self._is_placed = False

    @property
    def is_read(self) -> bool:
        """True while anybody still reads it."""
        return not self._out.is_broken

    def show(self, found: Sequence[AskedGate], interval_ms: int) -> None:
        """Draw as much of the table as fits."""
        width, height = self._out.size
        asked = timestamp(self._preparation.clock.now())
        every = f"asked at {asked}, again every {span_words(interval_ms)}; Ctrl-C ends"
        room = max(height - 2, 1)
        lines = [*[*self._lines(found)][:room], Line(every, is_dim=True)]
        fitting = [
            line._replace(text=shortened(line.text, width - 1 - (lead_cells() if line.mark else 0)))
            for line in lines
        ]
        up = f"\r\x1b[{len(lines)}A{KEEP_PLACE}"
        self._draw(self._out.encoded_show(shown(fitting)) + up.encode())
        self._is_placed = True

    def finish(self, found: Sequence[AskedGate]) -> None:
        """Leave the whole table."""
        self._draw(self._out.encoded_show(shown(self._lines(found))) if found else b"")

    def _lines(self, found: Sequence[AskedGate]) -> Iterator[Line]:
        return gate_lines(self._preparation, found, prose_width(self._out), is_watched=True)

    def _draw(self, content: bytes) -> None:
        before = f"{TO_PLACE}{ERASE_BELOW}".encode() if self._is_placed else b""
        self._out.send(before + content)


class _Changes:
    """A line for each gate that has changed, with the time."""

    def __init__(self, out: Console, preparation: Preparation) -> None:
        self._out = out
        self._preparation = preparation
        self._said: dict[str, str] = {}

    @property
    def is_read(self) -> bool:
        """True while anybody still reads it."""
        return not self._out.is_broken

    def show(self, found: Sequence[AskedGate], interval_ms: int) -> None:
        """Write the gates that have changed."""
        del interval_ms
        self.finish(found)

    def finish(self, found: Sequence[AskedGate]) -> None:
        """Write the gates that have changed."""
        at = timestamp(self._preparation.clock.now())
        lines = []
        for one in found:
            gate = self._preparation.checkpoint.lifecycle.gates[one.decision.gate]
            row, why = gate_row(one.decision, gate.passing), evidence_words(one.decision)
            verdict = _verdict(one, row.verdict)
            said = f"{row.gate} {row.signal}, {verdict}" + ("" if why is None else f": {why}")
            if self._said.get(row.gate) != said:
                self._said[row.gate] = said
                lines.append(Line(f"{at}  {said}", _mark(one)))
        self._out.show(shown(lines))


def gate_lines(
    preparation: Preparation,
    found: Sequence[AskedGate],
    width: int,
    *,
    is_watched: bool = False,
) -> Iterator[Line]:
    """Yield the subject of a run, and the table of its gates with the answer of each source.

    With `is_watched`, a gate that awaits its evidence is distinguished from one that refuses.
    """
    subject, gates = preparation.checkpoint.subject, preparation.checkpoint.lifecycle.gates
    for about in () if subject is None else subject.lines:
        yield from map(Line, sentences(f"about {about}", width, indent=""))
    rows = [gate_row(one.decision, gates[one.decision.gate].passing) for one in found]
    told = [
        row._replace(verdict=_verdict(one, row.verdict)) if is_watched else row
        for one, row in zip(found, rows, strict=True)
    ]
    head, *table = columns([GATE_COLUMNS, *told])
    yield Line(head)
    for one, line in zip(found, table, strict=True):
        yield Line(line.strip(), _mark(one))
        said = evidence_words(one.decision)
        if said is not None:
            asked = "" if one.asked is None else f"{one.asked}: "
            yield from map(Line, sentences(f"{asked}{said}", width, indent="    "))
        output = "" if one.decision.passed else one.output
        for text in last_lines(output, LINES_MAX):
            yield Line(f"    | {printable(text)}", is_dim=True)


def _verdict(one: AskedGate, verdict: str) -> str:
    return "awaited" if one.is_awaited else verdict


def _mark(one: AskedGate) -> Mark:
    return Mark.GOOD if one.decision.passed else Mark.WAITING
