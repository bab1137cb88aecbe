"""Judges the gates on entering a gate state, and once more before the run closes."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from fsm_orchestrator.engine.context import RunContext
from fsm_orchestrator.engine.machine import CalledOffError, Fact, Verdict
from fsm_orchestrator.gates import judging
from fsm_orchestrator.lifecycle.model import State
from fsm_orchestrator.model.invocation import GateDecision
from fsm_orchestrator.processes.interrupts import Interrupts
from fsm_orchestrator.processes.runner import ProcessRunner
from fsm_orchestrator.vocabulary import EventName, Trigger

if TYPE_CHECKING:
    from fsm_orchestrator.engine.collecting import Collecting


class EnterGate:
    """The gates of one invocation."""

    def __init__(self, context: RunContext, interrupts: Interrupts, runner: ProcessRunner) -> None:
        self._context = context
        self._interrupts = interrupts
        self._runner = runner
        self._made: Collecting | None = None

    def enter(self, state: State) -> Fact:
        """Judge the gates on entering a gate state, and record every decision.

        Raises:
            OperationError: the answer of a source could not be kept, or a stage may have changed
                what it judges by.
        """
        try:
            sources = self._collecting()
            evidence = judging.NO_EVIDENCE if sources is None else sources.on_entering(state)
        except CalledOffError as request:
            from fsm_orchestrator.model.stop_words import asked_words  # noqa: PLC0415 - rare

            return Fact(Trigger.RUN_ABORTED, asked_words(request.signum))
        draft = self._context.recorder.draft
        decisions = judging.judge(draft.lifecycle.gates, draft.gate_signals, evidence)
        judged = draft.lifecycle.judged_in(state)
        self._note(decisions, judged)
        if sources is not None:
            sources.confirm()
        if judging.have_passed(decisions, judged):
            passed = ", ".join(f"{gate} passed" for gate in judged)
            return Fact(Trigger.GATES_PASSED, passed)
        refused = ", ".join(judging.reason_codes(one for one in decisions if one.gate in judged))
        return Fact(Trigger.GATES_REFUSED, f"refused: {refused}")

    def do_hold(self) -> Verdict:
        """Judge the gates before the run closes; record the decisions if one has changed.

        Raises:
            CalledOffError: the run was asked to end in the meantime.
            OperationError: the answer of a source could not be kept, or a stage may have changed
                what it judges by.
        """
        sources = self._collecting()
        evidence = judging.NO_EVIDENCE if sources is None else sources.before_closing()
        draft = self._context.recorder.draft
        decisions = judging.judge(draft.lifecycle.gates, draft.gate_signals, evidence)
        if judging.have_passed(decisions, draft.lifecycle.gates):
            if sources is not None:
                sources.confirm()
            self._note_changed(decisions)
            return Verdict(holds=True)
        self._note(decisions, draft.lifecycle.gates)
        if sources is not None and sources.tampering is not None:
            self._context.warn(str(sources.tampering))
        refused = ", ".join(judging.reason_codes(decisions))
        return Verdict(holds=False, why=f"closing refused: {refused}")

    def why_not(self, stage: str) -> str | None:
        """Return why a stage may not run now although its gates had passed, or None if it may."""
        return None if self._made is None else self._made.why_not(stage)

    def _collecting(self) -> Collecting | None:
        """Return what asks the sources, or None if there is nothing to ask or to look at."""
        draft = self._context.recorder.draft
        asks = draft.sources or draft.subject is not None or draft.lifecycle.demands_of_signals
        if self._made is None and asks:
            from fsm_orchestrator.engine.collecting import Collecting  # noqa: PLC0415 - rare

            self._made = Collecting(self._context, self._interrupts, self._runner)
        return self._made

    def _note_changed(self, decisions: tuple[GateDecision, ...]) -> None:
        """Record the decisions by which the gates hold, if these differ from the earlier ones."""
        before = self._context.recorder.draft.invocation.gate_decisions
        changed = [one for one in decisions if one not in before]
        if changed:
            self._context.recorder.update_invocation(gate_decisions=decisions)
        for decision in changed:
            self._context.log.emit(EventName.GATE_DECIDED, level="info", decision=decision)

    def _note(self, decisions: tuple[GateDecision, ...], judged: Collection[str]) -> None:
        self._context.recorder.update_invocation(gate_decisions=decisions)
        for decision in decisions:
            counts = decision.gate in judged
            level = "info" if decision.passed or not counts else "warning"
            later = {} if counts else {"is_judged_elsewhere": True}
            self._context.log.emit(EventName.GATE_DECIDED, level=level, decision=decision, **later)
