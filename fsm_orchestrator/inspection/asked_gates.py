"""What the gates of a run would say now: every source is asked, no stage runs, nothing is kept."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from fsm_orchestrator.gates.demands import about_another, with_demands
from fsm_orchestrator.gates.judging import judge
from fsm_orchestrator.gates.sources.base import Tools
from fsm_orchestrator.gates.subject import moved
from fsm_orchestrator.model.evidence import EvidenceRecord, SourceKind
from fsm_orchestrator.model.invocation import GateDecision
from fsm_orchestrator.preparation.preparation import Preparation
from fsm_orchestrator.processes.interrupts import Interrupts
from fsm_orchestrator.processes.runner import ProcessRunner
from fsm_orchestrator.record.work import asking_state, first_reached, work_for
from fsm_orchestrator.vocabulary import Gate, StateKind

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


def _desk(preparation: Preparation, gate: Gate) -> Desk:
    """Return what looks at what people have said for a gate; nothing is asked of them."""
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


def ask_gates(preparation: Preparation, interrupts: Interrupts) -> tuple[AskedGate, ...]:
    """Ask every source, and judge the gates by what every gate state demands.

    Raises:
        AskedToEndError: it was asked to end meanwhile.
    """
    checkpoint, mask = preparation.checkpoint, preparation.masker.mask
    runner, printed = ProcessRunner(interrupts), dict.fromkeys(checkpoint.sources, "")
    found: dict[Gate, EvidenceRecord] = {}
    try:
        for gate, source in checkpoint.sources.items():
            tools = Tools(
                gate=gate.value,
                number=1,
                run_id=checkpoint.run_id,
                output_directory=preparation.config.output_path,
                home=None,
                runner=runner,
                now=preparation.clock.now(),
                mask=mask,
            )
            if source.kind is SourceKind.APPROVAL:
                tools = replace(tools, desk=_desk(preparation, gate))
            work = work_for(checkpoint, gate, mask)
            evidence = source.source(tools).collect(checkpoint.subject, work)
            printed[gate] = evidence.output
            found[gate] = evidence.record.model_copy(
                update={"detail": mask(evidence.record.detail)}
            )
    finally:
        runner.close()
    for state in checkpoint.lifecycle.state:
        if state.kind is StateKind.GATE:
            reached = first_reached(checkpoint, state.name)
            signals = checkpoint.gate_signals
            found = with_demands(found, signals, state, checkpoint.lifecycle, reached)
    subject = checkpoint.subject
    why = None if subject is None else moved(subject, preparation.config.output_path)
    if why is not None:
        found = about_another(found, mask(why))
    return tuple(
        AskedGate(
            decision,
            checkpoint.sources[decision.gate].words
            if decision.gate in checkpoint.sources
            else None,
            mask(printed.get(decision.gate, "")),
        )
        for decision in judge(checkpoint.gate_signals, found)
    )
