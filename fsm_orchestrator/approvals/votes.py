"""The answers in the files of a gate, and their signers: read without trusting them."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from fsm_orchestrator.approvals.judging import Requests, Vote
from fsm_orchestrator.approvals.request import Requester, StoredRequest
from fsm_orchestrator.approvals.said import Spoken, spoken
from fsm_orchestrator.approvals.store import Kept, KeptSaying
from fsm_orchestrator.approvals.verifying import Signer, Signers, not_by
from fsm_orchestrator.gates.sources.approval import REQUESTER, ApprovalTerms
from fsm_orchestrator.gates.sources.envelope import RefusedError
from fsm_orchestrator.model.approval import Answer, Said
from fsm_orchestrator.model.evidence import EvidenceProblem
from fsm_orchestrator.text.digest import sha256_of

_UNSIGNED: Final = "it is unsigned, and only signed answers count"


def votes_of(
    kept: Kept, requests: Requests, terms: ApprovalTerms, signers: Signers | None
) -> tuple[Vote, ...]:
    """Return every answer for a gate; whatever is wrong with one is its own problem."""
    every = [*requests.earlier, *([] if requests.current is None else [requests.current])]
    by_number = {one.number: one for one in every}
    by_digest = {one.sha256: one for one in every}
    return tuple(
        _plain(one, by_number.get(one.number), signers)
        if one.said is None
        else _signed(one, by_digest, terms, signers, requests.content.requester)
        for one in kept.sayings
    )


def _plain(one: KeptSaying, request: StoredRequest | None, signers: Signers | None) -> Vote:
    """Judge a plain signature of a request: an approval until the request expires."""
    raw = b"" if request is None else request.raw
    given = _answer(one, Said.APPROVE)
    if request is not None:
        given = given.model_copy(update={"expires_at": request.predicate.expiresAt})
    signature = one.raw.decode(errors="replace")
    vote = Vote(given, sha256_of(raw), None, None, frozenset(), sha256_of(one.raw))
    if request is None:
        return _refused(vote, EvidenceProblem.STALE, "the request that it names is not here")
    if signers is None:
        return _refused(vote, EvidenceProblem.UNSIGNED, "no allowed_signers says whose it is")
    try:
        return _by(vote, signers.signer(raw, signature, Said.APPROVE))
    except RefusedError as refused:
        return _refused(vote, refused.problem, str(refused))


def _signed(
    one: KeptSaying,
    by_digest: dict[str, StoredRequest],
    terms: ApprovalTerms,
    signers: Signers | None,
    asker: Requester,
) -> Vote:
    """Judge a person's own statement."""
    said = one.said or Said.APPROVE
    try:
        found = spoken(one.raw)
    except RefusedError as refused:
        vote = Vote(_answer(one, said), "", None, None, frozenset(), sha256_of(one.raw))
        return _refused(vote, refused.problem, str(refused))
    vote = vote_of(found, one.file, by_digest.get(found.request_sha256))
    if found.predicate.decision is not said:
        why = f"its file says {said}, and it says {found.predicate.decision}"
        return _refused(vote, EvidenceProblem.NOT_A_STATEMENT, why)
    return verified(vote, found, terms, signers, asker)


def vote_of(found: Spoken, file: str, request: StoredRequest | None) -> Vote:
    """Return a statement as a vote, before its signature is checked."""
    predicate = found.predicate
    until = predicate.expiresAt
    if predicate.decision is Said.APPROVE and request is not None:
        until = min(filter(None, (until, request.predicate.expiresAt)))
    given = Answer(
        said=predicate.decision,
        principal=None,
        key=None,
        is_signed=found.signature is not None,
        user=predicate.approver.user,
        uid=predicate.approver.uid,
        host=predicate.approver.host,
        reason=predicate.reason,
        at=predicate.decidedAt,
        expires_at=until,
        file=file,
        is_withdrawn=False,
        problem=None,
    )
    return Vote(
        answer=given,
        request_sha256=found.request_sha256,
        run_id=predicate.runId,
        cycle=predicate.cycle,
        identities=frozenset(),
        sha256=found.sha256,
        withdraws=predicate.withdraws,
    )


def verified(
    vote: Vote,
    found: Spoken,
    terms: ApprovalTerms,
    signers: Signers | None,
    asker: Requester,
) -> Vote:
    """Return a vote with its signer, or with the problem of its signature."""
    if found.signature is None:
        return _unsigned(vote, terms, asker)
    if signers is None:
        why = "it is signed, and no allowed_signers says by whom"
        return _refused(vote, EvidenceProblem.UNKNOWN_SIGNER, why)
    try:
        return _by(vote, signers.signer(found.raw, found.signature, found.predicate.decision))
    except RefusedError as refused:
        return _refused(vote, refused.problem, str(refused))


def _by(vote: Vote, signer: Signer) -> Vote:
    named = {"principal": signer.principal, "key": signer.key.fingerprint}
    known = _changed(vote, vote.answer.model_copy(update=named), "", signer.identities)
    if signer.is_requester and vote.answer.said is Said.APPROVE:
        return _refused(known, EvidenceProblem.SELF_APPROVAL, not_by(signer.principal))
    return known


def _unsigned(vote: Vote, terms: ApprovalTerms, asker: Requester) -> Vote:
    """Judge a statement without a signature: it counts only if the terms allow that.

    The requester is taken from the run's record: anybody can write what a request says.
    """
    if not terms.unsigned:
        return _refused(vote, EvidenceProblem.UNSIGNED, _UNSIGNED)
    answer = vote.answer
    who = frozenset({f"uid {answer.uid}"})  # any user can write any other's name or machine
    known = _changed(vote, answer, "", who)
    may_not_be = REQUESTER in terms.excluded and answer.said is Said.APPROVE
    if may_not_be and asker.uid in {None, answer.uid}:
        why = (
            "it is not known who asked, because the clock is fixed"
            if asker.uid is None
            else f"the user with the id {answer.uid} has asked"
        )
        return _refused(known, EvidenceProblem.SELF_APPROVAL, why)
    return known


def _answer(one: KeptSaying, said: Said) -> Answer:
    return Answer(
        said=said,
        principal=None,
        key=None,
        is_signed=True,
        user=None,
        uid=None,
        host=None,
        reason="",
        at=None,
        expires_at=None,
        file=one.file,
        is_withdrawn=False,
        problem=None,
    )


def _changed(vote: Vote, answer: Answer, detail: str, who: frozenset[str]) -> Vote:
    return replace(vote, answer=answer, detail=detail, identities=who or vote.identities)


def _refused(vote: Vote, problem: EvidenceProblem, detail: str) -> Vote:
    answer = vote.answer.model_copy(update={"problem": problem})
    return _changed(vote, answer, detail, frozenset())
