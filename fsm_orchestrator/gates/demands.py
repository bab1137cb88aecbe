"""The demands of a gate state on signals and evidence, besides that they pass. Pure.

Loaded only for gate states that demand something.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from fsm_orchestrator.gates.judging import GateSignal
from fsm_orchestrator.lifecycle.model import Lifecycle, State
from fsm_orchestrator.model.base import EvidenceDemand
from fsm_orchestrator.model.evidence import (
    EvidenceProblem,
    EvidenceRecord,
    SourceKind,
    nothing_from,
)
from fsm_orchestrator.model.gate_rules import GateRule


def with_demands(
    found: Mapping[str, EvidenceRecord],
    signals: Iterable[GateSignal],
    state: State,
    lifecycle: Lifecycle,
    reached: int,
) -> dict[str, EvidenceRecord]:
    """Return evidence as a gate state accepts it: what does not count there has a problem.

    `reached` is the invocation in which the run first came to the state.
    """
    taken, judged = dict(found), lifecycle.judged_in(state)
    if state.evidence is EvidenceDemand.REQUIRED:
        for gate in judged:
            taken[gate] = _required(found.get(gate), gate)
    if state.name in lifecycle.gates_after_stages and not lifecycle.accepts_early_signals:
        for signal in signals:
            if signal.gate in judged and signal.gate not in taken:
                early = _early(signal, lifecycle.gates[signal.gate], state, reached)
                if early is not None:
                    taken[signal.gate] = early
    return taken


def about_another(
    found: Mapping[str, EvidenceRecord], gates: Iterable[str], why: str
) -> dict[str, EvidenceRecord]:
    """Return evidence that makes every gate refuse: the subject of the run has changed."""
    nothing, problem = nothing_from(SourceKind.FLAG), EvidenceProblem.WRONG_SUBJECT
    return {gate: _refused(found.get(gate, nothing), problem, why) for gate in gates}


def _required(record: EvidenceRecord | None, gate: str) -> EvidenceRecord:
    if record is None:
        detail = f"the lifecycle demands evidence, and the gate has no source: [gate.{gate}]"
        return _refused(nothing_from(SourceKind.FLAG), EvidenceProblem.NOT_CONFIGURED, detail)
    if record.problem is None and not record.is_bound:
        detail = f"{record.detail}, but it does not name what it is about"
        return _refused(record, EvidenceProblem.UNBOUND, detail)
    return record


def _early(signal: GateSignal, rule: GateRule, state: State, reached: int) -> EvidenceRecord | None:
    is_passing = signal.status == rule.passing
    if not is_passing or signal.given is None or signal.given.invocation > reached:
        return None
    detail = (
        f"{signal.status} was given before the run had come to {state.name!r}, where there is"
        " something to look at"
    )
    return _refused(nothing_from(SourceKind.FLAG), EvidenceProblem.TOO_OLD, detail)


def _refused(record: EvidenceRecord, problem: EvidenceProblem, detail: str) -> EvidenceRecord:
    return record.model_copy(update={"problem": problem, "detail": detail})
