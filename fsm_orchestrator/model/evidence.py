"""The evidence of a gate, and what it is about. Loaded by runs that have a source."""

import os
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Final, Self

from fsm_orchestrator.model.base import Count, Many, Sha256, StrictModel, Timestamp
from fsm_orchestrator.model.declared import Field
from fsm_orchestrator.model.lazily import lazily
from fsm_orchestrator.text.hidden import copyable

if TYPE_CHECKING:
    from fsm_orchestrator.model.approval import ApprovalState
else:
    ApprovalState = lazily("fsm_orchestrator.model.approval", "ApprovalState")

_SHOWN_MAX: Final = 12
"""The number of characters of a digest that people are shown."""


class SourceKind(StrEnum):
    """The kind of source that a gate's evidence comes from."""

    FLAG = "flag"
    """No source: a signal that was typed, and that does not count."""
    COMMAND = "command"
    STATEMENT = "statement"
    JUNIT = "junit"
    APPROVAL = "approval"
    GITHUB = "github"
    REGO = "rego"
    CEDAR = "cedar"


_ORIGINS: Final[Mapping[SourceKind, str]] = {
    SourceKind.FLAG: "not by evidence",
    SourceKind.COMMAND: "by command",
    SourceKind.STATEMENT: "by statement",
    SourceKind.JUNIT: "by JUnit report",
    SourceKind.APPROVAL: "by approval",
    SourceKind.GITHUB: "by GitHub",
    SourceKind.REGO: "by Rego policy",
    SourceKind.CEDAR: "by Cedar policy",
}


class EvidenceProblem(StrEnum):
    """The reason why evidence does not pass its gate."""

    NOT_CONFIGURED = "not_configured"
    NOT_FOUND = "not_found"
    NOT_STARTED = "not_started"
    TIMED_OUT = "timed_out"
    EXIT_CODE = "exit_code"
    KILLED = "killed"
    OUTPUT_LIMIT = "output_limit"
    NOT_JSON = "not_json"
    NOT_A_STATEMENT = "not_a_statement"
    WRONG_PREDICATE = "wrong_predicate"
    WRONG_SUBJECT = "wrong_subject"
    UNBOUND = "unbound"
    UNSIGNED = "unsigned"
    BAD_SIGNATURE = "bad_signature"
    UNKNOWN_SIGNER = "unknown_signer"
    NOT_YET_VALID = "not_yet_valid"
    EXPIRED = "expired"
    TOO_OLD = "too_old"
    NOTHING_CHECKED = "nothing_checked"
    CHECK_MISSING = "check_missing"
    CHECK_PENDING = "check_pending"
    CHECK_FAILED = "check_failed"
    ENGINE_ERROR = "engine_error"
    UNDEFINED = "undefined"
    VACUOUS = "vacuous"
    STALE = "stale"
    DENIED = "denied"
    REVOKED = "revoked"
    SELF_APPROVAL = "self_approval"
    QUORUM = "quorum"
    USED = "used"
    WRONG_RUN = "wrong_run"
    WRONG_CYCLE = "wrong_cycle"


class SubjectEntry(StrictModel):
    """One thing that a run, or a piece of evidence, is about."""

    name: str = Field(description="Its name: a path, for people.")
    digest: dict[str, str] = Field(
        description="Its digests by algorithm: gitCommit, gitTree or sha256, in hexadecimal."
    )

    @property
    def digest_words(self) -> str:
        """The digests for people: `gitCommit 0a1b2c3d4e5f`."""
        return ", ".join(f"{one} {value[:_SHOWN_MAX]}" for one, value in self.digest.items())


class SubjectPlaces(StrictModel):
    """The places where the subject of a run is read."""

    git: str | None = Field(description="A directory in a git work tree; null without one.")
    files: tuple[str, ...] = Field(description="Files, by their paths.")


class SubjectGiven(SubjectPlaces):
    """The subject of a run as it was given."""

    git: str | None = Field(default=None, description="A directory in a git work tree.")
    files: tuple[str, ...] = Field(default=(), description="Files, by their paths.")

    @property
    def places(self) -> SubjectPlaces:
        """The places, as a record keeps them."""
        return SubjectPlaces(git=self.git, files=self.files)

    def based(self, directory: str) -> Self:
        """Return a copy with absolute paths: a resume from elsewhere looks at the same places."""
        git = None if self.git is None else os.path.normpath(os.path.join(directory, self.git))
        files = tuple(os.path.join(directory, path) for path in self.files)
        return self.model_copy(update={"git": git, "files": files})


