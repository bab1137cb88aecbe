"""The present verdicts of a run's gates: every source is asked, no stage runs, nothing is kept."""

from __future__ import annotations

from typing import NamedTuple

from fsm_orchestrator.approvals.inquiry import Inquiry, about_subject, taken_by
from fsm_orchestrator.gates.evidence_status import NOT_THERE_YET
from fsm_orchestrator.gates.judging import judge
from fsm_orchestrator.gates.sources.base import Evidence
from fsm_orchestrator.model.evidence import EvidenceRecord
from fsm_orchestrator.model.invocation import GateDecision
from fsm_orchestrator.preparation.preparation import Preparation
from fsm_orchestrator.processes.interrupts import Interrupts
from fsm_orchestrator.processes.runner import ProcessRunner
from fsm_orchestrator.record.closure import ChangedArtifact, judge_artifacts
from fsm_orchestrator.vocabulary import GateSource, StateKind


class AskedGate(NamedTuple):
    """A gate, and the answer of its source.

    Attributes:
        decision: the decision that a run would make now; nothing is kept, so it names no file.
        asked: the question, for people; None if the gate has no source.
        output: the last output of a command that refused.
    """

    decision: GateDecision
    asked: str | None
    output: str

    @property
    def is_awaited(self) -> bool:
        """True if the gate is closed for lack of evidence that may still come."""
        one = self.decision
        if one.passed or one.source is not GateSource.EVIDENCE or one.evidence is None:
            return False
        return one.evidence.problem in NOT_THERE_YET


def _changed(preparation: Preparation) -> tuple[ChangedArtifact, ...]:
    return judge_artifacts(preparation.checkpoint, preparation.settings).changed


class GateAsking:
    """The sources of a run's gates, asked once or repeatedly."""

    def __init__(self, preparation: Preparation, interrupts: Interrupts) -> None:
        self._preparation = preparation
        self._interrupts = interrupts
        self._answers: dict[str, Evidence] = {}

    def ask(self) -> tuple[AskedGate, ...]:
        """Ask the sources, and judge the gates by what every gate state demands.

        A source that runs only once in a run, and has answered, is not asked again.

        Raises:
            AskedToEndError: it was asked to end while a source was asked.
        """
        runner = ProcessRunner(self._interrupts)
        try:
            sources = self._preparation.checkpoint.sources.items()
            for gate, source in sorted(sources, key=lambda one: one[1].looks_at_others):
                before = self._answers.get(gate)
                is_open = before is None or before.record.problem in NOT_THERE_YET
                if is_open or source.asks_again:
                    self._answers[gate] = self._asked(gate, runner)
                elif before is not None:
                    by_now = source.judged_again(before, self._preparation.clock.now())
                    self._answers[gate] = before._replace(record=by_now)
        finally:
            runner.close()
        return self._judged()

    def _asked(self, gate: str, runner: ProcessRunner) -> Evidence:
        preparation = self._preparation
        inquiry = Inquiry(
            checkpoint=preparation.checkpoint,
            settings=preparation.settings,
            gate=gate,
            number=1,
            output=preparation.config.output_path,
            home=None,
            runner=runner,
            mask=preparation.masker.mask,
            changed=lambda: _changed(preparation),
            taken=self._taken,
        )
        return inquiry.answer(preparation.clock.now())

    def _taken(self) -> dict[str, EvidenceRecord]:
        """Return the answers, as every gate state takes them."""
        checkpoint, mask = self._preparation.checkpoint, self._preparation.masker.mask
        found = {gate: one.record.masked(mask) for gate, one in self._answers.items()}
        states = (one for one in checkpoint.lifecycle.state if one.kind is StateKind.GATE)
        return taken_by(states, found, checkpoint)

    def _judged(self) -> tuple[AskedGate, ...]:
        checkpoint, mask = self._preparation.checkpoint, self._preparation.masker.mask
        output = self._preparation.config.output_path
        found = about_subject(self._taken(), checkpoint, output, mask)
        return tuple(
            self._shown(one)
            for one in judge(checkpoint.lifecycle.gates, checkpoint.gate_signals, found)
        )

    def _shown(self, decision: GateDecision) -> AskedGate:
        source = self._preparation.checkpoint.sources.get(decision.gate)
        answer = self._answers.get(decision.gate)
        output = "" if answer is None else self._preparation.masker.mask(answer.output)
        return AskedGate(decision, None if source is None else source.words, output)
