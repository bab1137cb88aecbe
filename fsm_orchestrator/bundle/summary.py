"""The SLSA Verification Summary Attestation (VSA) next to the statement.

For consumers that know only those: whether the run may be closed, and about which digests. It is a
member like others, listed in the statement.
"""

from enum import StrEnum
from typing import Annotated, Final, Literal

from fsm_orchestrator.bundle.statement import in_toto_bytes
from fsm_orchestrator.model.base import Many, Sha256, StrictModel, Timestamp
from fsm_orchestrator.model.declared import BaseModel, ConfigDict, Field, left_out
from fsm_orchestrator.model.evidence import SubjectEntry

SUMMARY_TYPE: Final = "https://slsa.dev/verification_summary/v1"
VERIFIER: Final = "urn:fsm-orchestrator"
LEVEL_PASSED: Final = "FSM_ORCHESTRATOR_CLOSURE_READY"
LEVEL_FAILED: Final = "FAILED"


class VerificationResult(StrEnum):
    """The result of verifying the subjects."""

    PASSED = "PASSED"
    FAILED = "FAILED"


class Verifier(StrictModel):
    """The verifying program."""

    id: Literal["urn:fsm-orchestrator"] = Field(description="This program.")
    version: dict[str, str] = Field(
        description="The version of the program whose invocation ended last, by its name."
    )


class Resource(StrictModel):
    """An input of the verification, by its digest."""

    uri: str = Field(description="Its name.")
    digest: dict[str, Sha256] = Field(description="SHA-256 of it, in hexadecimal.")


class SummaryPredicate(BaseModel):
    """The subjects of a verification, its inputs and its result."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    verifier: Verifier = Field(description="Who verified.")
    timeVerified: Timestamp | None = left_out(
        None, "When the run's latest invocation ended; left out where it was killed."
    )
    resourceUri: str = Field(description="The run.")
    policy: Resource = Field(description="The lifecycle, by the digest of its relation.")
    inputAttestations: Annotated[tuple[Resource, ...], Many] = Field(
        description="The evidence and the approvals that its gates went by."
    )
    verificationResult: VerificationResult = Field(
        description="PASSED only if the run may be closed."
    )
    verifiedLevels: tuple[str, ...] = Field(
        description="FSM_ORCHESTRATOR_CLOSURE_READY, or FAILED."
    )


def summary_bytes(subject: tuple[SubjectEntry, ...], predicate: SummaryPredicate) -> bytes:
    """Return the bytes of a VSA."""
    return in_toto_bytes(subject, SUMMARY_TYPE, predicate)
