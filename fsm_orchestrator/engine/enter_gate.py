"""The judging of the gates, on entering a gate state and once more before the run closes."""

from __future__ import annotations

from fsm_orchestrator.engine.context import RunContext
from fsm_orchestrator.engine.machine import Fact, Verdict
from fsm_orchestrator.gates import judging
from fsm_orchestrator.lifecycle.model import State
from fsm_orchestrator.model.invocation import GateDecision
from fsm_orchestrator.vocabulary import EventName, Gate, Trigger


def enter_gate(context: RunContext, state: State) -> Fact:
    """Judge the gates on entering a gate state, and record every decision."""
    decisions = judging.judge(context.recorder.draft.gate_signals)
    _note(context, decisions)
    if judging.have_passed(decisions, state.judged_gates):
        passed = ", ".join(f"{gate.value} passed" for gate in state.judged_gates)
        return Fact(Trigger.GATES_PASSED, passed)
    refused = ", ".join(judging.reason_codes(decisions))
    return Fact(Trigger.GATES_REFUSED, f"refused: {refused}")


def do_gates_hold(context: RunContext) -> Verdict:
    """Judge the gates once more before the run closes; record the decisions only if one refuses."""
    decisions = judging.judge(context.recorder.draft.gate_signals)
    if judging.have_passed(decisions, Gate):
        return Verdict(holds=True)
    _note(context, decisions)
    refused = ", ".join(judging.reason_codes(decisions))
    return Verdict(holds=False, why=f"closing refused: {refused}")


def _note(context: RunContext, decisions: tuple[GateDecision, ...]) -> None:
    context.recorder.update_invocation(gate_decisions=decisions)
    for decision in decisions:
        level = "info" if decision.passed else "warning"
        context.log.emit(EventName.GATE_DECIDED, level=level, decision=decision)
