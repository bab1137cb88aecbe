"""The statement of a bundle: an in-toto Statement v1 about a run and every member of its archive.

It follows from the record alone (building.py), so anybody who has the record can derive it again.
Its exact bytes are signed and digested.
"""

import json
from enum import StrEnum
from typing import Annotated, Any, Final, Literal

from fsm_orchestrator.bundle.members import MEMBERS_MAX, MemberKind
from fsm_orchestrator.lifecycle.model import GatesGuard
from fsm_orchestrator.model.approval import Said
from fsm_orchestrator.model.base import (
    Count,
    GateName,
    Many,
    Ordinal,
    RunId,
    Sha256,
    StateName,
    StrictModel,
    Timestamp,
)
from fsm_orchestrator.model.declared import BaseModel, ConfigDict, Field
from fsm_orchestrator.model.evidence import EvidenceProblem, SourceKind, SubjectEntry
from fsm_orchestrator.vocabulary import (
    Containment,
    Ending,
    ExecutionMode,
    GateSource,
    Outcome,
    StageStatus,
)

STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"
RUN_TYPE: Final = "urn:fsm-orchestrator:run:v0.1"


class LogsKept(StrEnum):
    """The logs that a bundle has."""

    WHOLE = "whole"
    LEFT_OUT = "left_out"
    """The maker of the bundle did not want them."""
    WITHHELD = "withheld"
    """The run has secrets, which its logs may show, so all of them are left out."""


class ListedMember(StrictModel):
    """A member of the archive."""

    name: str = Field(description="Its name.")
    kind: MemberKind = Field(description="What it is.")
    sha256: Sha256 = Field(description="SHA-256 of its bytes, in hexadecimal.")
    sizeBytes: Count = Field(description="Its size in bytes.")


class LifecycleSummary(StrictModel):
    """The lifecycle that the run followed."""

    name: StateName = Field(description="Its name.")
    sha256: Sha256 = Field(
        description="SHA-256 of its relation, in hexadecimal: of the bytes of"
        " lifecycle.relation.json."
    )
    gatesGuard: GatesGuard = Field(description="Which part of it is behind its gates.")


class OutcomeSummary(StrictModel):
    """The outcome of the run, and its state."""

    terminalState: Outcome | None = Field(
        description="How it ended; null where it was interrupted and has no outcome yet."
    )
    state: StateName = Field(description="The state that it is in.")
    closureReady: bool = Field(description="Whether a supervisor may close it.")
    exitCode: int | None = Field(
        description="What the latest invocation exited with; null where it was killed."
    )
    reasonCodes: tuple[str, ...] = Field(description="Why it is blocked; empty unless it is.")
    waitingFor: tuple[GateName, ...] = Field(
        description="The gates that somebody can still give; empty unless it is blocked."
    )
    startedAt: Timestamp = Field(description="When its first known invocation began, in UTC.")
    finishedAt: Timestamp | None = Field(
        description="When its latest invocation ended, in UTC; null where it was killed."
    )


class ChainSummary(StrictModel):
    """The chain of the run's events."""

    lastSeq: Ordinal = Field(description="Number of the last event.")
    head: Sha256 = Field(description="SHA-256 of its line without its newline.")


class GiverSummary(StrictModel):
    """The giver of a signal, as the machine knew them."""

    user: str | None = Field(description="Name of the user; null where it is not known.")
    uid: Count | None = Field(description="Id of that user; null where it is not known.")
    host: str | None = Field(description="Name of the machine; null where it is not known.")
    at: Timestamp = Field(description="When it was given, in UTC.")


class EvidenceSummary(StrictModel):
    """The evidence from a gate's source."""

    source: SourceKind = Field(description="What it comes from.")
    problem: EvidenceProblem | None = Field(
        description="Why it does not pass the gate; null where it does."
    )
    sha256: Sha256 | None = Field(
        description="SHA-256 of the evidence, in hexadecimal; null without any."
    )
    member: str | None = Field(description="The member that has it; null without one.")
    issuer: str | None = Field(description="Who made it, as it says; null where it does not.")
    signer: str | None = Field(
        description="Whose signature was verified; null where none was asked for."
    )
    subject: Annotated[tuple[SubjectEntry, ...], Many] = Field(
        description="What it names as what it is about; empty where it is unbound."
    )


