"""The link of the evidence: it is present, and about what the run is about.

Judged by the functions that judged it first, as of the end of the run.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from fsm_orchestrator.bundle.archive_links import Notes
from fsm_orchestrator.bundle.decided import (
    check_bytes,
    decisions_of,
    judged_at,
    named_files,
    record_of,
)
from fsm_orchestrator.bundle.known import BrokenError, Known, NotApplicableError, Requirement
from fsm_orchestrator.bundle.members import MemberKind
from fsm_orchestrator.bundle.verified import Break
from fsm_orchestrator.disk.peek import has_too_many_values
from fsm_orchestrator.gates.sources.command import CommandSource, Reads
from fsm_orchestrator.gates.sources.statement import About, StatementSource, StatementTerms
from fsm_orchestrator.gates.sources.statement import judged as judged_statement
from fsm_orchestrator.gates.subject import unnamed
from fsm_orchestrator.model.evidence import (
    EvidenceProblem,
    SourceKind,
    SubjectEntry,
)
from fsm_orchestrator.model.gate_rules import MANDATORY_RULES
from fsm_orchestrator.model.invocation import GateDecision
from fsm_orchestrator.record.checkpoint import Checkpoint
from fsm_orchestrator.record.work import work_for
from fsm_orchestrator.text.instants import instant
from fsm_orchestrator.text.phrases import counted, listed
from fsm_orchestrator.vocabulary import StateKind

_SHOWN_SUBJECTS: Final = 100
"""The most subjects of a piece of evidence that a record has."""


def evidence(known: Known) -> Notes:
    """Verify that the evidence of each gate is present, and judge again what it is about."""
    decisions = decisions_of(known)
    found = [one for one in decisions if one.evidence is not None and one.passed]
    named = named_files(known, MemberKind.EVIDENCE)
    check_bytes(known, named)
    others = [one for one in known.bundle.of_kind(MemberKind.EVIDENCE) if one.name not in named]
    if others:
        more = counted(len(others), "piece")
        known.not_verified.append(
            f"{more} of evidence, {others[0].name} first: no decision names it"
        )
    typed = [one.gate for one in decisions if one.passed and one.evidence is None]
    if typed:
        known.not_verified.append(
            f"{listed(typed)}: passed by what a person typed, which nothing proves"
        )
    if Requirement.EVIDENCE in known.wanted.requires:
        _require_evidence(decisions)
    if not found:
        raise NotApplicableError("no gate was passed by evidence")
    notes = [note for one in found if one.evidence is not None for note in _about(known, one)]
    return (f"{counted(len(found), 'gate')} passed by evidence", *notes)


def _require_evidence(decisions: tuple[GateDecision, ...]) -> None:
    by_gate = {one.gate: one for one in decisions}
    for gate in MANDATORY_RULES:
        one = by_gate.get(gate)
        if one is None or not one.passed or one.evidence is None:
            raise BrokenError(Break.REQUIRED, f"the gate {gate} has not passed by evidence")


def _about(known: Known, decision: GateDecision) -> Iterator[str]:
    """Verify that the evidence that passed a gate is about this run.

    Yields:
        what a reader should know about it.
    """
    record, one = record_of(known), decision.evidence
    if one is None or one.source is SourceKind.APPROVAL:
        return
    subject = () if record.subject is None else record.subject.entries
    wanted = (*subject, *_work_before(record, decision.gate))
    missing = unnamed(wanted, one.subject)
    if one.subject and missing and len(one.subject) < _SHOWN_SUBJECTS:
        said = f"{decision.gate}: it does not name {missing[0].name}"
        raise BrokenError(EvidenceProblem.WRONG_SUBJECT, said, member=one.file)
    if not one.subject:
        yield f"{decision.gate}: its evidence names nothing that it is about"
    source = record.sources.get(decision.gate)
    if isinstance(source, StatementSource) or (
        isinstance(source, CommandSource) and source.reads is not Reads.EXIT_CODE
    ):
        _judge_again(known, decision, source)
    if one.signer is not None:
        yield (
            f"{decision.gate}: the run verified that {one.signer} has signed its evidence:"
            " this did not"
        )


def _work_before(record: Checkpoint, gate: str) -> tuple[SubjectEntry, ...]:
    """Return the artifacts that the evidence of a gate had to name when it was first requested."""
    lifecycle = record.lifecycle
    states = [
        one.name
        for one in lifecycle.state
        if one.kind is StateKind.GATE and gate in lifecycle.judged_in(one)
    ]
    before = {
        one.path
        for completion in record.completed
        for one in completion.artifacts
        if any(lifecycle.comes_before(completion.stage, state) for state in states)
    }
    entries = work_for(record, gate, str, lambda: ())
    return tuple(one for one in entries if one.name in before)


def _judge_again(known: Known, decision: GateDecision, terms: StatementTerms) -> None:
    """Judge the bytes of a statement with the function that judged them first."""
    record, one = record_of(known), decision.evidence
    if one is None or one.file is None:
        return
    made_at = one.issued_at if one.is_issued_by_file else None
    about = About(
        rule=record.lifecycle.gates[decision.gate],
        subject=record.subject,
        work=_work_before(record, decision.gate),
        now=judged_at(known),
        made_at=None if made_at is None else instant(made_at),
    )
    raw = known.bundle.whole(one.file)
    if has_too_many_values(raw):
        said = f"{decision.gate}: it has more values than any evidence"
        raise BrokenError(Break.UNREADABLE, said, member=one.file)
    found = judged_statement(raw, terms, about, one.model_copy(update={"problem": None}))
    if found.problem is not None:
        said = f"{decision.gate}: {found.detail}"
        raise BrokenError(found.problem, said, member=one.file)
    if found.subject != one.subject:
        said = f"{decision.gate}: it names other things than the decision says"
        raise BrokenError(EvidenceProblem.WRONG_SUBJECT, said, member=one.file)
