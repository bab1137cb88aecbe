"""The table of gates, one for every screen and the page: signals, their sources and verdicts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from fsm_orchestrator.gates.rules import GATE_RULES
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


def gate_row(decision: GateDecision, *, is_judged: bool = True) -> GateRow:
    """Return the row of a gate; `is_judged` is false where this invocation has not judged it."""
    verdict = "passed" if decision.passed else "refused"
    return GateRow(
        gate=decision.gate.value,
        signal=decision.status,
        passes=GATE_RULES[decision.gate].passing,
        source=_origin_of(decision.source),
        verdict=verdict if is_judged else "not judged this time",
    )


def kept_signal_lines(decisions: Iterable[GateDecision], until: str | None) -> list[str]:
    """Return when and by whom the kept signals were given, one line for those given together.

    Ages are as of `until`; without it the times themselves are named.
    """
    gates_of: dict[SignalGiven, list[str]] = {}
    for one in decisions:
        if one.source is GateSource.CHECKPOINT and one.given is not None:
            gates_of.setdefault(one.given, []).append(one.gate.value)
    return [f"{listed(gates)}: {given_words(one, until)}" for one, gates in gates_of.items()]


def _origin_of(source: GateSource) -> str:
    match source:
        case GateSource.FLAG:
            return "given by flag"
        case GateSource.CONFIG:
            return "from the config file"
        case GateSource.CHECKPOINT:
            return "kept from before"
        case GateSource.DEFAULT:
            return "not given"