class AnswerSummary(StrictModel):
    """The answer of one person to a request for approval."""

    said: Said = Field(description="What was said.")
    principal: str | None = Field(description="Whose signature was verified; null where none was.")
    key: str | None = Field(description="Fingerprint of the key; null without a signature.")
    member: str = Field(description="The member that has it.")
    counts: bool = Field(description="Whether it counted.")
    at: Timestamp | None = Field(description="When it was said, as it says itself.")


class ApprovalSummary(StrictModel):
    """A request for approval, and its result."""

    member: str | None = Field(
        description="The member that has the request; null where none was made."
    )
    sha256: Sha256 | None = Field(
        description="SHA-256 of the request, which an approval names; null without one."
    )
    needed: Ordinal = Field(description="How many people had to approve.")
    given: Count = Field(description="How many had, in a way that counts.")
    answers: Annotated[tuple[AnswerSummary, ...], Many] = Field(
        description="What was said to it, and to earlier requests of the gate."
    )


class GateSummary(StrictModel):
    """The decision of a gate that is in force."""

    gate: GateName = Field(description="The gate.")
    status: str = Field(description="The signal that was judged.")
    passed: bool = Field(description="Whether it passed.")
    reasonCode: str | None = Field(description="Why it refused; null where it passed.")
    source: GateSource = Field(description="Where the signal came from.")
    givenBy: GiverSummary | None = Field(
        description="Who typed the signal, and when; null where nobody did."
    )
    evidence: EvidenceSummary | None = Field(
        description="What its source said; null where it has none."
    )
    approval: ApprovalSummary | None = Field(
        description="What people were asked, and have said; null where nobody was."
    )


class ProgramSummary(StrictModel):
    """A file that was run."""

    path: str = Field(description="Its absolute path; masked.")
    sha256: Sha256 | None = Field(
        description="SHA-256 of its bytes when it was started; null where they were not read."
    )


class VerificationSummary(StrictModel):
    """A command that this program ran to verify the work of a stage."""

    command: tuple[str, ...] = Field(description="The words of the command; masked.")
    passed: bool = Field(description="Whether it verified the work.")


class StageSummary(StrictModel):
    """The last attempt at a stage."""

    stage: StateName = Field(description="The stage.")
    attempts: Count = Field(description="How many attempts of it the record has.")
    attempt: Count = Field(description="Number of the last attempt; 0 where it was never run.")
    status: StageStatus | None = Field(
        description="How that ended; null where it was never run, or its end was not seen."
    )
    ending: Ending | None = Field(description="What kind of ending that was; null without one.")
    exitCode: int | None = Field(description="Its exit code; null where it has none.")
    command: tuple[str, ...] = Field(
        description="Program and arguments, word by word; masked; empty where it was never run."
    )
    directory: str | None = Field(description="The directory it ran in; null where it was not run.")
    environment: tuple[str, ...] = Field(
        description="Names of the variables that it was given; no values."
    )
    programs: tuple[ProgramSummary, ...] = Field(
        description="The program that was started, and the first files among its arguments."
    )
    startedAt: Timestamp | None = Field(description="When it began, in UTC.")
    durationMs: Count = Field(description="How long it took, in milliseconds.")
    verifications: tuple[VerificationSummary, ...] = Field(
        description="The verifications of what it did."
    )


class ArtifactFile(StrictModel):
    """A file of an artifact that is in the archive."""

    path: str = Field(
        description="Its path below that of the artifact; empty for an artifact that is a file."
    )
    sha256: Sha256 = Field(description="SHA-256 of its bytes, in hexadecimal.")
    sizeBytes: Count = Field(description="Its size in bytes.")
    member: str = Field(description="The member that has it.")


