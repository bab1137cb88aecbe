"""The gates of a run: signal, source, what would pass, verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fsm_orchestrator.explanation.gate_table import GateRow, gate_row
from fsm_orchestrator.gates.in_force import GateInForce
from fsm_orchestrator.rendering.html.looks import Look, Tone


@dataclass(frozen=True, slots=True)
class ShownGate:
    """One gate of the table."""

    row: GateRow
    look: Look
    reason_code: str | None


def gates_shown(gates: Sequence[GateInForce]) -> list[ShownGate]:
    """Return the decisions in force, in judging order."""
    return [_shown(gate) for gate in gates]


def _shown(gate: GateInForce) -> ShownGate:
    row = gate_row(gate.decision, is_judged=gate.is_judged)
    if gate.is_judged:
        tone, icon = (Tone.GOOD, "check") if gate.decision.passed else (Tone.WARN, "barred")
    else:
        tone, icon = Tone.PLAIN, "none"
    return ShownGate(row, Look(row.verdict, tone, icon), gate.decision.reason_code)
