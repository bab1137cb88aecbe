"""What the gates of a run would say now: every source is asked, no stage runs, nothing is kept."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from fsm_orchestrator.gates.demands import about_another, with_demands
from fsm_orchestrator.gates.evidence_status import NOT_THERE_YET
from fsm_orchestrator.gates.judging import judge
from fsm_orchestrator.gates.sources.base import Evidence, Tools, evidence_from
from fsm_orchestrator.gates.subject import moved
from fsm_orchestrator.model.evidence import EvidenceRecord, SourceKind
from fsm_orchestrator.model.invocation import GateDecision
from fsm_orchestrator.preparation.preparation import Preparation
from fsm_orchestrator.processes.interrupts import Interrupts
from fsm_orchestrator.processes.runner import ProcessRunner
from fsm_orchestrator.record.closure import ChangedArtifact, judge_artifacts
from fsm_orchestrator.record.policy_document import Asking, document_for
from fsm_orchestrator.record.work import asking_state, first_reached, work_for
from fsm_orchestrator.vocabulary import GateSource, StateKind

if TYPE_CHECKING:
    from fsm_orchestrator.approvals.desk import Desk


class AskedGate(NamedTuple):
    """A gate, and what was learned of it.

    Attributes:
        decision: as a run would have it now; nothing is kept, so it names no file.
        asked: what was asked, for people; None where the gate has no source.
        output: what a command that refused has printed last.
    """

    decision: GateDecision
    asked: str | None
    output: str

    @property
    def is_awaited(self) -> bool:
        """Whether it is closed for want of evidence that may yet come."""
        one = self.decision
        if one.passed or one.source is not GateSource.EVIDENCE or one.evidence is None:
            return False
        return one.evidence.problem in NOT_THERE_YET


def _desk(preparation: Preparation, gate: str) -> Desk | None:
    """Return what looks at what people have said for a gate; nothing is asked of them."""
    if preparation.checkpoint.sources[gate].kind is not SourceKind.APPROVAL:
        return None
    from fsm_orchestrator.approvals.desk import Desk  # noqa: PLC0415 - rare

    return Desk(
        checkpoint=preparation.checkpoint,
        settings=preparation.settings,
        gate=gate,
        state=asking_state(preparation.checkpoint, gate),
        output=preparation.config.output_path,
        home=None,
        now=preparation.clock.now(),
        mask=preparation.masker.mask,
    )


def _changed(preparation: Preparation) -> tuple[ChangedArtifact, ...]:
    return judge_artifacts(preparation.checkpoint, preparation.settings).changed


class GateAsking:
    """The sources of a run's gates, asked once or again and again."""

    def __init__(self, preparation: Preparation, interrupts: Interrupts) -> None:
        self._preparation = preparation
        self._interrupts = interrupts
        self._answers: dict[str, Evidence] = {}

    def ask(self) -> tuple[AskedGate, ...]:
        """Ask the sources, and judge the gates by what every gate state demands.

        What has answered, and is run but once in a run, is not asked again.

        Raises:
            AskedToEndError: it was asked to end meanwhile.
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
        checkpoint, mask = self._preparation.checkpoint, self._preparation.masker.mask
        asking = Asking(
            checkpoint,
            gate,
            self._preparation.config.output_path,
            self._taken(),
            self._preparation.clock.now(),
            mask,
            lambda: _changed(self._preparation),
        )
        tools = Tools(
            rule=checkpoint.lifecycle.gates[gate],
            number=1,
            run_id=checkpoint.run_id,
            output_directory=self._preparation.config.output_path,
            home=None,
            runner=runner,
            now=asking.now,
            mask=mask,
            document=partial(document_for, asking),
            desk=_desk(self._preparation, gate),
        )
        work = work_for(checkpoint, gate, mask, lambda: _changed(self._preparation))
        return evidence_from(checkpoint.sources[gate], tools, checkpoint.subject, work)

    def _taken(self) -> dict[str, EvidenceRecord]:
        """Return what has been answered, as every gate state takes it."""
        checkpoint, mask = self._preparation.checkpoint, self._preparation.masker.mask
        found = {gate: one.record.masked(mask) for gate, one in self._answers.items()}
        for state in checkpoint.lifecycle.state:
            if state.kind is StateKind.GATE:
                reached = first_reached(checkpoint, state.name)
                signals = checkpoint.gate_signals
                found = with_demands(found, signals, state, checkpoint.lifecycle, reached)
        return found

    def _judged(self) -> tuple[AskedGate, ...]:
        checkpoint, mask = self._preparation.checkpoint, self._preparation.masker.mask
        found = self._taken()
        subject = checkpoint.subject
        output = self._preparation.config.output_path
        why = None if subject is None else moved(subject, output)
        if why is not None:
            found = about_another(found, checkpoint.lifecycle.gates, mask(why))
        return tuple(
            self._shown(one)
            for one in judge(checkpoint.lifecycle.gates, checkpoint.gate_signals, found)
        )

    def _shown(self, decision: GateDecision) -> AskedGate:
        source = self._preparation.checkpoint.sources.get(decision.gate)
        answer = self._answers.get(decision.gate)
        output = "" if answer is None else self._preparation.masker.mask(answer.output)
        return AskedGate(decision, None if source is None else source.words, output)