class Subject(StrictModel):
    """The subject of a run, as it was when the run began."""

    given: SubjectPlaces = Field(description="Where it is read, by absolute paths.")
    entries: Annotated[tuple[SubjectEntry, ...], Many] = Field(
        description="What was there, as digests."
    )

    @property
    def lines(self) -> tuple[str, ...]:
        """The subject of the run, one phrase for each thing."""
        return tuple(f"{copyable(one.name)}, {one.digest_words}" for one in self.entries)


class Checks(StrictModel):
    """The numbers of checks, by result."""

    passed: Count = Field(description="Those that passed.")
    failed: Count = Field(description="Those that failed, or could not be made.")
    skipped: Count = Field(description="Those that were skipped.")
    missing: Count = Field(description="Those that were asked for, and were not there.")


class EvidenceRecord(StrictModel):
    """The answer of a gate's source, and what it means for the gate."""

    source: SourceKind = Field(description="What the evidence comes from.")
    problem: EvidenceProblem | None = Field(
        description="Why it does not pass the gate; null where it does."
    )
    detail: str = Field(description="Its result, as a sentence.")
    statement_sha256: Sha256 | None = Field(
        description="SHA-256 of the evidence as it was kept, in hexadecimal; null without any."
    )
    subject: Annotated[tuple[SubjectEntry, ...], Many] = Field(
        description="The subject that the evidence itself names; empty where it is unbound."
    )
    issuer: str | None = Field(
        description="Who made it, by its own account; null where it does not say."
    )
    signer: str | None = Field(
        description="Whose signature was verified; null where none was asked for."
    )
    issued_at: Timestamp | None = Field(
        description="When it was made; null where that is not known."
    )
    is_issued_by_file: bool = Field(
        description="Whether that time is the modification time of its file, for lack of its own."
    )
    expires_at: Timestamp | None = Field(description="Until when it holds; null without a limit.")
    checks: Checks | None = Field(description="The checks that it counts; null where it has none.")
    log: str | None = Field(
        description="What its command printed to stdout, or to stderr where it printed nothing"
        " there; what its policy printed to stderr. A file in the output directory, or null."
    )
    file: str | None = Field(
        description="The evidence, byte for byte, a file in the output directory; or null."
    )
    approval: ApprovalState | None = Field(
        description="The request to people, and their answers; null for other sources."
    )

    def masked(self, mask: Callable[[str], str]) -> Self:
        """Return a copy that may be recorded: no secret is left in text that others wrote."""
        return self.model_copy(
            update={
                "detail": mask(self.detail),
                "issuer": None if self.issuer is None else mask(self.issuer),
                "signer": None if self.signer is None else mask(self.signer),
                "subject": tuple(
                    one.model_copy(update={"name": mask(one.name)}) for one in self.subject
                ),
                "approval": None if self.approval is None else self.approval.masked(mask),
            }
        )

    @property
    def is_early_signal(self) -> bool:
        """True for a typed signal that came too early and has to be given again."""
        return self.source is SourceKind.FLAG and self.problem is EvidenceProblem.TOO_OLD

    @property
    def origin(self) -> str:
        """The origin of the gate's value, for people."""
        return _ORIGINS[self.source]

    @property
    def notes(self) -> tuple[str, ...]:
        """The notes for a reader who trusts the evidence: who signed it, what it does not say."""
        is_signed = self.signer is not None and self.approval is None
        found = {
            f"signed by {copyable(self.signer or '')}": is_signed,
            "unbound": self.source is not SourceKind.FLAG and not self.subject,
            "unsigned": self._is_statement and self.signer is None,
            **dict.fromkeys(() if self.approval is None else self.approval.notes, True),
            f"as old as its file: {self.issued_at}": self.is_issued_by_file,
        }
        return tuple(note for note, holds in found.items() if holds)

    @property
    def _is_statement(self) -> bool:
        """True for a statement: output of a command that names its maker, or has checks, is one."""
        says = self.issuer is not None or self.checks is not None
        return self.source is SourceKind.STATEMENT or (self.source is SourceKind.COMMAND and says)

    @property
    def is_bound(self) -> bool:
        """True if the evidence names what it is about."""
        return bool(self.subject)


def nothing_from(source: SourceKind) -> EvidenceRecord:
    """Return a record of evidence about which nothing is known yet."""
    return EvidenceRecord(
        source=source,
        problem=None,
        detail="",
        statement_sha256=None,
        subject=(),
        issuer=None,
        signer=None,
        issued_at=None,
        is_issued_by_file=False,
        expires_at=None,
        checks=None,
        log=None,
        file=None,
        approval=None,
    )
