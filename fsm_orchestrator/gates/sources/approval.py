"""`approval = {...}`: people who look at exactly this, and sign that they did."""

from __future__ import annotations

import glob
import os
from dataclasses import dataclass
from typing import Annotated, Final, Self

from fsm_orchestrator.gates.sources.base import (
    Evidence,
    PathWord,
    Span,
    Tools,
    WaitingModel,
    answer,
)
from fsm_orchestrator.model.base import Principal, StrictModel
from fsm_orchestrator.model.declared import Field, model_validator
from fsm_orchestrator.model.evidence import (
    EvidenceProblem,
    SourceKind,
    Subject,
    SubjectEntry,
    nothing_from,
)
from fsm_orchestrator.text.phrases import counted, listed

REQUESTER: Final = "requester"
"""The word in `not` for the person who asked."""
REQUEST_MS: Final = 7 * 24 * 60 * 60 * 1000
"""The default time during which a request can be approved, in milliseconds."""
QUORUM_MAX: Final = 100


class ApprovalTerms(StrictModel):
    """The terms of an approval: the people who may approve, and how many of them must."""

    allowed_signers: PathWord | None = Field(
        default=None, description="The file of keys that ssh-keygen(1) describes."
    )
    principals: tuple[Principal, ...] = Field(
        default=(),
        description="Who of them may approve, such as bob@example.org; everybody whom the file"
        " names unless given.",
    )
    quorum: Annotated[int, Field(ge=1, le=QUORUM_MAX)] = Field(
        default=1,
        description="How many people must approve. Two names on one key, or two keys of one name,"
        " are one person.",
    )
    # `not` is a key that people type, and a name that Python does not let a class body declare.
    __annotations__["not"] = "tuple[Principal, ...]"
    locals()["not"] = Field(
        default=(REQUESTER,),
        description="Who may not: principals, and `requester` for the person who asked.",
    )
    requester: Principal | None = Field(
        default=None,
        description="Who asks, as a principal; --requester of a run takes precedence.",
    )
    unsigned: bool = Field(
        default=False,
        description="Whether approvals without a signature count. They prove nothing against"
        " whatever runs as the same user.",
    )
    revoked_keys: PathWord | None = Field(
        default=None, description="A file of revoked keys: a list of them, or a KRL."
    )
    expires: Span = Field(default=REQUEST_MS, description="How long a request can be approved.")

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.unsigned is (self.allowed_signers is not None):
            raise ValueError("needs allowed_signers, or unsigned = true, and not both")
        if self.allowed_signers is None and (self.principals or self.revoked_keys):
            raise ValueError("principals and revoked_keys go with allowed_signers")
        if self.principals and self.quorum > len(set(self.principals)):
            raise ValueError("quorum is more than there are principals")
        return self

    @property
    def excluded(self) -> tuple[str, ...]:
        """The principals who may not approve."""
        excluded: tuple[str, ...] = getattr(self, "not")
        return excluded

    @property
    def lacks_requester(self) -> bool:
        """True if a signature cannot be shown not to be the requester's, who is unknown."""
        is_compared = self.allowed_signers is not None and REQUESTER in self.excluded
        return is_compared and self.requester is None

    def based(self, directory: str) -> Self:
        """Return the terms with absolute paths."""
        paths = {key: getattr(self, key) for key in ("allowed_signers", "revoked_keys")}
        return self.model_copy(
            update={
                key: os.path.join(directory, path)
                for key, path in paths.items()
                if path is not None
            }
        )


class ApprovalSource(WaitingModel):
    """`approval = { allowed_signers = "FILE" }`: people approve, each with a key."""

    approval: ApprovalTerms = Field(description="Who may approve, and how many must.")

    def source(self, tools: Tools) -> _Asked:
        """Return the source, ready to be asked."""
        return _Asked(self, tools)

    def based(self, directory: str) -> Self:
        """Return the settings with absolute paths."""
        return self.model_copy(update={"approval": self.approval.based(directory)})

    def asked_by(self, requester: str) -> Self:
        """Return the settings with the person who asks."""
        terms = self.approval.model_copy(update={"requester": requester})
        return self.model_copy(update={"approval": terms})

    @property
    def files(self) -> tuple[str, ...]:
        """The files that say who may sign and who no longer may; the answers are elsewhere."""
        terms = self.approval
        return tuple(map(glob.escape, filter(None, (terms.allowed_signers, terms.revoked_keys))))

    @property
    def authorities(self) -> tuple[str, ...]:
        """The files that say who may sign and who no longer may."""
        return tuple(filter(None, (self.approval.allowed_signers, self.approval.revoked_keys)))

    @property
    def kind(self) -> SourceKind:
        """The kind of the source."""
        return SourceKind.APPROVAL

    @property
    def words(self) -> str:
        """The people who are asked."""
        terms = self.approval
        people = f"of {listed(terms.principals)}" if terms.principals else "of allowed_signers"
        if terms.allowed_signers is None:
            people = "of anybody, unsigned"
        return f"{counted(terms.quorum, 'approval')} {people}"


@dataclass(frozen=True)
class _Asked:
    """One look at people's answers."""

    given: ApprovalSource
    tools: Tools

    def collect(self, _subject: Subject | None, _work: tuple[SubjectEntry, ...]) -> Evidence:
        """Judge the answers; the desk knows what is to be approved."""
        if self.tools.desk is None:
            record = nothing_from(SourceKind.APPROVAL)
            said = "nothing is asked of people here"
            return Evidence(None, answer(record, EvidenceProblem.NOT_FOUND, said))
        return self.tools.desk(self.given)
