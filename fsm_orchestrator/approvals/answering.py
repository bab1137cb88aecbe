"""Answering a request: which one, what is signed, whether it would count, and where it is kept."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from fsm_orchestrator.approvals import store
from fsm_orchestrator.approvals.judging import (
    Judged,
    Requests,
    Vote,
    changed_words,
    judged,
    with_withdrawals,
)
from fsm_orchestrator.approvals.request import StoredRequest, differences
from fsm_orchestrator.approvals.said import (
    DecisionPredicate,
    Speaker,
    bundle_bytes,
    spoken,
    statement_bytes,
)
from fsm_orchestrator.approvals.standing import Awaited, Decided
from fsm_orchestrator.approvals.store import Kept, KeptSaying
from fsm_orchestrator.approvals.votes import votes_of
from fsm_orchestrator.clock import timestamp
from fsm_orchestrator.disk import files
from fsm_orchestrator.errors import CommandError, UsageError
from fsm_orchestrator.gates.sources.envelope import RefusedError
from fsm_orchestrator.gates.subject import moved
from fsm_orchestrator.model.approval import Answer, Said
from fsm_orchestrator.text.hidden import copyable
from fsm_orchestrator.text.instants import instant
from fsm_orchestrator.text.phrases import listed
from fsm_orchestrator.vocabulary import ExitCode

Sign = Callable[[bytes], str | None]
"""A function that signs bytes; it returns None if nothing is signed."""


@dataclass(frozen=True)
class Wish:
    """An answer that somebody wants to give.

    Attributes:
        expires_ms: the milliseconds for which it holds; None for as long as the request.
    """

    said: Said
    reason: str
    expires_ms: int | None
    now: datetime


class Answered(NamedTuple):
    """An answer that was kept, and what follows from it."""

    answer: Answer
    judged: Judged
    file: str


class NotCountedError(UsageError):
    """An answer that would not count; nothing was kept."""

    exit_code = ExitCode.USAGE


def to_answer(awaited: Sequence[Awaited], gate: str | None) -> Awaited:
    """Return the gate to answer: the named one, or else the one that waits.

    Raises:
        UsageError: there is none, or more than one.
    """
    named = [one for one in awaited if gate in {None, one.gate}]
    if not named:
        which = "no gate of the run" if gate is None else f"the gate {gate} does not"
        others = listed([one.gate for one in awaited])
        raise UsageError(
            f"{which} ask{'s' if gate is None else ''} people for approval",
            remedy=f"name one that does: {others}"
            if others
            else "give its signal to a resume, such as --review-status approved",
        )
    waiting = [one for one in named if one.decided is not Decided.PASSED] or named
    asked = [one for one in waiting if one.look.latest is not None]
    if not asked:
        raise UsageError(
            "nothing is asked yet: the run has not reached the gate", remedy="run it first"
        )
    if len(asked) > 1:
        gates = listed([one.gate for one in asked])
        raise UsageError(f"{gates} ask for approval", remedy="name one: --gate GATE")
    return asked[0]


def request_of(awaited: Awaited, resume: str) -> StoredRequest:
    """Return the request as it can be answered now. `resume` is the command that asks again.

    Raises:
        UsageError: it has expired, or what it names has changed.
    """
    look, desk = awaited.look, awaited.desk
    if look.current is not None:
        subject = desk.checkpoint.subject
        why_not = None if subject is None else moved(subject, desk.output)
        if why_not is None:
            return look.current
        raise UsageError(
            f"the request {look.current.file} is stale: {desk.mask(why_not)}",
            remedy="put it back as it was, or start a new run",
        )
    latest = look.latest
    if latest is None:
        raise UsageError("nothing is asked yet", remedy=f"ask: {resume}")
    changed = differences(latest.predicate, look.content)
    why = f"has expired, at {latest.predicate.expiresAt}"
    if changed:
        why = f"is stale: {changed_words(changed)}"
    raise UsageError(f"the request {latest.file} {why}", remedy=f"have it asked again: {resume}")


def raw_statement(wish: Wish, request: StoredRequest, withdraws: Sequence[str]) -> bytes:
    """Return the bytes to sign.

    Raises:
        UsageError: the request has expired.
    """
    predicate = request.predicate
    until = None
    if wish.said is Said.APPROVE:
        latest = instant(predicate.expiresAt)
        if latest <= wish.now:
            raise UsageError(
                f"the request has expired, at {predicate.expiresAt}",
                remedy="have it asked again: resume the run",
            )
        until = latest
        if wish.expires_ms is not None:
            until = min(latest, wish.now + timedelta(milliseconds=wish.expires_ms))
    said = DecisionPredicate(
        decision=wish.said,
        gate=predicate.gate,
        runId=predicate.runId,
        cycle=predicate.cycle,
        reason=wish.reason,
        decidedAt=timestamp(wish.now),
        expiresAt=None if until is None else timestamp(until),
        approver=_speaker(),
        withdraws=tuple(withdraws),
    )
    return statement_bytes(said, os.path.basename(request.file), request.sha256)


def _speaker() -> Speaker:
    import pwd  # noqa: PLC0415 - only for answers

    uid = os.getuid()
    try:
        user: str | None = pwd.getpwuid(uid).pw_name
    except KeyError:
        user = None
    return Speaker(user=user, uid=uid, host=os.uname().nodename)


def answered(awaited: Awaited, request: StoredRequest, wish: Wish, sign: Sign) -> Answered:
    """Sign and keep an answer.

    Raises:
        UsageError: it would not count; then nothing is kept.
        CommandError: it cannot be signed or kept.
    """
    taken_back: tuple[str, ...] = ()
    if wish.said is Said.WITHDRAW:
        # All of them: a withdrawal takes back only those of the same person.
        taken_back = tuple(
            one.sha256
            for one in awaited.look.votes
            if one.request_sha256 == request.sha256
            and one.answer.said is not Said.WITHDRAW
            and not one.answer.is_withdrawn
        )
    raw = raw_statement(wish, request, taken_back)
    return kept_answer(awaited, request, wish.said, bundle_bytes(raw, sign(raw)))


def kept_answer(
    awaited: Awaited, request: StoredRequest, said: Said | None, raw: bytes
) -> Answered:
    """Keep a signed answer if it counts; `said` is None for a plain signature.

    Raises:
        UsageError: it would not count; then nothing is kept.
        CommandError: it cannot be kept.
    """
    look, now = awaited.look, awaited.desk.now
    new = KeptSaying(request.number, said, "", raw, timestamp(now))
    with_it = look.kept._replace(sayings=(*look.kept.sayings, new))
    votes, found = _judged(awaited, with_it, look.requests)
    mine = next(one for one in votes if one.answer.file == "")
    _refuse_uncounted(mine, votes, request)
    try:
        file = store.keep_saying(awaited.desk.output, request, said, raw)
    except OSError as error:
        place = awaited.desk.output / "approvals"
        raise CommandError(
            f"it was signed, and cannot be kept in {copyable(place)}: {files.reason(error)}",
            remedy="sign with --request and --out, and send the file to the owner of the run",
        ) from error
    return Answered(mine.answer, found, file)


def _judged(awaited: Awaited, kept: Kept, requests: Requests) -> tuple[tuple[Vote, ...], Judged]:
    terms, look = awaited.source.approval, awaited.look
    if terms.allowed_signers is not None and look.signers is None:
        raise UsageError(f"nobody can approve: {look.judged.detail}")
    votes = votes_of(kept, requests, terms, look.signers)
    return votes, judged(requests, votes, terms, awaited.desk.now)


def _refuse_uncounted(mine: Vote, votes: Sequence[Vote], request: StoredRequest) -> None:
    if mine.answer.problem is not None:
        raise NotCountedError(
            f"it would not count ({mine.answer.problem}): {mine.detail}",
            remedy="nothing was kept; see who may in `fsm-orchestrator explain OUT`",
        )
    if mine.request_sha256 != request.sha256:
        raise NotCountedError(
            "it would not count: it is for another request, or for another run",
            remedy="nothing was kept; answer the request that is asked now",
        )
    own = [
        one
        for one in with_withdrawals(votes)
        if one.identities & mine.identities and one.request_sha256 == request.sha256
    ]
    has_denied = any(one.answer.said is Said.DENY and one.answer.counts for one in own)
    if mine.answer.said is Said.APPROVE and has_denied:
        raise NotCountedError(
            f"{mine.answer.who} has denied this request, which holds until it is withdrawn",
            remedy="nothing was kept; fsm-orchestrator withdraw OUT takes it back",
        )
    has_taken_back = any(one.sha256 in mine.withdraws for one in own)
    if mine.answer.said is Said.WITHDRAW and not has_taken_back:
        raise NotCountedError(
            f"{mine.answer.who} has said nothing to this request that could be withdrawn",
            remedy="nothing was kept",
        )


def said_in(raw: bytes) -> Said | None:
    """Return the kind of answer in a file from another machine; None for a plain signature.

    Raises:
        UsageError: it is neither.
    """
    if raw.lstrip().startswith(b"-----BEGIN SSH SIGNATURE-----"):
        return None
    try:
        return spoken(raw).predicate.decision
    except RefusedError as error:
        raise UsageError(
            f"the file is no approval: {error}",
            remedy="make it with `approve --request FILE --out FILE.approval`",
        ) from None
