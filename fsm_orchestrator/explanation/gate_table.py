"""The table of gates, one for every screen and the page: signals, their sources and verdicts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple, assert_never

from fsm_orchestrator.gates.in_force import GateInForce
from fsm_orchestrator.model.invocation import GateDecision, SignalGiven
from fsm_orchestrator.preparation.kept_signals import given_words
from fsm_orchestrator.text.phrases import listed
from fsm_orchestrator.vocabulary import GateSource

GATE_COLUMNS: Final = ("gate", "signal", "passes", "from", "verdict")


class GateRow(NamedTuple):
    """One gate, cell by cell."""

    gate: str
    signal: str
    passes: str
    source: str
    verdict: str


def gate_row(decision: GateDecision, passing: str, *, is_judged: bool = True) -> GateRow:
    """Return the row of a gate whose passing signal is `passing`.

    `is_judged` is false if this invocation has not judged it.
    """
    verdict = "passed" if decision.passed else "refused"
    return GateRow(
        gate=decision.gate,
        signal=decision.status,
        passes=passing,
        source=_origin_of(decision),
        verdict=verdict if is_judged else "not judged this time",
    )


def row_in_force(gate: GateInForce) -> GateRow:
    """Return the row of a gate as it stands; a gate that the run has not reached has no verdict."""
    row = gate_row(gate.decision, gate.passing, is_judged=gate.is_judged)
    return row._replace(verdict="to come") if gate.is_to_come else row


def kept_signal_lines(decisions: Iterable[GateDecision], until: str | None) -> list[str]:
    """Return when and by whom the kept signals were given, one line for those given together.

    Ages are counted to `until`; without it, the times themselves are shown.
    """
    gates_of: dict[SignalGiven, list[str]] = {}
    for one in decisions:
        if one.source is GateSource.CHECKPOINT and one.given is not None:
            gates_of.setdefault(one.given, []).append(one.gate)
    return [f"{listed(gates)}: {given_words(one, until)}" for one, gates in gates_of.items()]


def evidence_words(decision: GateDecision) -> str | None:
    """Return the result of a gate's evidence, or None if it has none."""
    evidence = decision.evidence
    if evidence is None:
        return None
    if evidence.problem is not None:
        return f"{evidence.detail} ({evidence.problem.value})"
    notes = f" ({'; '.join(evidence.notes)})" if evidence.notes else ""
    return f"{evidence.detail}{notes}"


def _origin_of(decision: GateDecision) -> str:
    match decision.source:
        case GateSource.FLAG:
            return "given by flag"
        case GateSource.CONFIG:
            return "from the config file"
        case GateSource.CHECKPOINT:
            return "kept from before"
        case GateSource.DEFAULT:
            return "not given"
        case GateSource.EVIDENCE:
            return "" if decision.evidence is None else decision.evidence.origin
        case _:
            assert_never(decision.source)
