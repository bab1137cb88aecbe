"""GitHub's information about the commit: its checks, or the reviews of its pull request."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any, Final, Self, TypeVar

from fsm_orchestrator.clock import timestamp
from fsm_orchestrator.gates.git_subject import COMMIT
from fsm_orchestrator.gates.sources.base import Evidence, Span, Tools, WaitingModel, answer
from fsm_orchestrator.gates.sources.envelope import RefusedError
from fsm_orchestrator.gates.sources.github_api import GitHubApi
from fsm_orchestrator.gates.sources.github_checks import CheckRuns, Statuses, judged_checks
from fsm_orchestrator.gates.sources.github_reviews import Pull, Review, judged_reviews, open_pull
from fsm_orchestrator.gates.sources.predicates import Said
from fsm_orchestrator.gates.sources.times import problem_with_age
from fsm_orchestrator.gates.subject import unnamed
from fsm_orchestrator.model.base import StrictModel
from fsm_orchestrator.model.declared import (
    BaseModel,
    BeforeValidator,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)
from fsm_orchestrator.model.evidence import (
    EvidenceProblem,
    EvidenceRecord,
    SourceKind,
    Subject,
    SubjectEntry,
    nothing_from,
)
from fsm_orchestrator.text.hidden import copyable
from fsm_orchestrator.text.instants import NotAnInstantError
from fsm_orchestrator.text.phrases import counted, described, listed
from fsm_orchestrator.text.validation import problems
from fsm_orchestrator.vocabulary import Gate

TIMEOUT_MS: Final = 60_000
_Name = Annotated[str, StringConstraints(min_length=1, max_length=500)]
_Model = TypeVar("_Model", bound=BaseModel)


_REPOSITORY: Final = (
    r"^[A-Za-z0-9][A-Za-z0-9_-]*/\.?[A-Za-z0-9_-][A-Za-z0-9._-]*$|^[^\x00]*\{[^\x00]*$"
)
"""An owner and a name, which may begin with a dot (`.github`); or a text with a template."""


def _named_in_full(value: Any) -> Any:
    if isinstance(value, str) and re.search(_REPOSITORY, value) is None:
        raise ValueError("should be a repository, written owner/name")
    return value


class GitHubAsked(StrictModel):
    """The question to GitHub: checks, or approvals."""

    repository: Annotated[
        str, StringConstraints(pattern=_REPOSITORY), BeforeValidator(_named_in_full)
    ] = Field(description="The repository, as `owner/name`.")
    checks: Annotated[tuple[_Name, ...], Field(max_length=200)] = Field(
        default=(),
        description="The check runs and commit statuses that must have succeeded, by name.",
    )
    approvals: Annotated[int, Field(ge=1, le=100)] | None = Field(
        default=None, description="How many people must have approved exactly the commit."
    )
    pull_request: Annotated[int, Field(ge=1)] | None = Field(
        default=None,
        description="The pull request whose reviews count; the one open one of the commit unless"
        " given.",
    )

    @model_validator(mode="after")
    def _one_question(self) -> Self:
        if bool(self.checks) is (self.approvals is not None):
            raise ValueError("needs either checks or approvals")
        if self.pull_request is not None and self.approvals is None:
            raise ValueError("names a pull_request, which goes with approvals")
        if len(set(self.checks)) != len(self.checks):
            raise ValueError("names a check twice")
        return self


class GitHubSource(WaitingModel):
    """`github = { repository = "owner/name", checks = ["build"] }`: asked through `gh`."""

    github: GitHubAsked = Field(description="The repository, and what is asked about the commit.")
    max_age: Span | None = Field(
        default=None, description="How old the oldest of the checks or approvals may be."
    )
    timeout: Span = Field(default=TIMEOUT_MS, description="How long all of GitHub's answers take.")

    def source(self, tools: Tools) -> _GitHub:
        """Return the source, ready to be asked."""
        return _GitHub(self, tools)

    def based(self, directory: str) -> Self:
        """Return the settings unchanged: they have no path."""
        del directory
        return self

    @property
    def kind(self) -> SourceKind:
        """The kind of the source."""
        return SourceKind.GITHUB

    @property
    def words(self) -> str:
        """The repository, and the question."""
        asked = self.github
        if asked.approvals is None:
            return f"GitHub {asked.repository}, checks {listed(asked.checks)}"
        pull = "" if asked.pull_request is None else f" of #{asked.pull_request}"
        return f"GitHub {asked.repository}, {counted(asked.approvals, 'approval')}{pull}"


@dataclass(frozen=True)
class _GitHub:
    """One question to GitHub."""

    given: GitHubSource
    tools: Tools

    def collect(self, subject: Subject | None, work: tuple[SubjectEntry, ...]) -> Evidence:
        """Ask about the commit that the run is about, and judge the answer."""
        record = nothing_from(SourceKind.GITHUB)
        api = GitHubApi(self.tools, self.given.timeout)
        try:
            self._assert_fits()
            entry = _commit_of(subject, work)
            record = record.model_copy(update={"subject": (entry,)})
            commit = entry.digest[COMMIT]
            by_checks = self.given.github.approvals is None
            said = self._checks(api, commit) if by_checks else self._reviews(api, commit)
        except RefusedError as refused:
            return Evidence(api.raw, answer(record, refused.problem, str(refused)))
        except NotAnInstantError as error:
            return Evidence(api.raw, answer(record, EvidenceProblem.NOT_A_STATEMENT, str(error)))
        return Evidence(api.raw, self._judged(said, record))

    def _assert_fits(self) -> None:
        """Refuse an unfilled template, approvals for the gate `ci`, and checks for `review`."""
        if "{" in self.given.github.repository:  # a template that nobody filled in
            said = f"there is no repository {described(self.given.github.repository)}"
            raise RefusedError(EvidenceProblem.NOT_FOUND, said)
        gate, has_checks = self.tools.gate, bool(self.given.github.checks)
        if (gate == Gate.CI and not has_checks) or (gate == Gate.REVIEW and has_checks):
            asked = "approvals" if has_checks else "checks"
            said = f"the gate {gate} asks GitHub for {asked} only"
            raise RefusedError(EvidenceProblem.WRONG_PREDICATE, said)

    def _judged(self, said: Said, record: EvidenceRecord) -> EvidenceRecord:
        problem, detail = said.problem, said.detail
        if problem is None:
            aged = problem_with_age(said.issued_at, self.tools.now, self.given.max_age)
            problem, detail = aged or (None, detail)
        return answer(
            record,
            problem,
            detail,
            checks=said.checks,
            issuer=None
            if said.issuer is None
            else f"{said.issuer} ({self.given.github.repository})",
            issued_at=None if said.issued_at is None else timestamp(said.issued_at),
        )

    def _checks(self, api: GitHubApi, commit: str) -> Said:
        base = f"repos/{self.given.github.repository}/commits/{commit}"
        runs = [_read(CheckRuns, one) for one in api.every(f"{base}/check-runs?filter=all")]
        statuses = [_read(Statuses, one) for one in api.every(f"{base}/status")]
        return judged_checks(runs, statuses, commit, self.given.github.checks)

    def _reviews(self, api: GitHubApi, commit: str) -> Said:
        asked = self.given.github
        base, number = f"repos/{asked.repository}", asked.pull_request
        if number is None:
            pull = open_pull(_read_all(Pull, api.every(f"{base}/commits/{commit}/pulls")))
        else:
            pull = _read(Pull, api.one(f"{base}/pulls/{number}"))
        reviews = _read_all(Review, api.every(f"{base}/pulls/{pull.number}/reviews"))
        return judged_reviews(reviews, pull, commit, asked.approvals or 1)


def _commit_of(subject: Subject | None, work: tuple[SubjectEntry, ...]) -> SubjectEntry:
    """Return the commit that the run is about.

    Raises:
        RefusedError: the run is about no commit, or about more than GitHub knows of.
    """
    entries = () if subject is None else subject.entries
    found = next((one for one in entries if COMMIT in one.digest), None)
    if found is None:
        is_dirty = subject is not None and subject.given.git is not None
        said = (
            "the work tree is not what was committed, and GitHub knows of commits only"
            if is_dirty
            else "the run is about no commit: name the work tree with --subject-git"
        )
        raise RefusedError(EvidenceProblem.UNBOUND, said)
    others = unnamed((*entries, *work), (found,))
    if others:
        names = listed([copyable(one.name) for one in others[:3]])
        more = f" and {len(others) - 3} more" if len(others) > 3 else ""  # noqa: PLR2004 - as above
        said = f"GitHub reports on the commit, and not on {names}{more}"
        raise RefusedError(EvidenceProblem.WRONG_SUBJECT, said)
    return found


def _read(model: type[_Model], document: Any) -> _Model:
    try:
        return model.model_validate(document, strict=False)
    except ValidationError as error:
        said = f"GitHub's answer is not what its documentation shows: {problems(error)[0].text}"
        raise RefusedError(EvidenceProblem.NOT_A_STATEMENT, said) from None


def _read_all(model: type[_Model], pages: list[Any]) -> list[_Model]:
    for page in pages:
        if not isinstance(page, list):
            said = "GitHub's answer is not what its documentation shows: it is no list"
            raise RefusedError(EvidenceProblem.NOT_A_STATEMENT, said)
    return [_read(model, one) for page in pages for one in page]
