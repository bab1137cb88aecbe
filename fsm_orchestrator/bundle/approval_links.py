"""The links of the approvals: what people were asked to approve, and whether they have.

Judged by the functions that judged it first, as of the end of the run; the files of the verifier
say whose keys are whose.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from fsm_orchestrator.approvals.binding import confined_to, held_to, inside
from fsm_orchestrator.approvals.content import released_stages
from fsm_orchestrator.approvals.judging import Requests, Vote, judged
from fsm_orchestrator.approvals.request import (
    REQUEST_BYTES_MAX,
    ApprovalPredicate,
    NotARequestError,
    RequestedFile,
    StoredRequest,
    predicate_of,
)
from fsm_orchestrator.approvals.store import Kept, StoredFile, kept_in
from fsm_orchestrator.approvals.verifying import Signers
from fsm_orchestrator.approvals.votes import votes_of
from fsm_orchestrator.bundle.archive_links import Notes
from fsm_orchestrator.bundle.archive_reader import ArchiveProblem
from fsm_orchestrator.bundle.decided import (
    check_bytes,
    decisions_of,
    judged_at,
    named_files,
    record_of,
)
from fsm_orchestrator.bundle.known import BrokenError, Known, NotApplicableError, Requirement
from fsm_orchestrator.bundle.members import MemberKind
from fsm_orchestrator.bundle.opened import MemberFacts
from fsm_orchestrator.bundle.verified import Break
from fsm_orchestrator.clock import timestamp
from fsm_orchestrator.config.stage_record import settings_of
from fsm_orchestrator.constants import APPROVALS_DIRECTORY
from fsm_orchestrator.disk.peek import has_too_many_values
from fsm_orchestrator.gates.sources.approval import ApprovalSource, ApprovalTerms
from fsm_orchestrator.gates.sources.envelope import RefusedError
from fsm_orchestrator.model.approval import ApprovalState
from fsm_orchestrator.model.evidence import (
    EvidenceProblem,
)
from fsm_orchestrator.model.invocation import GateDecision
from fsm_orchestrator.record.checkpoint import Checkpoint
from fsm_orchestrator.text.phrases import counted

ANSWERS_MAX: Final = 1_000
"""The most answers of a gate that are looked at: each takes several processes to verify."""


def _asked(known: Known) -> list[tuple[GateDecision, ApprovalState]]:
    """Return the decisions on the gates that people opened, with the approvals."""
    return [
        (one, one.evidence.approval)
        for one in decisions_of(known)
        if one.passed and one.evidence is not None and one.evidence.approval is not None
    ]


def requests(known: Known) -> Notes:
    """Verify that what people were asked to approve is what was run, by the record."""
    asked = _asked(known)
    check_bytes(known, named_files(known, MemberKind.APPROVAL))
    if not asked:
        raise NotApplicableError("no gate was opened by people")
    for decision, state in asked:
        request = _request(known, state)
        for name, is_so in _bindings(known, decision, state, request.predicate):
            if not is_so:
                said = f"{decision.gate}: {name} is not what the record has"
                raise BrokenError(Break.OTHER_THING, said, member=request.file)
    return (f"{counted(len(asked), 'gate')} opened by people",)


def _request(known: Known, state: ApprovalState) -> StoredRequest:
    """Return the request by which a gate was opened."""
    name = state.request
    member = None if name is None else known.bundle.members.get(name)
    if name is None or member is None:
        raise BrokenError(Break.MISSING, "a decision names it", member=name)
    try:
        raw = _bounded(member, REQUEST_BYTES_MAX)
        found = StoredRequest(0, name, raw, predicate_of(raw))
    except (NotARequestError, OSError) as error:
        raise BrokenError(Break.UNREADABLE, str(error), member=name) from None
    if found.sha256 != state.request_sha256:
        said = f"it has the sha256 {found.sha256}, and the decision names {state.request_sha256}"
        raise BrokenError(Break.OTHER_BYTES, said, member=name)
    return found


def _bindings(
    known: Known, decision: GateDecision, state: ApprovalState, asked: ApprovalPredicate
) -> Iterator[tuple[str, bool]]:
    """Yield everything that a request names, and whether it is what the record has."""
    record = record_of(known)
    runs = {record.run_id, *(one.run_id for one in record.home.copied_from)}
    named = () if decision.evidence is None else decision.evidence.subject
    yield "the run", asked.runId in runs
    yield "the gate", asked.gate == decision.gate
    yield "the gate state", asked.state == state.state and asked.state in record.lifecycle.states
    yield "the cycle", asked.cycle == state.cycle
    yield "the lifecycle", asked.lifecycle.sha256 == record.lifecycle_sha256
    yield "the subject", asked.subject == (() if record.subject is None else record.subject.entries)
    yield from _commands(record, decision.gate, state, asked)
    for artifact in asked.artifacts:
        yield f"the artifact {artifact.path}", _was_left(record, artifact)
    yield "what the decision names", not named or asked.named == named


def _commands(
    record: Checkpoint, gate: str, state: ApprovalState, asked: ApprovalPredicate
) -> Iterator[tuple[str, bool]]:
    """Yield each part of the commands in a request, and whether it is what the record has."""
    output = Path(record.home.directory)
    named = {command.stage for command in asked.commands}
    for stage in released_stages(record.lifecycle, record.lifecycle.states[state.state], gate):
        if stage in record.stages:
            yield f"{stage}, which it releases,", stage in named
    for command in asked.commands:
        stage, settings = command.stage, record.stages.get(command.stage)
        if settings is None:
            yield f"the stage {stage}", False
            continue
        words = (settings.command, *settings.args)
        yield f"the command of {stage}", command.argv == words
        variables = tuple(sorted(settings.variable_names))
        yield f"the environment of {stage}", command.environment == variables
        yield f"the directory of {stage}", command.directory == inside(settings.cwd, output)
        known = settings_of(stage, settings, {})
        cage = None if known.confine is None else confined_to(known.confine, output)
        yield f"what confines {stage}", command.confinement == cage
        terms = held_to(settings, output) if known.must_earn else None
        yield f"what {stage} is held to", command.held_to == terms
        for file in command.files:
            yield f"{file.path}, run by {stage},", _ran(record, stage, file)


def _ran(record: Checkpoint, stage: str, file: RequestedFile) -> bool:
    """Return whether an approved file is the one that a stage ran, if it ran any."""
    attempts = record.attempts_of(stage)
    path = os.path.join(record.home.directory, file.path)
    ran = [one.sha256 for one in attempts[-1].program if one.path == path] if attempts else []
    return all(one in {None, file.sha256} for one in ran)


def _was_left(record: Checkpoint, artifact: RequestedFile) -> bool:
    """Return whether an approved artifact is one that a stage left, if any left one at its path."""
    path = os.path.join(record.home.directory, artifact.path)
    left = [
        one.sha256
        for execution in record.executions
        for one in execution.artifacts
        if one.path == path
    ]
    return not left or artifact.sha256 in left


def approvals(known: Known) -> Notes:
    """Verify the signatures of the people who opened a gate, as of the end of the run."""
    asked = _asked(known)
    is_required = Requirement.APPROVALS in known.wanted.requires
    if not asked:
        if is_required:
            raise BrokenError(Break.REQUIRED, "no gate was opened by people")
        raise NotApplicableError("no gate was opened by people")
    notes: list[str] = []
    for decision, state in asked:
        notes += _approved(known, decision, state, is_required=is_required)
    return (*notes, f"judged as of {timestamp(judged_at(known))}")


def _approved(
    known: Known, decision: GateDecision, state: ApprovalState, *, is_required: bool
) -> Iterator[str]:
    source = record_of(known).sources.get(decision.gate)
    if not isinstance(source, ApprovalSource):
        said = f"{decision.gate}: the record has no terms by which people could open it"
        raise BrokenError(Break.MISSING, said)
    given = source.approval
    if not given.unsigned and known.wanted.allowed_signers is None:
        if is_required:
            raise BrokenError(
                Break.REQUIRED, "whose keys are whose is not known: --allowed-signers"
            )
        known.not_verified.append(f"{decision.gate}: who has approved, without --allowed-signers")
        raise NotApplicableError("without --allowed-signers nobody knows whose keys are whose")
    if given.unsigned and is_required:
        said = f"{decision.gate}: approvals without a signature count, and prove nothing"
        raise BrokenError(EvidenceProblem.UNSIGNED, said)
    request = _request(known, state)
    if len(state.answers) > ANSWERS_MAX:
        said = f"{decision.gate}: {len(state.answers)} answers, more than a gate gets"
        raise BrokenError(ArchiveProblem.TOO_MANY, said, member=request.file)
    files = _kept(known, decision.gate, {one.file for one in state.answers})
    others = tuple(one for one in files.requests if one.file != request.file)
    found = Requests(request, request.predicate, others, files.used)
    now = judged_at(known)
    try:
        terms = _terms(known, given)
        signers = None if given.unsigned else Signers(terms, now)
        votes = votes_of(files, found, terms, signers)
        _check_asked(votes)
    except RefusedError as refused:
        raise BrokenError(refused.problem, str(refused), member=request.file) from None
    result = judged(found, votes, terms, now)
    if result.problem is not None:
        said = f"{decision.gate}: {result.detail}"
        raise BrokenError(result.problem, said, member=request.file)
    _same_votes(decision, state, votes, request)
    if given.unsigned:
        said = f"{decision.gate}: approvals are unsigned, and prove nothing"
        known.not_verified.append(said)
    yield f"{decision.gate}: {result.detail}"


def _check_asked(votes: tuple[Vote, ...]) -> None:
    """Refuse to count votes if nothing could find out whose an answer is.

    Raises:
        RefusedError: the tool or the file of keys could not be asked.
    """
    for one in votes:
        if one.answer.problem is EvidenceProblem.ENGINE_ERROR:
            raise RefusedError(EvidenceProblem.ENGINE_ERROR, one.detail)


def _terms(known: Known, given: ApprovalTerms) -> ApprovalTerms:
    """Return the terms of the run, with the files of the verifier."""
    if given.unsigned:
        return given
    files = {
        "allowed_signers": known.wanted.allowed_signers,
        "revoked_keys": known.wanted.revoked_keys,
    }
    return given.model_copy(update=files)


def _kept(known: Known, gate: str, answers: set[str]) -> Kept:
    """Return what is stored of a gate, with only the answers that were there when it opened."""
    found = kept_in(map(_stored, known.bundle.of_kind(MemberKind.APPROVAL)), gate)
    then = tuple(one for one in found.sayings if one.file in answers)
    if len(then) < len(answers):
        missing = answers.difference(one.file for one in then)
        raise BrokenError(Break.MISSING, "a decision names it", member=min(missing))
    return found._replace(sayings=then)


def _stored(member: MemberFacts) -> StoredFile:
    name = member.name.removeprefix(f"{APPROVALS_DIRECTORY}/")
    return StoredFile(name, lambda most: _bounded(member, most), str)


def _bounded(member: MemberFacts, most_bytes: int) -> bytes:
    """Return a member of the approvals, unless it is larger than the store takes.

    Raises:
        OSError: it is larger.
    """
    data = member.data or b""
    if len(data) > most_bytes or has_too_many_values(data):
        raise OSError(errno.EFBIG, "larger than any of a run's", member.name)
    return data


def _same_votes(
    decision: GateDecision, state: ApprovalState, votes: tuple[Vote, ...], request: StoredRequest
) -> None:
    """Compare the keys that count now with those of the decision."""
    counted_then = {one.key for one in state.answers if one.counts and one.key is not None}
    keys = {one.answer.key for one in votes if one.answer.problem is None}
    if not counted_then <= keys:
        said = f"{decision.gate}: other keys had been counted when it opened"
        raise BrokenError(Break.OTHER_THING, said, member=request.file)
