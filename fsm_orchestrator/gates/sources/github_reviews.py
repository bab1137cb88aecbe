"""Reviews of a pull request, judged for one commit: approved by enough, refused by nobody. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Final, Literal

from fsm_orchestrator.gates.sources.envelope import RefusedError
from fsm_orchestrator.gates.sources.github_api import half
from fsm_orchestrator.gates.sources.predicates import Said
from fsm_orchestrator.model.declared import BaseModel, ConfigDict, Field
from fsm_orchestrator.model.evidence import Checks, EvidenceProblem
from fsm_orchestrator.text.hidden import copyable
from fsm_orchestrator.text.instants import NotAnInstantError, instant
from fsm_orchestrator.text.phrases import listed

_APPROVED: Final = "APPROVED"
_CHANGES: Final = "CHANGES_REQUESTED"
_OPINIONS: Final = frozenset({_APPROVED, _CHANGES, "DISMISSED"})
_BELONG: Final = frozenset({"OWNER", "MEMBER", "COLLABORATOR"})
"""The associations whose approvals count: anybody can review a public repository."""


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)


class _User(_Answer):
    id: int
    login: str


class _Head(_Answer):
    sha: str


class Pull(_Answer):
    """A pull request."""

    number: Annotated[int, Field(ge=1)]
    state: Literal["open", "closed"]
    merged_at: str | None = None
    user: _User | None = None
    head: _Head


class Review(_Answer):
    """A review of a pull request."""

    id: int
    user: _User | None = None
    state: Literal["APPROVED", "CHANGES_REQUESTED", "COMMENTED", "DISMISSED", "PENDING"]
    commit_id: str | None = None
    submitted_at: str | None = None
    author_association: str = "NONE"

    @property
    def person(self) -> tuple[int, int]:
        """The identity of the reviewer; deleted users all count as different people."""
        return (0, self.id) if self.user is None else (self.user.id, 0)

    @property
    def login(self) -> str:
        """The name of the reviewer."""
        return "a deleted user" if self.user is None else copyable(self.user.login)


def open_pull(pulls: Iterable[Pull]) -> Pull:
    """Return the one open pull request of a commit.

    Raises:
        RefusedError: there is none, or more than one.
    """
    found = [one for one in pulls if one.state == "open"]
    if not found:
        said = "the commit is in no open pull request; name another with pull_request"
        raise RefusedError(EvidenceProblem.NOT_FOUND, said)
    if len(found) > 1:
        numbers = listed([f"#{one.number}" for one in found])
        said = f"the commit is in the pull requests {numbers}; name one with pull_request"
        raise RefusedError(EvidenceProblem.UNBOUND, said)
    return found[0]


def judged_reviews(reviews: Sequence[Review], pull: Pull, commit: str, approvals: int) -> Said:
    """Judge the reviews of a pull request for one commit of it.

    Raises:
        RefusedError: the reviews are incomplete.
    """
    if pull.state == "closed" and pull.merged_at is None:
        said = f"the pull request #{pull.number} was closed without being merged"
        return Said(EvidenceProblem.CHECK_FAILED, said)
    if len({one.id for one in reviews}) != len(reviews):
        raise half("it has a review twice")
    ordered = _by_time(one for one in reviews if one.state in _OPINIONS)
    here = {one.person: one for one in ordered if one.commit_id == commit}
    given = [one for one in here.values() if one.state == _APPROVED]
    counted = [one for one in given if _counts(one, pull)]
    asking = [
        one
        for one in {
            one.person: one for one in ordered if one.state in {_APPROVED, _CHANGES}
        }.values()
        if one.state == _CHANGES
    ]
    enough = _by_time(counted)[-approvals:]
    lacking = max(0, approvals - len(counted))
    problem = EvidenceProblem.CHECK_MISSING if lacking else None
    if asking:
        problem = EvidenceProblem.CHECK_FAILED
    approvers = [one.login for one in counted]
    return Said(
        problem,
        _detail(
            pull, commit, approvals, approvers, asking, [one for one in given if one not in counted]
        ),
        Checks(passed=len(counted), failed=len(asking), skipped=0, missing=lacking),
        issuer=listed(approvers) or None,
        issued_at=None if lacking else instant(enough[0].submitted_at or ""),
    )


def _by_time(reviews: Iterable[Review]) -> list[Review]:
    try:
        return sorted(reviews, key=lambda one: (instant(one.submitted_at or ""), one.id))
    except NotAnInstantError as error:
        said = f"a review does not say when it was submitted: {error}"
        raise RefusedError(EvidenceProblem.NOT_A_STATEMENT, said) from None


def _counts(review: Review, pull: Pull) -> bool:
    """Return whether an approval counts: by a member of the repository other than the author."""
    is_author = review.user is None or pull.user is None or review.user.id == pull.user.id
    return not is_author and review.author_association in _BELONG


def _detail(
    pull: Pull,
    commit: str,
    wanted: int,
    approvers: Sequence[str],
    asking: Sequence[Review],
    others: Sequence[Review],
) -> str:
    by = f" by {listed(approvers)}" if approvers else ""
    parts = [
        f"pull request #{pull.number} has {len(approvers)} of {wanted} approvals of the commit{by}"
    ]
    if asking:
        verb = "asks" if len(asking) == 1 else "ask"
        parts.append(f"{listed([one.login for one in asking])} {verb} for changes")
    if others:
        words = [f"{one.login} ({_why_not(one, pull)})" for one in others]
        parts.append(f"not counted: {listed(words)}")
    if len(approvers) < wanted and pull.head.sha != commit:
        parts.append(f"the pull request is at {copyable(pull.head.sha[:12])} now")
    return "; ".join(parts)


def _why_not(review: Review, pull: Pull) -> str:
    if review.user is None:
        return "nobody knows who"
    if pull.user is None or review.user.id == pull.user.id:
        return "the author"
    return f"no member or collaborator, {copyable(review.author_association)}"
