"""What a gate state demands of signals and evidence beside that they pass. Pure.

Loaded only for gate states that demand something.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from fsm_orchestrator.gates.judging import GateSignal
from fsm_orchestrator.gates.rules import GATE_RULES
from fsm_orchestrator.lifecycle.model import EvidenceDemand, Lifecycle, State
from fsm_orchestrator.model.evidence import (
    EvidenceProblem,
    EvidenceRecord,
    SourceKind,
    nothing_from,
)
from fsm_orchestrator.vocabulary import MANDATORY_GATES, Gate


def with_demands(
    found: Mapping[Gate, EvidenceRecord],
    signals: Iterable[GateSignal],
    state: State,
    lifecycle: Lifecycle,
    reached: int,
) -> dict[Gate, EvidenceRecord]:
    """Return evidence as a gate state takes it: what does not count there has a problem.

    `reached` is the invocation in which the run came to the state first.
    """
    taken = dict(found)
    if state.evidence is EvidenceDemand.REQUIRED:
        for gate in state.judged_gates:
            taken[gate] = _required(found.get(gate), gate)
    if state.name in lifecycle.gates_after_stages and not lifecycle.accepts_early_signals:
        for signal in signals:
            if signal.gate in state.judged_gates and signal.gate not in taken:
                early = _early(signal, state, reached)
                if early is not None:
                    taken[signal.gate] = early
    return taken


def about_another(found: Mapping[Gate, EvidenceRecord], why: str) -> dict[Gate, EvidenceRecord]:
    """Return evidence by which every gate refuses: the subject of the run is not what it was."""
    nothing, problem = nothing_from(SourceKind.FLAG), EvidenceProblem.WRONG_SUBJECT
    return {gate: _refused(found.get(gate, nothing), problem, why) for gate in MANDATORY_GATES}


def _required(record: EvidenceRecord | None, gate: Gate) -> EvidenceRecord:
    if record is None:
        detail = f"the lifecycle demands evidence, and the gate has no source: [gate.{gate.value}]"
        return _refused(nothing_from(SourceKind.FLAG), EvidenceProblem.NOT_CONFIGURED, detail)
    if record.problem is None and not record.is_bound:
        detail = f"{record.detail}, but it does not name what it is about"
        return _refused(record, EvidenceProblem.UNBOUND, detail)
    return record


def _early(signal: GateSignal, state: State, reached: int) -> EvidenceRecord | None:
    is_passing = signal.status == GATE_RULES[signal.gate].passing
    if not is_passing or signal.given is None or signal.given.invocation > reached:
        return None
    detail = (
        f"{signal.status} was given before the run had come to {state.name!r}, where there is"
        " something to look at"
    )
    return _refused(nothing_from(SourceKind.FLAG), EvidenceProblem.TOO_OLD, detail)


def _refused(record: EvidenceRecord, problem: EvidenceProblem, detail: str) -> EvidenceRecord:
    return record.model_copy(update={"problem": problem, "detail": detail})
