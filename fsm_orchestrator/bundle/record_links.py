"""The links of the record: checkpoint, lifecycle, history, chain, report, and what is derived."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from fsm_orchestrator.bundle.accepted import acceptances, said_of
from fsm_orchestrator.bundle.archive_links import Notes
from fsm_orchestrator.bundle.building import (
    Contents,
    config_bytes,
    lifecycle_bytes,
    predicate_of,
    relation_bytes,
    subject_of,
    summary_of,
)
from fsm_orchestrator.bundle.known import BrokenError, Known, NotApplicableError
from fsm_orchestrator.bundle.members import (
    CONFIG_MEMBER,
    LIFECYCLE_MEMBER,
    RELATION_MEMBER,
    STATEMENT_MEMBER,
    SUMMARY_MEMBER,
    MemberKind,
)
from fsm_orchestrator.bundle.opened import ChangedMeanwhileError
from fsm_orchestrator.bundle.statement import (
    ArtifactSummary,
    ChainSummary,
    LogsKept,
    statement_bytes,
)
from fsm_orchestrator.bundle.summary import summary_bytes
from fsm_orchestrator.bundle.verified import Break
from fsm_orchestrator.constants import (
    CHECKPOINT_FILE,
    EVENTS_FILE,
    INVOCATIONS_FILE,
    REPORT_FILE,
)
from fsm_orchestrator.disk.digests import Listed, list_digest
from fsm_orchestrator.disk.peek import has_too_many_values
from fsm_orchestrator.errors import CheckpointError
from fsm_orchestrator.lifecycle.verification import verify
from fsm_orchestrator.model.declared import ValidationError
from fsm_orchestrator.record import report_check, side_file
from fsm_orchestrator.record.chain import GapCause
from fsm_orchestrator.record.checkpoint import Checkpoint
from fsm_orchestrator.record.checkpoint_reader import contradiction_in, shaped
from fsm_orchestrator.record.report import Report
from fsm_orchestrator.record.retelling import LineProblem, NotFollowedError, Retelling
from fsm_orchestrator.text.phrases import counted

_NEWLINE: Final = b"\n"
_NO_MACS: Final = "the MACs of checkpoint and events: their key stays on the machine of the run"


def checkpoint(known: Known) -> Notes:
    """Verify that the checkpoint has the form of one."""
    raw = known.data(CHECKPOINT_FILE)
    if has_too_many_values(raw):
        said = "it has more values than any record"
        raise BrokenError(Break.UNREADABLE, said, member=CHECKPOINT_FILE)
    try:
        found = shaped(raw, CHECKPOINT_FILE)
    except CheckpointError as error:
        raise BrokenError(Break.UNREADABLE, str(error), member=CHECKPOINT_FILE) from None
    known.checkpoint = found
    known.not_verified.append(_NO_MACS)
    return ()


def _old_invocations(known: Known, found: Checkpoint) -> None:
    """Compare what the checkpoint keeps of old invocations with their file."""
    is_there = INVOCATIONS_FILE in known.bundle.members
    if found.earlier is None:
        if is_there:
            said = "the checkpoint knows of no old invocations"
            raise BrokenError(Break.UNLISTED, said, member=INVOCATIONS_FILE)
        return
    if not is_there:
        said = "the checkpoint says that its old invocations are there"
        raise BrokenError(Break.MISSING, said, member=INVOCATIONS_FILE)
    problem = side_file.problem_in(known.bundle.lines(INVOCATIONS_FILE), found.earlier)
    if problem is not None:
        raise BrokenError(Break.OTHER_BYTES, problem, member=INVOCATIONS_FILE)


def lifecycle(known: Known) -> Notes:
    """Prove the lifecycle again, and that the members that spell it out are the same."""
    record = _checkpoint(known)
    findings = verify(record.lifecycle)
    if findings:
        raise BrokenError(Break.NOT_PROVED, str(findings[0]), member=CHECKPOINT_FILE)
    if record.lifecycle_sha256 != record.lifecycle.sha256:
        said = "its digest is not that of the lifecycle in the checkpoint"
        raise BrokenError(Break.OTHER_BYTES, said, member=CHECKPOINT_FILE)
    for name, made in (
        (LIFECYCLE_MEMBER, lifecycle_bytes(record)),
        (RELATION_MEMBER, relation_bytes(record)),
    ):
        if known.data(name) != made:
            said = "it is not the lifecycle in the checkpoint"
            raise BrokenError(Break.NOT_DERIVED, said, member=name)
    return (record.lifecycle.name,)


def history(known: Known) -> Notes:
    """Rebuild the record from its start, as a walk over the lifecycle."""
    problem = contradiction_in(_checkpoint(known))
    if problem is not None:
        raise BrokenError(Break.NO_WALK, problem, member=CHECKPOINT_FILE)
    return ()


def chain(known: Known) -> Notes:
    """Follow the events from the first to the last, and compare their end with the statement."""
    record, said = _checkpoint(known), _said(known)
    found = Retelling(record)
    torn_bytes = 0
    try:
        for text in known.bundle.lines(EVENTS_FILE):
            if not text.endswith(_NEWLINE):
                torn_bytes = len(text)
                break
            found.follow(text[:-1])
    except NotFollowedError as error:
        why, line = f"{error}{said_of(_accepted(known))}", found.line
        raise BrokenError(error.problem, why, member=EVENTS_FILE, line=line) from None
    except ChangedMeanwhileError:
        why = "the file was changed while it was read"
        raise BrokenError(Break.OTHER_BYTES, why, member=EVENTS_FILE) from None
    if torn_bytes and found.onward.invocation.finished_at is not None:
        why = "its last line is cut, and the run had ended"
        raise BrokenError(LineProblem.NOT_A_LINE, why, member=EVENTS_FILE, line=found.line + 1)
    end = ChainSummary(lastSeq=found.last_seq, head=found.head) if found.last_seq else None
    if end != said:
        why = f"the statement says that it ends with event {said.lastSeq}, {said.head}"
        line = max(found.line, 1)
        raise BrokenError(LineProblem.NOT_CHAINED, why, member=EVENTS_FILE, line=line)
    known.retelling = found
    known.judged_at = _end_of(found)
    return (f"{counted(found.line, 'event')}", *_notes_on(known, found, torn_bytes))


def _end_of(found: Retelling) -> str:
    """Return when the run ended; later invocations that only looked at it judged nothing again."""
    taken = [one.at for one in found.onward.transitions]
    return taken[-1] if taken else found.onward.invocation.finished_at or found.last_at


def _notes_on(known: Known, found: Retelling, torn_bytes: int) -> Notes:
    notes = []
    accepted = _accepted(known) if any(one.cause is GapCause.ACCEPTED for one in found.gaps) else {}
    for gap in found.gaps:
        if not gap.cause.loses_lines:
            notes.append(
                f"event {gap.seq}: a torn line of {counted(gap.cut_bytes, 'byte')} was cut off"
            )
            continue
        said = f"event {gap.seq} is a gap ({gap.cause.value}): " + accepted.get(
            gap.seq,
            f"what was before it, up to event {gap.last_seq}, is as the checkpoint has it",
        )
        notes.append(said)
        known.not_verified.append(said)
    if torn_bytes:
        notes.append(f"after them are {counted(torn_bytes, 'byte')} of a torn line")
    return tuple(notes)


def _accepted(known: Known) -> Mapping[int, str]:
    """Return what somebody has accepted as found, by the events, chained or not."""
    return acceptances(known.bundle.lines(EVENTS_FILE))


def record(known: Known) -> Notes:
    """Rebuild the checkpoint from the events alone, and compare."""
    found = _retelling(known)
    _old_invocations(known, found.onward)
    different = found.difference()
    if different is None:
        return ()
    lost = [one for one in found.gaps if one.cause.loses_lines]
    if found.told is None and lost:
        raise NotApplicableError(
            f"the events before event {lost[-1].seq} are lost: the checkpoint alone has the record"
        )
    said = f"{different.field}: {different.detail}{said_of(_accepted(known))}"
    raise BrokenError(Break.NOT_DERIVED, said, member=CHECKPOINT_FILE)


def report(known: Known) -> Notes:
    """Make the report from the events, and compare."""
    raw = known.data(REPORT_FILE)
    if has_too_many_values(raw):
        said = "it has more values than any report"
        raise BrokenError(Break.UNREADABLE, said, member=REPORT_FILE)
    try:
        written = Report.model_validate_json(raw)
    except ValidationError:
        said = "it is not a report of this program"
        raise BrokenError(Break.UNREADABLE, said, member=REPORT_FILE) from None
    if written.to_json() != raw:
        said = "it is not written as a run writes it"
        raise BrokenError(Break.UNREADABLE, said, member=REPORT_FILE)
    found = _retelling(known)
    # If the events cannot give the record, the link before reports that.
    told = _told(found)
    ended = found.ended
    is_closed = ended is not None and ended.closure_ready and told.invocation.exit_code == 0
    checked = report_check.checked(written, told, lambda: is_closed)
    if checked.contradicted:
        said = f"it says otherwise: {', '.join(checked.contradicted)}"
        raise BrokenError(Break.NOT_DERIVED, said, member=REPORT_FILE)
    has_failed = any(one.operation is not None for one in written.stage_executions)
    is_behind = checked.report is not written
    if written.closure_ready is not is_closed and not (has_failed or is_behind):
        said = "closure_ready: the events say otherwise"
        raise BrokenError(Break.NOT_DERIVED, said, member=REPORT_FILE)
    known.report = checked.report
    if is_behind:
        return ("it is behind the events, for the run was killed: what follows goes by them",)
    return ()


def _told(found: Retelling) -> Checkpoint:
    """Return the record by the events, with what a checkpoint has of its own file."""
    own = found.onward
    if found.told is None:
        return own
    return found.told.model_copy(
        update={
            "last_event_seq": own.last_event_seq,
            "last_event_sha256": own.last_event_sha256,
            "open_attempts": own.open_attempts,
        }
    )


def derived(known: Known) -> Notes:
    """Make the statement, the VSA and the config from the record, and compare bytes."""
    onward, written, said = _retelling(known).onward, known.report, known.statement
    if written is None or said is None:
        raise AssertionError("report")
    predicate = said.predicate
    contents = Contents(
        predicate.members,
        predicate.logs,
        {(one.stage, one.path): one.contents for one in predicate.artifacts},
    )
    made = predicate_of(onward, written, predicate.chain, contents)
    own = tuple(one for one in predicate.members if one.name == REPORT_FILE)
    subject = subject_of(onward, own)
    for name, data in (
        (STATEMENT_MEMBER, statement_bytes(subject, made)),
        (SUMMARY_MEMBER, summary_bytes(subject, summary_of(onward, written))),
        (CONFIG_MEMBER, config_bytes(onward)),
    ):
        if known.data(name) != data:
            why = "it is not what the record says"
            raise BrokenError(Break.NOT_DERIVED, why, member=name)
    _logs(known, onward, predicate.logs)
    return ()


def _logs(known: Known, record: Checkpoint, said: LogsKept) -> None:
    """Compare what the statement says of the logs with those present, and with the secrets."""
    has_logs = any(known.bundle.of_kind(MemberKind.LOG))
    is_so = {
        LogsKept.WHOLE: not record.secret_keys,
        LogsKept.LEFT_OUT: not has_logs,
        LogsKept.WITHHELD: bool(record.secret_keys) and not has_logs,
    }
    if not is_so[said]:
        why = f"the logs are not {said.value.replace('_', ' ')}, as it says"
        raise BrokenError(Break.NOT_DERIVED, why, member=STATEMENT_MEMBER)


def artifacts(known: Known) -> Notes:
    """Compare the artifacts in the archive with what their stages left."""
    if known.statement is None:
        raise AssertionError("statement")
    listed = known.statement.predicate.artifacts
    if not listed:
        raise NotApplicableError("the run has left no artifact that was expected")
    there = [one for one in listed if one.contents]
    named = {each.member for one in there for each in one.contents}
    for member in known.bundle.of_kind(MemberKind.ARTIFACT):
        if member.name not in named:
            said = "it is a file of no artifact"
            raise BrokenError(Break.UNLISTED, said, member=member.name)
    for one in there:
        _artifact(known, one)
    if not there:
        said = f"{counted(len(listed), 'artifact')} by digest alone, not in the bundle"
        known.not_verified.append(f"what the artifacts hold: {said}")
        raise NotApplicableError(said)
    return (f"{counted(len(there), 'artifact')} in the bundle",)


def _artifact(known: Known, one: ArtifactSummary) -> None:
    for each in one.contents:
        member = known.bundle.members.get(each.member)
        if member is None:
            raise BrokenError(Break.MISSING, "it is not in the archive", member=each.member)
        if (member.sha256, member.size_bytes) != (each.sha256, each.sizeBytes):
            said = f"it is not the file {each.path or one.path} that the statement names"
            raise BrokenError(Break.OTHER_BYTES, said, member=each.member)
    found = [Listed(each.path, each.sha256, each.sizeBytes) for each in one.contents]
    if one.files is None:
        is_right = [each.path for each in found] == [""] and found[0].sha256 == one.sha256
    else:
        is_right = len(found) == one.files and list_digest(found) == one.sha256
    if not is_right:
        said = f"the artifact {one.path} of {one.stage} is not what its stage left"
        raise BrokenError(Break.OTHER_BYTES, said, member=one.contents[0].member)


def _checkpoint(known: Known) -> Checkpoint:
    if known.checkpoint is None:
        raise AssertionError("checkpoint")
    return known.checkpoint


def _retelling(known: Known) -> Retelling:
    if known.retelling is None:
        raise AssertionError("chain")
    return known.retelling


def _said(known: Known) -> ChainSummary:
    if known.statement is None:
        raise AssertionError("statement")
    return known.statement.predicate.chain
