"""The verification of a bundle: a result for each link, and what follows from all of them.

Links are in an order in which each builds only on those before it. Facts are typed; the meaning of
a broken link is given here, once.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final, Literal

from fsm_orchestrator.bundle.archive_reader import ArchiveProblem
from fsm_orchestrator.bundle.signatures import Form, Signed
from fsm_orchestrator.model.base import (
    Count,
    Many,
    Ordinal,
    RunId,
    SchemaVersion,
    Sha256,
    StateName,
    StrictModel,
    Timestamp,
)
from fsm_orchestrator.model.declared import Field
from fsm_orchestrator.model.evidence import EvidenceProblem
from fsm_orchestrator.record.retelling import LineProblem
from fsm_orchestrator.vocabulary import Outcome


class Link(StrEnum):
    """A link of the proof."""

    ARCHIVE = "archive"
    STATEMENT = "statement"
    MEMBERS = "members"
    CHECKPOINT = "checkpoint"
    LIFECYCLE = "lifecycle"
    HISTORY = "history"
    CHAIN = "chain"
    RECORD = "record"
    REPORT = "report"
    DERIVED = "derived"
    ARTIFACTS = "artifacts"
    EVIDENCE = "evidence"
    REQUESTS = "requests"
    APPROVALS = "approvals"
    SIGNATURES = "signatures"
    HEAD = "head"

    @property
    def claim(self) -> str:
        """The claim that holds if the link does."""
        return _CLAIMS[self]

    @property
    def meaning(self) -> str:
        """The meaning of a break in this link."""
        return _MEANINGS[self]


_CLAIMS: Final = {
    Link.ARCHIVE: "the archive is whole, and safe to unpack",
    Link.STATEMENT: "the statement lists what a run leaves",
    Link.MEMBERS: "every member has the bytes that the statement lists",
    Link.CHECKPOINT: "the checkpoint is one of this program",
    Link.LIFECYCLE: "the lifecycle is proved again",
    Link.HISTORY: "the history is a walk over it",
    Link.CHAIN: "the events are one chain",
    Link.RECORD: "the checkpoint follows from the events alone",
    Link.REPORT: "the report follows from the events",
    Link.DERIVED: "statement, VSA and config are what the record says",
    Link.ARTIFACTS: "the artifacts are those that the run judged",
    Link.EVIDENCE: "the evidence is about what the run is about",
    Link.REQUESTS: "what was approved is what was run",
    Link.APPROVALS: "the people who approved have signed it",
    Link.SIGNATURES: "the bundle is signed",
    Link.HEAD: "its chain is the one that was expected",
}
_MEANINGS: Final = {
    Link.ARCHIVE: "the file was cut or changed, or is no bundle: nothing in it was looked at",
    Link.STATEMENT: "what the bundle says of itself cannot be read, so nothing else was looked at",
    Link.MEMBERS: "a file was changed, added or taken out after the bundle was made",
    Link.CHECKPOINT: "the record of the run was not written by this program, or was changed",
    Link.LIFECYCLE: "the run followed a lifecycle that may reach done without its gates or stages,"
    " or that was changed later",
    Link.HISTORY: "the record has a course that the lifecycle does not allow: it was made up, or"
    " changed",
    Link.CHAIN: "events were changed, added or taken out after they had been written",
    Link.RECORD: "checkpoint and events describe two different runs: one of them was changed",
    Link.REPORT: "the report says what did not happen: do not go by it",
    Link.DERIVED: "the summary says what the record does not: do not go by it",
    Link.ARTIFACTS: "the files are not those that the stages left",
    Link.EVIDENCE: "a gate passed by evidence that is not there, was changed, or is of other work",
    Link.REQUESTS: "people approved something other than what was run",
    Link.APPROVALS: "nothing shows that the people who had to approve have done so",
    Link.SIGNATURES: "somebody other than expected made this bundle, or it was changed since",
    Link.HEAD: "it is the record of another run, or of another state of this one",
}


class CheckState(StrEnum):
    """The result of a link."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_APPLICABLE = "not_applicable"
    """There is nothing to verify, or nothing to verify it by; the detail says which."""
    NOT_REACHED = "not_reached"
    """A link before it that it builds on is broken."""


