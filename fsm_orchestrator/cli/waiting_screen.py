"""The screen of a run that waits for its gates: a line, redrawn or written at each change."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from typing import Final

from fsm_orchestrator.cli.console import Console
from fsm_orchestrator.cli.live import ERASE_BELOW
from fsm_orchestrator.cli.screen import Line, shortened, shown
from fsm_orchestrator.cli.style import Mark, lead_cells
from fsm_orchestrator.clock import SystemClock, timestamp
from fsm_orchestrator.errors import OutputError
from fsm_orchestrator.explanation.gate_table import evidence_words
from fsm_orchestrator.inspection.asked_gates import AskedGate
from fsm_orchestrator.inspection.waiting import Outlook, Prospect
from fsm_orchestrator.text.phrases import listed, option_prefix
from fsm_orchestrator.text.units import span_words
from fsm_orchestrator.vocabulary import EventName, GateSource

_TICK_SECONDS: Final = 1.0
_AT_WORK: Final = "the run is at work, and judges its gates itself"
_HOUR_MS: Final = 3_600_000


class WaitingScreen:
    """A line on stderr that shows what is awaited, and if the wait is limited, the time left."""

    def __init__(
        self, out: Console, deadline: float, *, is_json: bool, has_bound: bool = True
    ) -> None:
        self._out = out
        self._has_bound = has_bound
        self._deadline = deadline
        self._is_json = is_json
        self._is_live = out.may_be_redrawn and not is_json
        self._told: list[str] = []
        self._is_drawn = False

    def on_look(self, outlook: Outlook) -> float:
        """Show what is awaited; return in how many seconds that will look different."""
        told = list(_told(outlook))
        if self._is_live:
            self._draw(told)
            return _TICK_SECONDS
        if told != self._told:
            self._told = told
            if self._is_json:
                self._out.write("".join(f"{json.dumps(one)}\n" for one in self._events(outlook)))
            else:
                bound = f", for {self._left} at most" if self._has_bound else ""
                said = f"waiting{bound}: {'; '.join(told)}"
                self._out.show(shown([Line(said, Mark.WAITING)]))
        return float("inf")

    def finish(self) -> None:
        """Remove the line."""
        if self._is_drawn:
            self._erase()
            self._is_drawn = False

    def _erase(self) -> None:
        with contextlib.suppress(OutputError):
            self._out.send(f"\r{ERASE_BELOW}".encode())

    @property
    def _left_ms(self) -> int:
        return max(0, round((self._deadline - time.monotonic()) * 1000))

    @property
    def _left(self) -> str:
        left_ms = self._left_ms
        return span_words(left_ms if left_ms < _HOUR_MS else left_ms // 1000 * 1000)

    def _draw(self, told: list[str]) -> None:
        width = self._out.width - 1
        left = f", {self._left} left" if self._has_bound else ""
        line = shortened(f"waiting{left}: {'; '.join(told)}", width - lead_cells())
        self._erase()
        with contextlib.suppress(OutputError):
            self._out.send(self._out.encoded_show(shown([Line(line, Mark.WAITING)]).rstrip("\n")))
        self._is_drawn = True

    def _events(self, outlook: Outlook) -> Iterator[dict[str, object]]:
        known = {
            "at": timestamp(SystemClock().now()),
            "event": EventName.GATE_WAITING.value,
            "level": "info",
            "run_id": outlook.view.report.run_id,
        }
        left_ms = self._left_ms if self._has_bound else None
        if outlook.prospect is Prospect.AT_WORK:
            yield {**known, "gate": None, "problem": "", "detail": _AT_WORK, "wait_ms": left_ms}
        for one in outlook.awaited:
            evidence = one.decision.evidence
            problem = None if evidence is None else evidence.problem
            yield {
                **known,
                "gate": one.decision.gate,
                "problem": "" if problem is None else problem.value,
                "detail": _awaited_words(one),
                "wait_ms": left_ms,
            }


def _told(outlook: Outlook) -> Iterator[str]:
    if outlook.prospect is Prospect.AT_WORK:
        yield _AT_WORK
    yield from (f"gate {one.decision.gate}: {_awaited_words(one)}" for one in outlook.awaited)


def _awaited_words(one: AskedGate) -> str:
    decision = one.decision
    if decision.evidence is not None and decision.evidence.approval is not None:
        return decision.evidence.detail
    said = evidence_words(decision)
    if said is not None and decision.source is GateSource.EVIDENCE:
        return said if one.asked is None else f"{one.asked}: {said}"
    option = f"{option_prefix(decision.gate)}-status"
    return f"is {decision.status}, which only a resume with {option} can change"


def names_of(gates: tuple[AskedGate, ...]) -> str:
    """Return the names of gates, as people read them."""
    return listed([one.decision.gate for one in gates])
