"""Decides whether the answers to a request let a run in: a pure function.

An approval counts only for the request that it names, and only while everything that the request
names is unchanged.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, NamedTuple

from fsm_orchestrator.approvals.request import (
    ApprovalPredicate,
    Difference,
    Part,
    StoredRequest,
    differences,
)
from fsm_orchestrator.gates.sources.approval import ApprovalTerms
from fsm_orchestrator.gates.sources.times import problem_with_expiry
from fsm_orchestrator.model.approval import Answer, Said
from fsm_orchestrator.model.evidence import EvidenceProblem
from fsm_orchestrator.text.hidden import copyable
from fsm_orchestrator.text.instants import instant
from fsm_orchestrator.text.phrases import counted, described, listed

_SHOWN_MAX: Final = 12
"""The number of characters of a digest that are shown to people."""
_SUBJECT_SHOWN_MAX: Final = 22
"""The same for a digest with the name of its algorithm before it."""


@dataclass(frozen=True)
class Vote:
    """The answer of one person, after its signature was checked.

    Attributes:
        answer: the answer as a decision keeps it; its problem is that of the signature alone.
        request_sha256: the digest of the request that it names.
        run_id: the run that it names; None if only the request names one.
        cycle: the cycle that it names; likewise.
        identities: what distinguishes the person from others.
        sha256: the digest of the statement; a withdrawal names it.
        withdraws: the digests of the statements that it takes back.
        detail: the problem, as a sentence.
    """

    answer: Answer
    request_sha256: str
    run_id: str | None
    cycle: int | None
    identities: frozenset[str]
    sha256: str
    withdraws: tuple[str, ...] = ()
    detail: str = ""


class Judged(NamedTuple):
    """The judgment of all answers.

    Attributes:
        problem: why the gate does not open; None if it does.
        given: the number of people whose approvals count.
        expires_at: the time until which it holds; None if it does not.
    """

    problem: EvidenceProblem | None
    detail: str
    given: int
    expires_at: str | None
    answers: tuple[Answer, ...]
    changed: tuple[Difference, ...] = ()


class Requests(NamedTuple):
    """The requests of a gate.

    Attributes:
        current: the request for what is to be done now; None if none has been made.
        content: what is to be done now.
        earlier: the requests before it, in order.
        used: the digests of the requests by which a run was let in.
    """

    current: StoredRequest | None
    content: ApprovalPredicate
    earlier: tuple[StoredRequest, ...]
    used: frozenset[str]


def judged(
    requests: Requests, votes: Sequence[Vote], terms: ApprovalTerms, now: datetime
) -> Judged:
    """Judge all answers."""
    votes = tuple(with_withdrawals(votes))
    current = None if requests.current is None else requests.current.sha256
    here = [_at(one, now) for one in votes if one.request_sha256 == current]
    elsewhere = [one for one in votes if one.request_sha256 != current]
    old = [_elsewhere(one, requests, now) for one in elsewhere]
    answers = tuple(one.answer for one in (*(one for one, _ in old), *here))
    denials = [one for one in here if one.answer.said is Said.DENY and one.answer.counts]
    approvals = [one for one in here if one.answer.said is Said.APPROVE]
    counting = [one for one in approvals if one.answer.counts]
    people = _people(counting)
    if denials:
        said = listed([f"{one.answer.who}{_because(one.answer)}" for one in denials])
        return Judged(EvidenceProblem.DENIED, f"denied by {said}", len(people), None, answers)
    if len(people) >= terms.quorum:
        until = sorted((_until(person) for person in people), reverse=True)[terms.quorum - 1]
        names = listed([person[0].answer.who for person in people])
        return Judged(None, f"approved by {names}", len(people), until, answers)
    wanted = f"{len(people)} of {counted(terms.quorum, 'approval')}"
    refused = [one for one in approvals if one.answer.problem is not None]
    if refused:
        problem = refused[-1].answer.problem
        why = f"{refused[-1].answer.who}: {refused[-1].detail}"
        if people:
            problem = EvidenceProblem.QUORUM
        return Judged(problem, f"{wanted}; {why}", len(people), None, answers)
    if people:
        names = listed([person[0].answer.who for person in people])
        return Judged(EvidenceProblem.QUORUM, f"{wanted}, by {names}", len(people), None, answers)
    stale = [(one, diff) for one, diff in old if one.answer.said is Said.APPROVE]
    if stale:
        vote, changed = stale[-1]
        why = f"{vote.answer.who} had approved something else: {vote.detail}"
        if vote.answer.problem is EvidenceProblem.EXPIRED:
            why = f"{vote.answer.who}: {vote.detail}"
        return Judged(vote.answer.problem, f"{wanted}; {why}", 0, None, answers, changed)
    return Judged(EvidenceProblem.NOT_FOUND, f"{wanted}: nobody has answered", 0, None, answers)


def _because(answer: Answer) -> str:
    return f" ({described(answer.reason)})" if answer.reason else ""


def with_withdrawals(votes: Sequence[Vote]) -> Iterator[Vote]:
    """Yield the answers, marked if the same person has taken them back."""
    back = [
        (one.withdraws, one.identities)
        for one in votes
        if one.answer.said is Said.WITHDRAW and one.answer.problem is None
    ]
    for vote in votes:
        is_back = any(vote.sha256 in taken and vote.identities & who for taken, who in back)
        answer = vote.answer.model_copy(update={"is_withdrawn": is_back})
        yield _with(vote, answer) if is_back else vote


def _with(vote: Vote, answer: Answer, detail: str | None = None) -> Vote:
    return replace(vote, answer=answer, detail=vote.detail if detail is None else detail)


def _refused(vote: Vote, problem: EvidenceProblem, detail: str) -> Vote:
    return _with(vote, vote.answer.model_copy(update={"problem": problem}), detail)


def _at(vote: Vote, now: datetime) -> Vote:
    """Return an answer to the request as it counts now: not after its expiry."""
    expires_at = vote.answer.expires_at
    if vote.answer.problem is not None or expires_at is None:
        return vote
    expired = problem_with_expiry(instant(expires_at), now)
    return vote if expired is None else _refused(vote, *expired)


def _elsewhere(
    vote: Vote, requests: Requests, now: datetime
) -> tuple[Vote, tuple[Difference, ...]]:
    """Return an answer to another request, which never counts, and how the requests differ."""
    if vote.answer.problem is not None:
        return vote, ()
    found = next((one for one in requests.earlier if one.sha256 == vote.request_sha256), None)
    content = requests.content
    run_id = vote.run_id if found is None else found.predicate.runId
    cycle = vote.cycle if found is None else found.predicate.cycle
    changed = () if found is None else differences(found.predicate, content)
    if run_id not in {None, content.runId}:
        problem, detail = EvidenceProblem.WRONG_RUN, f"it is of the run {run_id}"
    elif cycle not in {None, content.cycle} and vote.request_sha256 in requests.used:
        problem = EvidenceProblem.USED
        detail = f"it was used for cycle {cycle}, and cycle {content.cycle} is asked for"
    elif cycle not in {None, content.cycle}:
        problem = EvidenceProblem.WRONG_CYCLE
        detail = f"it is of cycle {cycle}, and cycle {content.cycle} is asked for"
    elif changed:
        problem, detail = EvidenceProblem.STALE, changed_words(changed)
    elif found is None:
        problem, detail = EvidenceProblem.STALE, "it names a request that is not here"
    else:
        expired = _at(vote, now)
        if expired.answer.problem is not None:
            return expired, ()
        problem, detail = EvidenceProblem.STALE, "another request has taken its place"
    return _refused(vote, problem, detail), changed


def changed_words(changed: Iterable[Difference]) -> str:
    """Return the changes as text for people."""
    return "; ".join(_changed_words(one) for one in changed)


def _changed_words(one: Difference) -> str:
    name = copyable(one.name)
    match one.part:
        case Part.ARTIFACT | Part.SUBJECT:
            if one.was is None or one.now is None:
                new = "is new" if one.was is None else "is gone"
                return f"the {one.part} {name} {new}"
            shown = _SHOWN_MAX if one.part is Part.ARTIFACT else _SUBJECT_SHOWN_MAX
            return f"the {one.part} {name} was {one.was[:shown]} and is {one.now[:shown]} now"
        case Part.COMMAND:
            return f"the command of {name} has changed"
        case Part.LIFECYCLE:
            return "the lifecycle has changed"
        case Part.CYCLE:
            return f"{name} was in cycle {one.was} and is in cycle {one.now} now"
        case Part.REQUESTER:
            return f"{one.was or 'nobody'} had asked, and {one.now or 'nobody'} asks now"
        case Part.STATE:
            return f"the gate state was {one.was} and is {one.now} now"
        case Part.RUN:
            return f"the run was {one.was} and is {one.now} now"


def _people(votes: Sequence[Vote]) -> tuple[tuple[Vote, ...], ...]:
    """Return the approvals by person: those that share a key or a principal are of one."""
    people: list[list[Vote]] = []
    for vote in votes:
        same = [one for one in people if any(vote.identities & other.identities for other in one)]
        merged = [other for one in same for other in one]
        people = [one for one in people if one not in same]
        people.append([*merged, vote])
    return tuple(tuple(one) for one in people)


def _until(person: Sequence[Vote]) -> str:
    """Return the time until which a person's approval holds: the latest of them."""
    return max(one.answer.expires_at or "" for one in person)
