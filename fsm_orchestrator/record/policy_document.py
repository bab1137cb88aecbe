"""Makes the document that a policy judges, from a run's record."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from fsm_orchestrator.clock import timestamp
from fsm_orchestrator.config.stage_record import StageRecord
from fsm_orchestrator.constants import SCHEMA_VERSION
from fsm_orchestrator.disk.where import run_of
from fsm_orchestrator.gates.judging import judge
from fsm_orchestrator.model.invocation import GateDecision
from fsm_orchestrator.record.checkpoint import Checkpoint
from fsm_orchestrator.record.closure import ChangedArtifact
from fsm_orchestrator.secrets.masking import MASK
from fsm_orchestrator.vocabulary import Compared

if TYPE_CHECKING:
    from fsm_orchestrator.gates.policy_input import PolicyInput, PolicyUsed, StageToJudge
    from fsm_orchestrator.model.evidence import EvidenceRecord


class Asking(NamedTuple):
    """A gate whose policy is asked.

    Attributes:
        evidence: the evidence of the gates that were asked before.
        mask: a function that masks secrets, and so shows which texts hold one.
        changed: a function that looks for artifacts that are not what their stage left.
    """

    checkpoint: Checkpoint
    gate: str
    output_directory: Path
    evidence: Mapping[str, EvidenceRecord]
    now: datetime
    mask: Callable[[str], str]
    changed: Callable[[], Iterable[ChangedArtifact]]


def document_for(asking: Asking, policy: PolicyUsed) -> PolicyInput:
    """Return the document, without texts that hold a secret."""
    from fsm_orchestrator.gates.policy_input import (  # noqa: PLC0415 - only for policies
        LifecycleFollowed,
        PolicyInput,
        StartedBy,
        ThingNamed,
        WorkDone,
    )

    draft, shown = asking.checkpoint, _Shown(asking.mask)
    origin = draft.invocation.origin
    now = {(asking.mask(one.path), one.then): one.now for one in asking.changed()}
    return PolicyInput(
        schema_version=SCHEMA_VERSION,
        run_id=draft.run_id,
        invocation=draft.invocation.number,
        started_by=None
        if origin is None
        else StartedBy(user=origin.user, uid=origin.uid, host=origin.host),
        time=timestamp(asking.now),
        gate=asking.gate,
        policy=policy,
        lifecycle=LifecycleFollowed(
            name=draft.lifecycle.name, sha256=draft.lifecycle_sha256, state=draft.current_state
        ),
        output_directory=shown.text(str(run_of(asking.output_directory))),
        subject=tuple(
            ThingNamed(name=shown.text(one.name), digest=one.digest)
            for one in (() if draft.subject is None else draft.subject.entries)
        ),
        work=tuple(
            WorkDone(
                stage=done.stage,
                path=shown.text(one.path),
                sha256=now.get((one.path, one.sha256), one.sha256),
            )
            for done in draft.completed
            for one in done.artifacts
        ),
        stages={
            name: _stage(draft, name, record, shown)
            for name, record in sorted(draft.stages.items())
        },
        signals={one.gate: one for one in draft.gate_signals},
        gates={
            one.gate: _decision(one, shown)
            for one in judge(draft.lifecycle.gates, draft.gate_signals, asking.evidence)
            if one.gate != asking.gate
        },
    )


class _Shown(NamedTuple):
    """A filter for texts that may be shown."""

    mask: Callable[[str], str]

    def text(self, text: str) -> str | None:
        """Return a text, or None if it holds a secret or held one."""
        return text if self.mask(text) == text and MASK not in text else None

    def of(self, record: StageRecord, field: Compared, texts: tuple[str, ...]) -> tuple[str, ...]:
        """Return the texts of a setting that hold no secret."""
        hidden = {one.index for one in record.hidden if one.field is field}
        return tuple(
            one
            for number, one in enumerate(texts)
            if number not in hidden and self.text(one) is not None
        )


def _decision(decision: GateDecision, shown: _Shown) -> GateDecision:
    """Return a decision without masked texts in its evidence."""
    evidence = decision.evidence
    if evidence is None:
        return decision
    clean = evidence.model_copy(
        update={
            "detail": shown.text(evidence.detail) or "",
            "issuer": None if evidence.issuer is None else shown.text(evidence.issuer),
            "signer": None if evidence.signer is None else shown.text(evidence.signer),
            "subject": tuple(
                one.model_copy(update={"name": shown.text(one.name) or ""})
                for one in evidence.subject
            ),
            "approval": None
            if evidence.approval is None
            else evidence.approval.masked(lambda text: shown.text(text) or ""),
        }
    )
    return decision.model_copy(update={"evidence": clean})


def _stage(draft: Checkpoint, name: str, record: StageRecord, shown: _Shown) -> StageToJudge:
    from fsm_orchestrator.gates.policy_input import StageToJudge  # noqa: PLC0415 - only for policies

    args = shown.of(record, Compared.ARGS, record.args)
    artifacts = shown.of(record, Compared.EXPECTED_ARTIFACTS, record.expected_artifacts)
    return StageToJudge(
        command=next(iter(shown.of(record, Compared.COMMAND, (record.command,))), None),
        args=args,
        args_left_out=len(record.args) - len(args),
        directory=next(iter(shown.of(record, Compared.CWD, (record.cwd,))), None),
        environment=tuple(sorted(record.variable_names)),
        expected_artifacts=artifacts,
        expected_artifacts_left_out=len(record.expected_artifacts) - len(artifacts),
        is_completed=draft.completion_of(name) is not None,
        cycle=draft.cycle_of(name),
    )
