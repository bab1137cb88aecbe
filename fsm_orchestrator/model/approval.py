"""A request to the people who approve, and their answers, as a decision keeps them."""

from collections.abc import Callable
from enum import StrEnum
from typing import Self

from fsm_orchestrator.model.base import Count, Ordinal, Sha256, StateName, StrictModel, Timestamp
from fsm_orchestrator.model.declared import Field
from fsm_orchestrator.model.evidence import EvidenceProblem
from fsm_orchestrator.text.phrases import counted


class Said(StrEnum):
    """A person's answer to a request."""

    APPROVE = "approve"
    DENY = "deny"
    WITHDRAW = "withdraw"

    @property
    def past(self) -> str:
        """The answer as a participle: `approved`."""
        return _PAST[self]


_PAST = {Said.APPROVE: "approved", Said.DENY: "denied", Said.WITHDRAW: "withdrawn"}


class Answer(StrictModel):
    """One person's answer to a request, and whether it counts."""

    said: Said = Field(description="What was said: approve, deny or withdraw.")
    principal: str | None = Field(
        description="Whose signature was verified; null where none was, as without a signature."
    )
    key: str | None = Field(
        description="Fingerprint of the key that signed it; null without a signature."
    )
    is_signed: bool = Field(description="Whether there is a signature, good or not.")
    user: str | None = Field(
        description="Name of the user who said it, as that machine has it; null where not known."
    )
    uid: Count | None = Field(description="Id of that user; null where it is not known.")
    host: str | None = Field(description="Name of that machine; null where it is not known.")
    reason: str = Field(description="The person's own reason; empty without one.")
    at: Timestamp | None = Field(
        description="When it was said, by its own account; null for a plain signature."
    )
    expires_at: Timestamp | None = Field(
        description="Until when it holds; null where it sets no end itself."
    )
    file: str = Field(description="Where it is kept, a file in the output directory.")
    is_withdrawn: bool = Field(description="Whether the same person has taken it back.")
    problem: EvidenceProblem | None = Field(
        description="Why it does not count; null where it does, or would had it not been withdrawn."
    )

    @property
    def who(self) -> str:
        """The person: the principal, or else the user at the machine, noted as unproved."""
        if self.principal is not None:
            return self.principal
        kind = "not verified" if self.is_signed else "unsigned"
        if self.user is None and self.uid is None:
            return f"somebody ({kind})"
        name = self.user if self.user is not None else f"uid {self.uid}"
        return f"{name}@{self.host} ({kind})"

    @property
    def counts(self) -> bool:
        """True if the answer counts."""
        return self.problem is None and not self.is_withdrawn


class ApprovalState(StrictModel):
    """A request for approval, and how far it has come."""

    state: StateName = Field(description="The gate state that asks.")
    cycle: Ordinal = Field(description="The cycle of the stages that would be released, from 1.")
    request: str | None = Field(
        description="The request, a file in the output directory; null where it was not made yet."
    )
    request_sha256: Sha256 | None = Field(
        description="SHA-256 of its bytes, in hexadecimal: what an approval names."
    )
    approvers: tuple[str, ...] = Field(
        description="Who may approve, as principals; empty where anybody may, without signing."
    )
    needed: Ordinal = Field(description="How many people must approve.")
    given: Count = Field(description="How many have, in a way that counts.")
    expires_at: Timestamp | None = Field(
        description="Until when the request can be approved; null where it was not made yet."
    )
    answers: tuple[Answer, ...] = Field(
        description="What was said to it, and to earlier requests of the gate, the latest last."
    )

    def masked(self, mask: Callable[[str], str]) -> Self:
        """Return a copy that may be recorded: no secret is left in what people have written."""
        answers = (one.model_copy(update={"reason": mask(one.reason)}) for one in self.answers)
        return self.model_copy(update={"answers": tuple(answers)})

    @property
    def notes(self) -> tuple[str, ...]:
        """The notes for a reader who trusts the approvals."""
        unsigned = [one for one in self.answers if one.counts and not one.is_signed]
        return (f"{counted(len(unsigned), 'answer')} unsigned",) if unsigned else ()
