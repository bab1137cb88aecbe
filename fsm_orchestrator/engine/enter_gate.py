"""Entering a gate state: judge every gate, and return the fact that follows."""

from __future__ import annotations

from fsm_orchestrator.engine.context import RunContext
from fsm_orchestrator.engine.machine import Fact, Verdict
from fsm_orchestrator.gates import judging
from fsm_orchestrator.lifecycle.model import State
from fsm_orchestrator.model.invocation import GateDecision
from fsm_orchestrator.vocabulary import EventName, Gate, Trigger


class EnterGate:
    """The judging of the gates, on entering a gate state and once more before the run closes."""

    def __init__(self, context: RunContext) -> None:
        self._context = context

    def enter(self, state: State) -> Fact:
        """Judge the gates, and record every decision."""
        decisions = self._decisions()
        self._note(decisions)
        if judging.have_passed(decisions, state.judged_gates):
            passed = ", ".join(f"{gate.value} passed" for gate in state.judged_gates)
            return Fact(Trigger.GATES_PASSED, passed)
        refused = ", ".join(judging.reason_codes(decisions))
        return Fact(Trigger.GATES_REFUSED, f"refused: {refused}")

    def hold(self) -> Verdict:
        """Judge the gates again; record their decisions only if one refuses."""
        decisions = self._decisions()
        if judging.have_passed(decisions, Gate):
            return Verdict(holds=True)
        self._note(decisions)
        refused = ", ".join(judging.reason_codes(decisions))
        return Verdict(holds=False, why=f"closing refused: {refused}")

    def _decisions(self) -> tuple[GateDecision, ...]:
        return judging.judge(self._context.recorder.draft.gate_signals)

    def _note(self, decisions: tuple[GateDecision, ...]) -> None:
        self._context.recorder.update_invocation(gate_decisions=decisions)
        for decision in decisions:
            level = "info" if decision.passed else "warning"
            self._context.log.emit(EventName.GATE_DECIDED, level=level, decision=decision)
