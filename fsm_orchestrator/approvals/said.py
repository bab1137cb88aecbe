"""A person's answer to a request: its own statement, signed in its own namespace."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Final, Literal, NamedTuple

from fsm_orchestrator.approvals.request import STATEMENT_TYPE
from fsm_orchestrator.constants import PRODUCT
from fsm_orchestrator.gates.sources.envelope import RefusedError, json_value
from fsm_orchestrator.model.approval import Said
from fsm_orchestrator.model.base import (
    Count,
    Ordinal,
    RunId,
    Sha256,
    StateName,
    StrictModel,
    Timestamp,
)
from fsm_orchestrator.model.declared import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
)
from fsm_orchestrator.model.evidence import EvidenceProblem
from fsm_orchestrator.text.digest import sha256_of
from fsm_orchestrator.text.validation import problems

DECISION_TYPE: Final = "urn:fsm-orchestrator:approval-decision:v0.1"
NAMESPACES: Final[Mapping[Said, str]] = {one: f"{PRODUCT}.{one.value}" for one in Said}
"""The namespace of each answer: a denial can never be read as an approval."""
SAID_BYTES_MAX: Final = 1024**2
REASON_CHARACTERS_MAX: Final = 10_000


class Speaker(StrictModel):
    """The person who answers, as known to the machine; the signature is the better proof."""

    user: str | None = Field(description="Name of the user; null without a name.")
    uid: Count = Field(description="Id of the user.")
    host: str = Field(description="Name of the machine.")


class RequestNamed(StrictModel):
    """The request that is answered."""

    name: str = Field(description="Name of the request's file.")
    digest: dict[str, Sha256] = Field(description="SHA-256 of its bytes, in hexadecimal.")


class DecisionPredicate(BaseModel):
    """The content of an answer."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    decision: Said = Field(description="What is said: approve, deny or withdraw.", strict=False)
    gate: StateName = Field(description="The gate that asked.")
    runId: RunId = Field(description="The run.")  # noqa: N815 - as in other predicates
    cycle: Ordinal = Field(description="The cycle that was asked for.")
    reason: Annotated[str, StringConstraints(max_length=REASON_CHARACTERS_MAX)] = Field(
        description="The person's own reason; empty without one."
    )
    decidedAt: Timestamp = Field(description="When it was said, in UTC.")  # noqa: N815
    expiresAt: Timestamp | None = Field(  # noqa: N815
        description="Until when it holds; null where it sets no end itself."
    )
    approver: Speaker = Field(description="The person who answers, as known to the machine.")
    withdraws: tuple[Sha256, ...] = Field(
        description="SHA-256 of each statement that is taken back; empty except for withdraw."
    )


class DecisionStatement(BaseModel):
    """A person's answer: an in-toto Statement v1."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    type_: Literal["https://in-toto.io/Statement/v1"] = Field(
        alias="_type", description="The type of an in-toto statement."
    )
    subject: Annotated[tuple[RequestNamed, ...], Field(min_length=1, max_length=1)] = Field(
        description="The request that is answered."
    )
    predicateType: Literal["urn:fsm-orchestrator:approval-decision:v0.1"] = Field(  # noqa: N815
        description="The type of the predicate."
    )
    predicate: DecisionPredicate = Field(description="What the person says, and who it is.")


class SignedStatement(StrictModel):
    """A statement with its signature, in one file: neither ever exists without the other."""

    statement: str = Field(description="The statement: the text that is signed, byte for byte.")
    signature: str | None = Field(
        description="The signature that ssh-keygen made of it; null for an unsigned one."
    )


class Spoken(NamedTuple):
    """A statement that could be read.

    Attributes:
        request_sha256: the digest of the request that it names.
        raw: the bytes that were signed.
    """

    predicate: DecisionPredicate
    request_sha256: str
    raw: bytes
    signature: str | None

    @property
    def sha256(self) -> str:
        """The digest that a withdrawal names."""
        return sha256_of(self.raw)


def statement_bytes(predicate: DecisionPredicate, request: str, request_sha256: str) -> bytes:
    """Return the bytes that a person signs."""
    document = {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": request, "digest": {"sha256": request_sha256}}],
        "predicateType": DECISION_TYPE,
        "predicate": predicate.model_dump(mode="json"),
    }
    return (json.dumps(document, indent=2) + "\n").encode()


def bundle_bytes(raw: bytes, signature: str | None) -> bytes:
    """Return a statement and its signature as one file."""
    bundle = SignedStatement(statement=raw.decode(), signature=signature)
    return (json.dumps(bundle.model_dump(mode="json"), indent=2) + "\n").encode()


def spoken(bundle: bytes) -> Spoken:
    """Read a statement with its signature, trusting neither.

    Raises:
        RefusedError: it is no such statement.
    """
    try:
        json_value(bundle)
        signed = SignedStatement.model_validate_json(bundle)
        raw = signed.statement.encode()
        json_value(raw)
        statement = DecisionStatement.model_validate_json(raw)
        named = statement.subject[0].digest["sha256"]
    except (ValidationError, KeyError, UnicodeError) as error:
        said = problems(error)[0].text if isinstance(error, ValidationError) else "no sha256 in it"
        raise RefusedError(EvidenceProblem.NOT_A_STATEMENT, said) from None
    return Spoken(statement.predicate, named, raw, signed.signature)
