"""The common parts of the gates' links: the decisions, their time, the files they name."""

from __future__ import annotations

from datetime import datetime

from fsm_orchestrator.bundle.known import BrokenError, Known
from fsm_orchestrator.bundle.members import MemberKind, kind_of
from fsm_orchestrator.bundle.verified import Break
from fsm_orchestrator.model.invocation import GateDecision
from fsm_orchestrator.record.checkpoint import Checkpoint
from fsm_orchestrator.text.instants import instant
from fsm_orchestrator.vocabulary import Trigger


def record_of(known: Known) -> Checkpoint:
    """Return the record, up to its events."""
    if known.retelling is None:
        raise AssertionError("chain")
    return known.retelling.onward


def decisions_of(known: Known) -> tuple[GateDecision, ...]:
    """Return the decisions in force."""
    record = record_of(known)
    return record.decisions_in_force(record.outcome)


def judged_at(known: Known) -> datetime:
    """Return the time as of which the gates were judged last: the end, if the run is done."""
    record = record_of(known)
    passed = [one.at for one in record.transitions if one.trigger is Trigger.GATES_PASSED]
    at = known.judged_at if record.is_done or not passed else passed[-1]
    return instant(at or "")


def named_files(known: Known, kind: MemberKind) -> dict[str, str]:
    """Return the files of a kind that decisions name, with the digests that they name."""
    if known.retelling is None:
        raise AssertionError("chain")
    named = dict(known.retelling.evidence)
    for one in (each.evidence for each in decisions_of(known)):
        if one is not None and one.file is not None and one.statement_sha256 is not None:
            named[one.file] = one.statement_sha256
    return {name: sha256 for name, sha256 in named.items() if kind_of(name) is kind}


def check_bytes(known: Known, named: dict[str, str]) -> None:
    """Compare files with the digests by which decisions name them."""
    for name, sha256 in named.items():
        member = known.bundle.members.get(name)
        if member is None:
            raise BrokenError(Break.MISSING, "a decision names it", member=name)
        if member.sha256 != sha256:
            said = f"it has the sha256 {member.sha256}, and a decision names {sha256}"
            raise BrokenError(Break.OTHER_BYTES, said, member=name)
