"""An in-toto statement, plain or in a DSSE envelope: read without being believed."""

from __future__ import annotations

import glob
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final, Literal, Self

from fsm_orchestrator.clock import timestamp
from fsm_orchestrator.disk import files
from fsm_orchestrator.gates.sources.base import (
    EVIDENCE_BYTES_MAX,
    Evidence,
    PathWord,
    Span,
    Tools,
    WaitingModel,
    answer,
    based_path,
)
from fsm_orchestrator.gates.sources.envelope import RefusedError, envelope_of, json_value
from fsm_orchestrator.gates.sources.predicates import Asked, Said, known_to, reader_of
from fsm_orchestrator.gates.sources.signatures import SignedBy, signer_of
from fsm_orchestrator.gates.sources.times import (
    problem_with_age,
    problem_with_expiry,
    read_with_time,
)
from fsm_orchestrator.gates.subject import unnamed
from fsm_orchestrator.model.declared import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
)
from fsm_orchestrator.model.evidence import (
    EvidenceProblem,
    EvidenceRecord,
    SourceKind,
    Subject,
    SubjectEntry,
    nothing_from,
)
from fsm_orchestrator.model.gate_rules import GateRule
from fsm_orchestrator.text.hidden import copyable
from fsm_orchestrator.text.instants import NotAnInstantError, instant
from fsm_orchestrator.text.phrases import described, listed
from fsm_orchestrator.text.validation import problems

STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"
_SUBJECTS_MAX: Final = 100_000


class StatementTerms(WaitingModel):
    """The demands of a source on a statement."""

    accept_warned: bool = Field(
        default=False, description="Whether a test result with warnings passes."
    )
    properties: tuple[Annotated[str, StringConstraints(min_length=1)], ...] = Field(
        default=(), description="The properties that a simple verification result must have."
    )
    max_age: Span | None = Field(default=None, description="How old the evidence may be.")
    signed_by: SignedBy | None = Field(
        default=None, description="Who must have signed it; unless given, signatures are ignored."
    )


class StatementSource(StatementTerms):
    """`statement = "evidence/ci.json"`: the findings of somebody else, as a file."""

    statement: PathWord = Field(
        description="The file: an in-toto Statement v1, or a DSSE envelope around one; relative to"
        " the config file."
    )

    def source(self, tools: Tools) -> _StatementFile:
        """Return the source, ready to be read."""
        return _StatementFile(self, tools)

    def based(self, directory: str) -> Self:
        """Return the settings with absolute paths."""
        signed_by = None if self.signed_by is None else self.signed_by.based(directory)
        path = based_path(directory, self.statement)
        return self.model_copy(update={"statement": path, "signed_by": signed_by})

    @property
    def files(self) -> tuple[str, ...]:
        """The statement, its signature, and the files that say who may sign."""
        signers = () if self.signed_by is None else self.signed_by.files
        return tuple(map(glob.escape, (self.statement, f"{self.statement}.sig", *signers)))

    @property
    def authorities(self) -> tuple[str, ...]:
        """The files that say who may sign."""
        return () if self.signed_by is None else self.signed_by.files

    @property
    def kind(self) -> SourceKind:
        """The kind of the source."""
        return SourceKind.STATEMENT

    @property
    def words(self) -> str:
        """The file."""
        return f"statement {copyable(self.statement)}"


class _Named(BaseModel):
    """One entry of the subject of a statement."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    name: Annotated[str, StringConstraints(max_length=4096)] = ""
    digest: Annotated[dict[str, str], Field(min_length=1, max_length=20)]


class _Statement(BaseModel):
    """An in-toto statement; its predicate is read by its type."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    type_: Literal["https://in-toto.io/Statement/v1"] = Field(alias="_type")
    subject: Annotated[tuple[_Named, ...], Field(min_length=1, max_length=_SUBJECTS_MAX)]
    predicateType: str  # noqa: N815 - the format's name
    predicate: dict[str, Any]


@dataclass(frozen=True)
class About:
    """The required subject of a statement, and the time when it is read."""

    rule: GateRule
    subject: Subject | None
    work: tuple[SubjectEntry, ...]
    now: datetime
    made_at: datetime | None = None
    """The time when its file was written; None if it has no file."""


def judged_if_signed(
    raw: bytes,
    signature: str | None,
    terms: StatementTerms,
    about: About,
    record: EvidenceRecord,
) -> EvidenceRecord:
    """Verify the signature of a statement if one is required, then judge it."""
    if terms.signed_by is not None:
        try:
            signer = signer_of(raw, signature, terms.signed_by)
        except RefusedError as refused:
            return answer(record, refused.problem, str(refused))
        record = record.model_copy(update={"signer": signer})
    return judged(raw, terms, about, record)


