"""Asks the source of one gate, and takes what sources have said as gate states do.

Only this module makes both, for a run and for a look at what its gates would say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from fsm_orchestrator.config.stage_settings import StageSettings
from fsm_orchestrator.disk.held import HeldDirectory
from fsm_orchestrator.gates.demands import about_another, with_demands
from fsm_orchestrator.gates.sources.base import Evidence, Tools, evidence_from
from fsm_orchestrator.gates.subject import moved
from fsm_orchestrator.lifecycle.model import State
from fsm_orchestrator.model.evidence import EvidenceRecord, SourceKind
from fsm_orchestrator.processes.runner import ProcessRunner
from fsm_orchestrator.record.checkpoint import Checkpoint
from fsm_orchestrator.record.closure import ChangedArtifact
from fsm_orchestrator.record.policy_document import Asking, document_for
from fsm_orchestrator.record.work import asking_state, first_reached, work_for

if TYPE_CHECKING:
    from fsm_orchestrator.approvals.desk import Desk


@dataclass(frozen=True, kw_only=True)
class Inquiry:
    """A gate whose source is asked, once or again.

    Attributes:
        settings: the settings of each stage, as exact as they are known.
        number: the number of the evidence, from 1 for each gate.
        output: the output directory.
        home: the output directory, held; None if nothing may be written.
        mask: hides secrets in what is said.
        changed: returns the artifacts that are not what their stage left.
        taken: returns what is known of the gates, as gate states take it.
        state: the gate state that judges the gate; None for the one that the run reached last.
        is_entry: True if the gate lets the run in now.
        environment: additional variables for its command.
    """

    checkpoint: Checkpoint
    settings: Mapping[str, StageSettings]
    gate: str
    number: int
    output: Path
    home: HeldDirectory | None
    runner: ProcessRunner
    mask: Callable[[str], str]
    changed: Callable[[], Iterable[ChangedArtifact]]
    taken: Callable[[], Mapping[str, EvidenceRecord]]
    state: State | None = None
    is_entry: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)

    def answer(self, now: datetime) -> Evidence:
        """Ask the source.

        Raises:
            AskedToEndError: the run was asked to end while the source was asked.
        """
        checkpoint = self.checkpoint
        source = checkpoint.sources[self.gate]
        tools = Tools(
            rule=checkpoint.lifecycle.gates[self.gate],
            number=self.number,
            run_id=checkpoint.run_id,
            output_directory=self.output,
            home=self.home,
            runner=self.runner,
            now=now,
            mask=self.mask,
            document=lambda policy: document_for(
                Asking(
                    checkpoint, self.gate, self.output, self.taken(), now, self.mask, self.changed
                ),
                policy,
            ),
            environment=self.environment,
            desk=self.desk(now) if source.kind is SourceKind.APPROVAL else None,
        )
        work = work_for(checkpoint, self.gate, self.mask, self.changed)
        return evidence_from(source, tools, checkpoint.subject, work)

    def desk(self, now: datetime) -> Desk:
        """Return the desk that asks people for the gate."""
        from fsm_orchestrator.approvals.desk import Desk  # noqa: PLC0415 - rare

        return Desk(
            checkpoint=self.checkpoint,
            settings=self.settings,
            gate=self.gate,
            state=self.state or asking_state(self.checkpoint, self.gate),
            output=self.output,
            home=self.home,
            now=now,
            mask=self.mask,
            is_entry=self.is_entry,
        )


def taken_by(
    states: Iterable[State], known: Mapping[str, EvidenceRecord], checkpoint: Checkpoint
) -> dict[str, EvidenceRecord]:
    """Return what is known of each gate, as gate states take it."""
    found = dict(known)
    for state in states:
        reached = first_reached(checkpoint, state.name)
        found = with_demands(found, checkpoint.gate_signals, state, checkpoint.lifecycle, reached)
    return found


def about_subject(
    found: dict[str, EvidenceRecord],
    checkpoint: Checkpoint,
    output: Path,
    mask: Callable[[str], str],
) -> dict[str, EvidenceRecord]:
    """Refuse every gate if the subject of the run has changed."""
    subject = checkpoint.subject
    why = None if subject is None else moved(subject, output)
    return found if why is None else about_another(found, checkpoint.lifecycle.gates, mask(why))
