"""The first links: the archive, the statement in it, and the members that it lists."""

from __future__ import annotations

from fsm_orchestrator.bundle.archive_reader import ArchiveProblem
from fsm_orchestrator.bundle.known import BrokenError, Known
from fsm_orchestrator.bundle.members import (
    FIXED,
    OPTIONAL,
    STATEMENT_MEMBER,
    MemberKind,
    artifact_member,
)
from fsm_orchestrator.bundle.statement import RunStatement, statement_bytes
from fsm_orchestrator.bundle.verified import Break
from fsm_orchestrator.disk.peek import has_too_many_values
from fsm_orchestrator.model.declared import ValidationError
from fsm_orchestrator.text.phrases import counted

Notes = tuple[str, ...]
_PROBLEMS = {
    ArchiveProblem.EMPTY: "it is empty",
    ArchiveProblem.CUT: "it ends in the middle",
    ArchiveProblem.NOT_CANONICAL: "it has bytes that no bundle has there",
    ArchiveProblem.UNKNOWN_MEMBER: "it has a member that no bundle has",
    ArchiveProblem.ORDER: "its members are not in order, or one is there twice",
    ArchiveProblem.TOO_LARGE: "it has a member that is larger than any of its kind",
    ArchiveProblem.TOO_MANY: "it has more members than a bundle may have",
    ArchiveProblem.TRAILING: "something follows its end",
}


def archive(known: Known) -> Notes:
    """Verify that the archive is whole, as the writer writes it, and has nothing else."""
    error = known.bundle.error
    if error is not None:
        said = f"{_PROBLEMS[error.problem]}, at byte {error.at}"
        raise BrokenError(error.problem, said, member=error.member, at_byte=error.at)
    if known.bundle.is_too_large:
        said = "its records are larger than those of any run, all together"
        raise BrokenError(ArchiveProblem.TOO_LARGE, said)
    return (f"{counted(len(known.bundle.members), 'member')}",)


def statement(known: Known) -> Notes:
    """Verify that the statement is valid, and in the only form in which it is written."""
    raw = known.bundle.data_of(STATEMENT_MEMBER)
    if raw is None:
        raise BrokenError(Break.MISSING, f"there is no {STATEMENT_MEMBER}")
    if has_too_many_values(raw):
        raise _unreadable("it has more values than any statement")
    try:
        found = RunStatement.model_validate_json(raw)
    except ValidationError as error:
        from fsm_orchestrator.text.validation import problems  # noqa: PLC0415 - rare

        raise _unreadable(problems(error)[0].text) from None
    if statement_bytes(found.subject, found.predicate) != raw:
        raise _unreadable("it is not written as a bundle writes it")
    known.statement = found
    return ()


def _unreadable(why: str) -> BrokenError:
    return BrokenError(Break.UNREADABLE, why, member=STATEMENT_MEMBER)


def members(known: Known) -> Notes:
    """Verify that the members are exactly those that are listed, with their sizes and digests."""
    if known.statement is None:
        raise AssertionError("statement")
    listed = known.statement.predicate.members
    found = known.bundle.members
    names = {one.name for one in listed}
    for name in (*FIXED, *(one.name for one in listed)):
        is_listed = name in names or name == STATEMENT_MEMBER
        if name not in found and (name not in OPTIONAL or is_listed):
            raise BrokenError(Break.MISSING, "it is not in the archive", member=name)
    for name, one in found.items():
        if one.kind.is_listed and name not in names:
            raise BrokenError(Break.UNLISTED, "the statement does not list it", member=name)
    for each in listed:
        there = found[each.name]
        if (there.size_bytes, there.sha256) != (each.sizeBytes, each.sha256):
            was = f"{each.sha256} in {counted(each.sizeBytes, 'byte')}"
            now = f"{there.sha256} in {counted(there.size_bytes, 'byte')}"
            said = f"it has the sha256 {now}, and the statement lists {was}"
            raise BrokenError(Break.OTHER_BYTES, said, member=each.name, at_byte=there.begins)
    listing = [(one.name, one.kind) for one in found.values() if one.kind.is_listed]
    if [(one.name, one.kind) for one in listed] != listing:
        said = "its list has a member twice, out of order, or as one of another kind"
        raise BrokenError(Break.OTHER_THING, said, member=STATEMENT_MEMBER)
    for artifact in known.bundle.of_kind(MemberKind.ARTIFACT):
        if artifact.name != artifact_member(artifact.sha256):
            said = f"it has the sha256 {artifact.sha256}"
            raise BrokenError(Break.OTHER_BYTES, said, member=artifact.name)
    return ()