def judged(
    raw: bytes, terms: StatementTerms, about: About, record: EvidenceRecord
) -> EvidenceRecord:
    """Judge the bytes of a statement: pure. Anything that is wrong is a problem in the record."""
    try:
        statement = _statement(raw)
        known: dict[str, Any] = {
            "subject": tuple(
                SubjectEntry(name=one.name, digest=one.digest)
                for one in statement.subject[:_SHOWN_SUBJECTS]
            )
        }
        record = record.model_copy(update=known)
        said = _said(statement, terms, about.rule)
    except RefusedError as refused:
        return answer(record, refused.problem, str(refused))
    issued_at = said.issued_at or about.made_at
    record = record.model_copy(
        update={
            "issuer": said.issuer,
            "issued_at": None if issued_at is None else timestamp(issued_at),
            "is_issued_by_file": said.issued_at is None and issued_at is not None,
            "expires_at": None if said.expires_at is None else timestamp(said.expires_at),
            "checks": said.checks,
        }
    )
    found = (
        _foreign(statement, about)
        or problem_with_expiry(said.expires_at, about.now)
        or problem_with_age(issued_at, about.now, terms.max_age)
        or (said.problem, said.detail)
    )
    return answer(record, *found)


def judged_again(
    raw: bytes, terms: StatementTerms, record: EvidenceRecord, now: datetime
) -> EvidenceRecord:
    """Judge a statement that passed again, as time or other keys may have invalidated it."""
    if terms.signed_by is not None:
        try:
            signer_of(raw, None, terms.signed_by)
        except RefusedError as refused:
            return answer(record, refused.problem, str(refused))
    expires_at = None if record.expires_at is None else instant(record.expires_at)
    issued_at = None if record.issued_at is None else instant(record.issued_at)
    found = problem_with_expiry(expires_at, now) or problem_with_age(issued_at, now, terms.max_age)
    return record if found is None else answer(record, *found)


_SHOWN_SUBJECTS: Final = 100
"""The number of subject entries that are kept in the record; the file has all."""


def _foreign(statement: _Statement, about: About) -> tuple[EvidenceProblem, str] | None:
    """Return why a statement is about something else, or None if it is about the run."""
    wanted = (*(() if about.subject is None else about.subject.entries), *about.work)
    if not wanted:
        return EvidenceProblem.UNBOUND, "the run has no subject that a statement could name"
    named = [SubjectEntry(name=one.name, digest=one.digest) for one in statement.subject]
    missing = unnamed(wanted, named)
    if not missing:
        return None
    shown = [f"{copyable(one.name)} ({one.digest_words})" for one in missing[:3]]
    more = [f"{len(missing) - 3} more"] if len(missing) > 3 else []  # noqa: PLR2004 - as above
    return EvidenceProblem.WRONG_SUBJECT, f"it does not name {listed([*shown, *more])}"


def _said(statement: _Statement, terms: StatementTerms, rule: GateRule) -> Said:
    reader = reader_of(statement.predicateType, rule.name)
    if reader is None:
        raise RefusedError(
            EvidenceProblem.WRONG_PREDICATE,
            f"its predicate is {described(statement.predicateType)}; the gate {rule.name} reads"
            f" {listed(known_to(rule.name))}",
        )
    try:
        return reader(statement.predicate, Asked(rule, terms.accept_warned, terms.properties))
    except ValidationError as error:
        said = f"its predicate is wrong: {problems(error)[0].text}"
        raise RefusedError(EvidenceProblem.NOT_A_STATEMENT, said) from None
    except NotAnInstantError as error:
        raise RefusedError(EvidenceProblem.NOT_A_STATEMENT, str(error)) from None


def _statement(raw: bytes) -> _Statement:
    document = json_value(raw)
    envelope = envelope_of(document)
    if envelope is not None:
        document = json_value(envelope.raw)
    try:
        return _Statement.model_validate(document, strict=False)
    except ValidationError as error:
        said = f"it is no in-toto statement: {problems(error)[0].text}"
        raise RefusedError(EvidenceProblem.NOT_A_STATEMENT, said) from None


@dataclass(frozen=True)
class _StatementFile:
    """One reading of the file."""

    given: StatementSource
    tools: Tools

    def collect(self, subject: Subject | None, work: tuple[SubjectEntry, ...]) -> Evidence:
        """Read the file, and judge it."""
        record, path = nothing_from(SourceKind.STATEMENT), self.given.statement
        try:
            raw, made_at = read_with_time(path, EVIDENCE_BYTES_MAX)
        except OSError as error:
            said = f"{copyable(path)}: {files.reason(error)}"
            return Evidence(None, answer(record, EvidenceProblem.NOT_FOUND, said))
        about = About(self.tools.rule, subject, work, self.tools.now, made_at)
        signature = f"{self.given.statement}.sig"
        return Evidence(raw, judged_if_signed(raw, signature, self.given, about, record))