class Break(StrEnum):
    """A problem with a link, besides those of archives, lines and evidence."""

    MISSING = "missing"
    UNLISTED = "unlisted"
    OTHER_BYTES = "other_bytes"
    UNREADABLE = "unreadable"
    NOT_PROVED = "not_proved"
    NO_WALK = "no_walk"
    NOT_DERIVED = "not_derived"
    OTHER_THING = "other_thing"
    """It is bound to other bytes, another run or other work than this."""
    REQUIRED = "required"
    """It was required, and is not there."""


Problem = ArchiveProblem | LineProblem | EvidenceProblem | Break


class Check(StrictModel):
    """A link, and its result."""

    link: Link = Field(description="The link.")
    state: CheckState = Field(description="What became of it.")
    problem: Problem | None = Field(description="What is wrong with it; null unless it failed.")
    member: str | None = Field(
        description="The member of the archive that it was found in; null where in none."
    )
    line: Ordinal | None = Field(description="The line of that member, from 1; null where no line.")
    at_byte: Count | None = Field(
        description="Where in the archive it was found; null where that is not one place."
    )
    detail: str = Field(
        description="What is wrong, or why there is nothing to verify, as a sentence; or empty."
    )
    means: str | None = Field(
        description="What follows for a reader from a link that failed; null for others."
    )
    notes: tuple[str, ...] = Field(description="What a reader should know, as sentences.")


class Verdict(StrEnum):
    """The conclusion of a verification."""

    VERIFIED = "verified"
    CONSISTENT = "consistent, unsigned"
    BROKEN = "broken"


class Proof(StrEnum):
    """A reason why a bundle is verified, and not only consistent."""

    SIGNATURE = "signature"
    EXPECTED_HEAD = "expected_head"


class FoundSignature(StrictModel):
    """A signature in the bundle."""

    member: str = Field(description="The member.")
    form: Form = Field(description="How it is written.")
    signed: Signed = Field(description="What it signs.")
    key: str | None = Field(description="The key, as people name it; null where it says none.")
    signer: str | None = Field(
        description="Whose it is by the files of the verifier; null where those do not say."
    )


class Verification(StrictModel):
    """The result of verifying a bundle: links, verdict, and what was not verified."""

    schema_version: SchemaVersion = Field(description="Version of this format.")
    product: Literal["fsm-orchestrator"] = Field(description="The program that verified.")
    version: str = Field(description="Its version.")
    bundle: str = Field(description="Absolute path of the bundle.")
    sha256: Sha256 | None = Field(
        description="SHA-256 of the whole file, in hexadecimal; null where it was not read whole."
    )
    verdict: Verdict = Field(description="What it comes to.")
    by: tuple[Proof, ...] = Field(description="Why it is verified; empty where it is not.")
    first_broken: Link | None = Field(description="The first broken link; null where none is.")
    run_id: RunId | None = Field(description="The run; null where that could not be read.")
    lifecycle: StateName | None = Field(description="Its lifecycle; null likewise.")
    terminal_state: Outcome | None = Field(
        description="How the run ended, by its report; null where it has not, or likewise."
    )
    closure_ready: bool | None = Field(
        description="Whether a supervisor could close it then; null where that could not be read."
    )
    head: Sha256 | None = Field(
        description="The head of the chain of its events; null where that was not followed."
    )
    judged_at: Timestamp | None = Field(
        description="When the run came to its end, by its record: its last transition. Signatures,"
        " keys and approvals were judged as of then. Null where that could not be read."
    )
    signatures: Annotated[tuple[FoundSignature, ...], Many] = Field(
        description="The signatures in the bundle."
    )
    checks: tuple[Check, ...] = Field(description="Every link, in order.")
    not_verified: tuple[str, ...] = Field(
        description="What a reader might take for proved, and is not, as sentences."
    )

    @property
    def broken(self) -> Check | None:
        """The first broken link, or None."""
        failed = (one for one in self.checks if one.state is CheckState.FAILED)
        return next(failed, None)