class ArtifactSummary(StrictModel):
    """An artifact of a stage that is complete."""

    stage: StateName = Field(description="The stage that made it.")
    path: str = Field(description="Absolute path of the file, the directory, or a glob; masked.")
    sha256: Sha256 = Field(
        description="SHA-256 of its bytes; of several files, of their sorted list."
    )
    sizeBytes: Count = Field(description="Its size in bytes, or that of all its files.")
    files: Count | None = Field(description="How many files it is; null for a file.")
    contents: Annotated[tuple[ArtifactFile, ...], Many] = Field(
        description="Its files that are in the archive; empty where it is there by digest alone."
    )


class InvocationSummary(StrictModel):
    """One start of the command on the run, by whom, where, and with which version."""

    number: Ordinal = Field(description="Number of the invocation, from 1.")
    mode: ExecutionMode = Field(description="Whether it began the run or continued it.")
    version: str = Field(description="Version of the program.")
    user: str | None = Field(description="Name of the user; null where it is not known.")
    uid: Count | None = Field(description="Id of that user; null where it is not known.")
    host: str | None = Field(description="Name of the machine; null where it is not known.")
    containment: Containment | None = Field(
        description="How far the ending of a stage's processes reached there; null where none was."
    )
    startedAt: Timestamp = Field(description="When it began, in UTC.")
    finishedAt: Timestamp | None = Field(
        description="When it ended, in UTC; null where it was killed."
    )
    exitCode: int | None = Field(description="What it exited with; null where it was killed.")


class RunPredicate(BaseModel):
    """A run, and every member of its archive."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    runId: RunId = Field(description="The run.")
    lifecycle: LifecycleSummary = Field(description="The lifecycle that it followed.")
    outcome: OutcomeSummary = Field(description="How it stands.")
    chain: ChainSummary = Field(description="Where the chain of its events ends.")
    gates: Annotated[tuple[GateSummary, ...], Many] = Field(
        description="The decisions in force, in judging order."
    )
    stages: Annotated[tuple[StageSummary, ...], Many] = Field(
        description="Each stage of the lifecycle, in its order."
    )
    artifacts: Annotated[tuple[ArtifactSummary, ...], Many] = Field(
        description="The artifacts of the stages that are complete."
    )
    invocations: Annotated[tuple[InvocationSummary, ...], Many] = Field(
        description="The invocations that the checkpoint has, in order; older ones are in"
        " orchestrator_invocations.jsonl."
    )
    logs: LogsKept = Field(description="What the archive has of the logs.")
    members: Annotated[tuple[ListedMember, ...], Many, Field(max_length=MEMBERS_MAX)] = Field(
        description="Every member of the archive in its order, but for this statement and what"
        " signs it."
    )


class RunStatement(BaseModel):
    """The statement of a bundle: an in-toto Statement v1."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    type_: Literal["https://in-toto.io/Statement/v1"] = Field(
        alias="_type", description="The type of an in-toto statement."
    )
    subject: Annotated[tuple[SubjectEntry, ...], Many, Field(min_length=1)] = Field(
        description="The artifacts, then what the run is about; its report where there is neither."
    )
    predicateType: Literal["urn:fsm-orchestrator:run:v0.1"] = Field(
        description="The type of the predicate."
    )
    predicate: RunPredicate = Field(description="The run.")


def statement_bytes(subject: tuple[SubjectEntry, ...], predicate: RunPredicate) -> bytes:
    """Return the bytes of a statement, which are signed."""
    return in_toto_bytes(subject, RUN_TYPE, predicate)


def in_toto_bytes(
    subject: tuple[SubjectEntry, ...], predicate_type: str, predicate: BaseModel
) -> bytes:
    """Return the bytes of an in-toto Statement v1 with any predicate."""
    document = {
        "_type": STATEMENT_TYPE,
        "subject": [one.model_dump(mode="json") for one in subject],
        "predicateType": predicate_type,
        "predicate": predicate.model_dump(mode="json"),
    }
    return document_bytes(document)


def document_bytes(document: dict[str, Any]) -> bytes:
    """Return a document as it is in a bundle: in ASCII, so that every reader shows the same."""
    return (json.dumps(document, indent=2) + "\n").encode()
