"""Makes a bundle of a run that nobody is working at, from the files it has left.

The same run gives the same bytes, wherever, whenever and by whomever it is made: everything follows
from the record and the files next to it. Each file is read twice, a piece at a time: to be listed
and to be written. If it has changed in between, no bundle is made.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

from fsm_orchestrator.bundle.archive_writer import ArchiveWriter, OtherSizeError
from fsm_orchestrator.bundle.building import (
    NO_CONTENTS,
    Contents,
    config_bytes,
    genesis_of,
    lifecycle_bytes,
    predicate_of,
    relation_bytes,
    subject_of,
    summary_of,
)
from fsm_orchestrator.bundle.contents import Whole, whole_artifacts
from fsm_orchestrator.bundle.inventory import inventory_of
from fsm_orchestrator.bundle.members import (
    ARCHIVE_BYTES_MAX,
    CONFIG_MEMBER,
    LIFECYCLE_MEMBER,
    MEMBERS_MAX,
    RELATION_MEMBER,
    STATEMENT_MEMBER,
    SUMMARY_MEMBER,
)
from fsm_orchestrator.bundle.secret_watch import secret_watch
from fsm_orchestrator.bundle.signing import PemKey, Signature, SshKey, signatures_by
from fsm_orchestrator.bundle.sources import Source, from_file, held, unseen
from fsm_orchestrator.bundle.statement import ChainSummary, LogsKept, RunPredicate, statement_bytes
from fsm_orchestrator.bundle.summary import summary_bytes
from fsm_orchestrator.constants import CHECKPOINT_FILE, EVENTS_FILE, INVOCATIONS_FILE, REPORT_FILE
from fsm_orchestrator.disk import files
from fsm_orchestrator.disk.files import StagedFile
from fsm_orchestrator.disk.kinds import refuse_odd_place
from fsm_orchestrator.disk.lock import holder_of
from fsm_orchestrator.disk.where import run_of
from fsm_orchestrator.errors import (
    BusyError,
    CheckpointError,
    CommandError,
    ReportError,
    TamperedError,
    UsageError,
)
from fsm_orchestrator.model.trust import DoubtCause
from fsm_orchestrator.record import report_check
from fsm_orchestrator.record.chain import Chain
from fsm_orchestrator.record.chain_walk import walk
from fsm_orchestrator.record.checkpoint import Checkpoint
from fsm_orchestrator.record.checkpoint_reader import SavedRun, load_saved
from fsm_orchestrator.record.record_check import checked
from fsm_orchestrator.record.report import Report
from fsm_orchestrator.record.report_reader import read_report
from fsm_orchestrator.secrets.of_run import known_secrets
from fsm_orchestrator.secrets.state_key import RecordKey
from fsm_orchestrator.text.digest import sha256_of
from fsm_orchestrator.text.hidden import copyable
from fsm_orchestrator.text.phrases import counted

_MODE: Final = 0o600


class Asked(NamedTuple):
    """The options for making a bundle.

    Attributes:
        record_key: the key that proves the record, if there is one.
        may_replace: True if a file that is in the way may be replaced.
    """

    with_logs: bool = True
    with_artifacts: bool = False
    keys: tuple[SshKey | PemKey, ...] = ()
    record_key: RecordKey | None = None
    may_replace: bool = False


class Made(NamedTuple):
    """A bundle that was made.

    Attributes:
        sha256: SHA-256 of its file.
        report: the report that it goes by.
        doubt: why the record is not known to be the one that was left; None if it is.
        ignored: files among the run's that its record does not know.
        accepted: how the record was changed when somebody continued from it all the same.
    """

    path: Path
    size_bytes: int
    sha256: str
    predicate: RunPredicate
    report: Report
    signatures: tuple[Signature, ...]
    doubt: DoubtCause | None
    ignored: tuple[str, ...]
    accepted: tuple[str, ...]


class _Record(NamedTuple):
    """The record of a run, checked against everything that is known of it."""

    saved: SavedRun
    kept: Checkpoint
    report: Report
    doubt: DoubtCause | None


def make(directory: Path, path: Path, asked: Asked) -> Made:
    """Write the bundle of the run in a directory, which may be in an archive.

    Raises:
        BusyError: an orchestrator is at work there.
        CheckpointError: its record cannot be used, or is not the one that was left.
        ReportError: its report cannot be read.
        UsageError: a file is in the way.
        CommandError: it cannot be made or written; nothing is left of it.
    """
    _refuse_place(path, may_replace=asked.may_replace)
    _refuse_held(directory)
    record = _record(directory, asked.record_key)
    look = secret_watch(known_secrets(directory))
    logs = _logs(record.kept, wanted=asked.with_logs)
    whole = Whole((), {})
    if asked.with_artifacts:
        whole = whole_artifacts(record.kept, record.saved.checkpoint, look)
    beside = inventory_of(directory, record.kept, look, logs=logs is LogsKept.WHOLE)
    chain = _chain(directory, record.kept)
    own = _own(directory, record)
    subject = subject_of(record.kept, tuple(one.listed for one in own))
    summary = held(SUMMARY_MEMBER, summary_bytes(subject, summary_of(record.kept, record.report)))
    listed = _sorted((*own, summary, *beside.sources, *whole.sources))
    contents = Contents(tuple(one.listed for one in listed), logs, whole.contents or NO_CONTENTS)
    predicate = predicate_of(record.kept, record.report, chain, contents)
    statement = held(STATEMENT_MEMBER, statement_bytes(subject, predicate))
    signatures = signatures_by(asked.keys, statement.data or b"", summary.data or b"")
    signed = (held(one.member, one.data) for one in signatures)
    members = _sorted((*listed, statement, *signed))
    written = _written(members, path, directory, may_replace=asked.may_replace)
    found = (path, *written, predicate, record.report, signatures, record.doubt, beside.ignored)
    taken = (one.accepted for one in record.kept.invocations)
    return Made(*found, tuple(one.words for one in taken if one is not None and one.changes))


def _refuse_place(path: Path, *, may_replace: bool) -> None:
    """Refuse to write over something that may not be replaced."""
    try:
        refuse_odd_place(path)
    except OSError as error:
        raise UsageError(
            f"cannot write {copyable(path)}: {files.reason(error)}", remedy="name a new file"
        ) from None
    if not may_replace and os.path.lexists(path):
        raise UsageError(
            f"{copyable(path)} is there already",
            remedy="name a new file, or give --force to replace it",
        )


def _refuse_held(directory: Path) -> None:
    """Refuse a run that is at work; nobody holds the directory of an archived one."""
    holder = holder_of(directory)
    if holder is not None:
        raise BusyError(copyable(run_of(directory)), holder)


def _record(directory: Path, key: RecordKey | None) -> _Record:
    saved = load_saved(directory)
    kept = saved.as_kept or saved.checkpoint
    found = checked(saved, directory, key)
    if found.changes:
        changes = "; ".join(one.words for one in found.changes)
        raise TamperedError(
            f"the record in {copyable(run_of(directory))} is not the one that was left: {changes}",
            remedy="find out who did that and put back what was there; a bundle proves nothing of"
            " another record",
        )
    if saved.rebuilt is not None and saved.rebuilt.is_torn:
        raise CheckpointError(
            saved.rebuilt.finding(directory / CHECKPOINT_FILE),
            remedy="resume the run: that makes the file again",
        )
    report = report_check.checked(
        read_report(directory / REPORT_FILE), kept, are_artifacts_intact=lambda: False
    )
    if report.contradicted:
        raise ReportError(
            f"{copyable(directory / REPORT_FILE)} contradicts the checkpoint beside it:"
            f" {', '.join(report.contradicted)}",
            remedy="a resume of the run writes it again",
        )
    return _Record(saved, kept, report.report, found.doubt)


def _logs(kept: Checkpoint, *, wanted: bool) -> LogsKept:
    """Return which logs are taken: they are as the stages wrote them, so no secret is masked."""
    if not wanted:
        return LogsKept.LEFT_OUT
    return LogsKept.WITHHELD if kept.secret_keys else LogsKept.WHOLE


def _chain(directory: Path, kept: Checkpoint) -> ChainSummary:
    """Follow the chain of the events to its head."""
    path = directory / EVENTS_FILE
    try:
        descriptor = files.open_regular(path)
    except OSError as error:
        raise CheckpointError(
            f"cannot read {copyable(path)}: {files.reason(error)}",
            remedy="put it back: without its events a run cannot be proved",
        ) from None
    try:
        found = walk(descriptor, Chain(genesis_of(kept)), ())
    finally:
        os.close(descriptor)
    lost = max(kept.last_event_seq, 1) - found.last_seq
    if lost > 0:
        raise CheckpointError(
            f"the last {counted(lost, 'event')} of the run {'is' if lost == 1 else 'are'} not in"
            f" {copyable(path)}: a power cut may have taken them",
            remedy="resume the run: its events then name the loss, and all else can be proved",
        )
    return ChainSummary(lastSeq=found.last_seq, head=found.head)


def _own(directory: Path, record: _Record) -> tuple[Source, ...]:
    """Return the files that the program itself keeps of a run, and what follows from them."""
    kept = record.kept
    try:
        found = [
            from_file(one, directory / one, unseen)
            for one in (REPORT_FILE, CHECKPOINT_FILE, EVENTS_FILE)
        ]
        if kept.earlier is not None:
            size_bytes = kept.earlier.file.size_bytes
            path = directory / INVOCATIONS_FILE
            found.append(from_file(INVOCATIONS_FILE, path, unseen, size_bytes_max=size_bytes))
    except OSError as error:
        raise CommandError(
            f"cannot read the record in {copyable(run_of(directory))}: {files.reason(error)}",
            remedy="make it readable",
        ) from None
    is_same = sha256_of(record.saved.data) in {one.sha256 for one in found}
    if not is_same:  # somebody has resumed it since it was read
        raise _changed(directory / CHECKPOINT_FILE)
    return (
        *found,
        held(LIFECYCLE_MEMBER, lifecycle_bytes(kept)),
        held(RELATION_MEMBER, relation_bytes(kept)),
        held(CONFIG_MEMBER, config_bytes(kept)),
    )


def _sorted(members: Iterable[Source]) -> tuple[Source, ...]:
    return tuple(sorted(members, key=lambda one: one.name))


def _written(
    members: tuple[Source, ...], path: Path, directory: Path, *, may_replace: bool
) -> tuple[int, str]:
    """Write the archive durably, then give it its name; return its size and its digest."""
    total = sum(one.size_bytes for one in members)
    if len(members) > MEMBERS_MAX or total > ARCHIVE_BYTES_MAX // 2:
        raise CommandError("the run has more, or larger, files than a bundle takes")
    staged = StagedFile(path, files.temporary_name(path.name))
    try:
        output = _Output(files.make_new(staged.temporary, mode=_MODE))
        try:
            _write(members, output, directory)
            _refuse_held(directory)
            files.sync(output.descriptor)
        finally:
            os.close(output.descriptor)
        _refuse_place(path, may_replace=may_replace)
        staged.commit()
        files.sync_directory(path.parent)
    except BaseException as error:
        staged.discard()
        if isinstance(error, OSError):
            raise CommandError(
                f"cannot write {copyable(path)}: {files.reason(error)}",
                remedy="name a file in a directory that you may write to, with room for it",
            ) from error
        raise
    return output.size_bytes, output.digest.hexdigest()


class _Output:
    """The output file, and the size and digest of what was written to it."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.size_bytes = 0
        self.digest = hashlib.sha256()

    def write(self, data: bytes) -> None:
        files.write_all(self.descriptor, data)
        self.size_bytes += len(data)
        self.digest.update(data)


def _write(members: tuple[Source, ...], output: _Output, directory: Path) -> None:
    writer = ArchiveWriter(output.write)
    for one in members:
        sha256 = ""
        with contextlib.suppress(OtherSizeError):
            sha256 = writer.add(one.name, one.size_bytes, one.chunks())
        if sha256 != one.sha256:
            raise _changed(one.path or directory)
    writer.end()


def _changed(path: Path) -> CommandError:
    return CommandError(
        f"{copyable(path)} was changed while it was read",
        remedy="make the bundle when nobody writes there",
    )
