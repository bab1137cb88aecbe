"""The gates of a run: signal, source, what would pass, verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from fsm_orchestrator.explanation.explanation import ExplainedGate
from fsm_orchestrator.gates.judging import source_in_words
from fsm_orchestrator.rendering.html.looks import Look, Tone

_PASSED: Final = Look("passed", Tone.GOOD, "check")
_REFUSED: Final = Look("refused", Tone.WARN, "barred")
_UNJUDGED: Final = Look("not judged this time", Tone.PLAIN, "none")


@dataclass(frozen=True, slots=True)
class GateRow:
    """One gate of the table."""

    gate: str
    look: Look
    status: str
    passing: str
    source: str
    reason_code: str | None


def gate_rows(gates: Sequence[ExplainedGate]) -> list[GateRow]:
    """Return the decisions in force, in judging order."""
    return [_row(gate) for gate in gates]


def _row(gate: ExplainedGate) -> GateRow:
    decision = gate.decision
    judged = _PASSED if decision.passed else _REFUSED
    return GateRow(
        gate=decision.gate.value,
        look=judged if gate.is_judged else _UNJUDGED,
        status=decision.status,
        passing=gate.passing,
        source=source_in_words(decision.source),
        reason_code=decision.reason_code,
    )
