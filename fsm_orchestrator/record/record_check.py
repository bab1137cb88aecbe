"""Checks that a record is the one that was left here, by the private state or by its MACs.

If the private state knows the directory, the record has to be what was left there. It may be behind
(a kill, or the machine going down, came between its line and the files), or ahead if its lines
could not be written: then each event has to prove itself by its MAC. If the private state does not
know the directory, checkpoint and events prove themselves, or there is a doubt. Only reads.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Final, NamedTuple

from fsm_orchestrator.constants import CHECKPOINT_FILE, EVENTS_FILE, REPORT_FILE
from fsm_orchestrator.disk import files
from fsm_orchestrator.disk.peek import RECORD_BYTES_MAX
from fsm_orchestrator.disk.where import run_of
from fsm_orchestrator.model.trust import ChangeKind, DoubtCause, RecordChange, RecordFile
from fsm_orchestrator.processes.table import boot
from fsm_orchestrator.record import left_file
from fsm_orchestrator.record.chain import Chain, genesis
from fsm_orchestrator.record.chain_walk import Walk, walk
from fsm_orchestrator.record.checkpoint import Checkpoint
from fsm_orchestrator.record.checkpoint_reader import SavedRun, where_is
from fsm_orchestrator.record.events_mark import line_before
from fsm_orchestrator.record.home import Whereabouts
from fsm_orchestrator.record.left_file import Left
from fsm_orchestrator.record.own_lines import untouched
from fsm_orchestrator.secrets import private_file
from fsm_orchestrator.secrets.state_key import MacVerdict, RecordKey, verdict_of
from fsm_orchestrator.text.digest import new_digest, sha256_of

CHUNK_BYTES: Final = 1 << 20
_TOO_LARGE: Final = "-"


class Finding(NamedTuple):
    """The result of checking a record.

    Attributes:
        changes: how it differs from what was left; empty if it does not, or that is unknown.
        doubt: why that is unknown; None if it is known.
    """

    changes: tuple[RecordChange, ...] = ()
    doubt: DoubtCause | None = None

    @property
    def is_good(self) -> bool:
        """True if the record is the one that was left."""
        return not self.changes and self.doubt is None


def record_digest(directory: Path) -> str:
    """Return the digest of a record as it is in a directory: of its checkpoint and its events."""
    parts = (f"{name} {_digest_of(directory / name)}" for name in (CHECKPOINT_FILE, EVENTS_FILE))
    return sha256_of("\n".join(parts).encode())


def left_by(
    directory: Path, checkpoint: Checkpoint, key: RecordKey | None = None
) -> tuple[Left, ...]:
    """Return those of the lines left in a record's directory one of which it has to match.

    For an epoch of which nothing is known here, those beside its record. Empty if nothing is known
    of the directory. A copy counts as a separate record.
    """
    lines = left_file.lines_of(directory)
    if not lines and key is not None and run_of(directory) != directory:
        from fsm_orchestrator.record.left_beside import lines_beside  # noqa: PLC0415 - rare

        lines = lines_beside(directory, key)
    if not lines:
        if where_is(checkpoint, directory) is Whereabouts.COPIED:
            return ()
        lines = left_file.lines_of(checkpoint.home.directory)
    place = ""
    with contextlib.suppress(OSError):  # opening a file in it then reports that it is gone
        place = str(os.stat(directory).st_ino)
    here = [one for one in lines if one.place == place]
    if not here:  # another directory was put here: a backup, or somebody's
        here = [one for one in lines if one.run_id == checkpoint.run_id]
    if not here:
        return ()
    counting = left_file.counting(here)
    return tuple(one for one in counting if one.run_id == here[-1].run_id)


def checked(saved: SavedRun, directory: Path, key: RecordKey | None) -> Finding:
    """Check a record against what was left of it."""
    checkpoint = saved.as_kept or saved.checkpoint
    lines = left_by(directory, checkpoint, key)
    if lines and lines[-1].run_id != checkpoint.run_id:
        if not _is_unnoted(checkpoint, directory):
            return _found(RecordFile.CHECKPOINT, ChangeKind.OTHER_RUN)
        lines = ()
    look = _Look(saved, checkpoint, directory, key)
    try:
        return look.held_against(lines) if lines else look.by_itself()
    finally:
        look.close()


def _is_unnoted(checkpoint: Checkpoint, directory: Path) -> bool:
    """Return whether a run may have begun here without notes, or all of them were lost.

    An earlier run in this directory is known, and a run from elsewhere says where its home is.
    """
    known = {one.run_id for one in left_file.lines_of(directory)}
    is_home = where_is(checkpoint, directory).is_home
    return is_home and checkpoint.run_id not in known


class _Reach(NamedTuple):
    """The reach of the events, compared with what was left.

    Attributes:
        last_seq: the number of the last event that is there.
        is_same_boot: True if the machine has not gone down since, so that nothing was lost.
        is_sealed: True if the invocation had ended, and no step was begun since.
        is_ahead: True if there are steps that could not be noted.
    """

    last_seq: int
    is_same_boot: bool
    is_sealed: bool
    is_ahead: bool = False

    @property
    def is_exact(self) -> bool:
        """True if all files have to be those that were left."""
        return self.is_same_boot and not self.is_ahead

    @property
    def is_at_seal(self) -> bool:
        """True if the events are those of an ended invocation, and nothing continued from it."""
        return self.is_sealed and not self.is_ahead


class _Look:
    """A look at the files of one record."""

    def __init__(
        self, saved: SavedRun, checkpoint: Checkpoint, directory: Path, key: RecordKey | None
    ) -> None:
        self._saved = saved
        self._kept = checkpoint
        self._directory = directory
        relation = checkpoint.lifecycle.relation_sha256
        self._chain = Chain(genesis(checkpoint.run_id_in(1), relation), key)
        self._checkpoint = sha256_of(saved.data)
        self._mac = verdict_of(saved.data[:-1], key)
        self._events = -1
        with contextlib.suppress(OSError):
            self._events = files.open_regular(directory / EVENTS_FILE)
        self._walked: Walk | None = None

    def close(self) -> None:
        """Close the events file."""
        if self._events >= 0:
            os.close(self._events)

    # -- compared with what was left ---------------------------------------------------------

    def held_against(self, lines: tuple[Left, ...]) -> Finding:
        """Compare the files with lines, the last of which is the latest."""
        last, is_sealed = lines[-1], _is_sealed(lines)
        # An unknown boot excuses nothing: only another boot can mean a power cut.
        is_same_boot = last.boot != "" and boot() in {"", last.boot}
        if is_sealed and self._is_untouched(last):
            return self._others(lines, _Reach(last.seq, is_same_boot, is_sealed))
        if self._events < 0:
            if all(one.seq == 0 for one in lines):
                return self._others(lines, _Reach(0, is_same_boot, is_sealed))
            return _found(RecordFile.EVENTS, ChangeKind.REMOVED)
        found = self._walk({one.seq for one in lines} | {self._kept.last_event_seq})
        if found.wrong_at is not None:
            return _found(RecordFile.EVENTS, ChangeKind.EDITED, found.wrong_at)
        reached = [
            one.seq for one in lines if one.seq == 0 or found.digests.get(one.seq) == one.head
        ]
        if reached:
            if found.unproved_seq > max(reached):
                return _found(RecordFile.EVENTS, ChangeKind.EDITED)
            is_ahead = found.step_seq > max(reached)
            reach = _Reach(found.last_seq, is_same_boot, is_sealed, is_ahead=is_ahead)
            return self._others(lines, reach)
        if found.last_seq >= min(one.seq for one in lines):
            return _found(RecordFile.EVENTS, ChangeKind.EDITED)
        if is_same_boot or not _is_cut_by_power(found, last.durable_seq):
            return _found(RecordFile.EVENTS, ChangeKind.CUT)
        return self._others(lines, _Reach(found.last_seq, is_same_boot, is_sealed=False))

    def _is_untouched(self, left: Left) -> bool:
        """Return whether the events are those that were left, without reading them."""
        if self._events < 0 or not left.events or untouched(self._events) != left.events:
            return False
        size_bytes = os.fstat(self._events).st_size
        return sha256_of(line_before(self._events, size_bytes)[:-1]) == left.head

    def _others(self, lines: tuple[Left, ...], reach: _Reach) -> Finding:
        """Compare the other files with lines, as far as the events reach."""
        changes = []
        if self._checkpoint not in {one.checkpoint for one in lines}:
            kind = self._checkpoint_change(reach)
            if kind is not None:
                changes.append(_change(RecordFile.CHECKPOINT, kind))
        report = _digest_of(self._directory / REPORT_FILE, RECORD_BYTES_MAX)
        if reach.is_exact and report and not {"", report} & {one.report for one in lines}:
            changes.append(_change(RecordFile.REPORT, ChangeKind.EDITED))
        if not self._is_private_good({one.private for one in lines}):
            changes.append(_change(RecordFile.PRIVATE, ChangeKind.EDITED))
        return Finding(tuple(changes))

    def _checkpoint_change(self, reach: _Reach) -> ChangeKind | None:
        """Return what is wrong with a checkpoint that no line names, or None if it proves itself.

        The machine going down may have left it torn, or newer than the events: then those decide.
        """
        is_ours = self._mac is MacVerdict.RIGHT
        if reach.is_exact:
            return ChangeKind.OLDER if is_ours else ChangeKind.EDITED
        is_newer = self._kept.last_event_seq > reach.last_seq
        if self._is_torn or (is_ours and (is_newer or not reach.is_at_seal)):
            return None
        return ChangeKind.OLDER if is_ours else ChangeKind.EDITED

    # -- on its own --------------------------------------------------------------------------

    def by_itself(self) -> Finding:
        """Check that checkpoint and events prove themselves."""
        key = self._chain.key
        if self._events < 0:
            return Finding(doubt=DoubtCause.NO_EVENTS if key is not None else DoubtCause.NO_KEY)
        found = self._walk({self._kept.last_event_seq})
        if found.wrong_at is not None:
            return _found(RecordFile.EVENTS, ChangeKind.EDITED, found.wrong_at)
        if self._mac is MacVerdict.WRONG and not self._is_torn:
            return _found(RecordFile.CHECKPOINT, ChangeKind.EDITED)
        if key is None:
            return Finding(doubt=DoubtCause.NO_KEY)
        if found.unproved_seq:
            return Finding(doubt=DoubtCause.OTHER_KEY)
        # If a key proves the events, it has to prove the checkpoint as well.
        is_proved = self._mac is MacVerdict.RIGHT or self._is_torn
        if not is_proved or not self._is_on(found):
            return _found(RecordFile.CHECKPOINT, ChangeKind.EDITED)
        if not self._is_private_good(set()):
            return _found(RecordFile.PRIVATE, ChangeKind.EDITED)
        return Finding()

    def _is_on(self, found: Walk) -> bool:
        """Return whether the checkpoint's last event is on the chain, or after its end."""
        seq, sha256 = self._kept.last_event_seq, self._kept.last_event_sha256
        return seq > found.last_seq or found.digests.get(seq) == sha256

    @property
    def _is_torn(self) -> bool:
        """True if the record was rebuilt from the events because its checkpoint was unreadable."""
        return self._saved.rebuilt is not None and self._saved.rebuilt.is_torn

    def _is_private_good(self, known: set[str]) -> bool:
        """Return whether the private file is one that was noted, or proves itself as this run's."""
        data = self._saved.private_data
        if data is None or sha256_of(data) in known:
            return True
        return private_file.is_proved(data, self._kept.run_id, self._directory)

    def _walk(self, wanted: set[int]) -> Walk:
        if self._walked is None:
            self._walked = walk(self._events, self._chain, wanted)
        return self._walked


def _is_sealed(lines: tuple[Left, ...]) -> bool:
    """Return whether the invocation had ended, and no step was begun since."""
    sealed = [one for one in lines if one.is_sealed]
    return bool(sealed) and all(
        (one.checkpoint, one.seq) == (sealed[-1].checkpoint, sealed[-1].seq) for one in lines
    )


def _is_cut_by_power(found: Walk, durable_seq: int) -> bool:
    """Return whether a power cut can be the reason why there are fewer events than were left.

    The rest has to include every durable event, and to prove those that could be forged.
    """
    if found.last_seq < durable_seq:
        return False
    return not found.last_seq or found.unproved_seq < min(found.last_seq, durable_seq + 1)


def _change(file: RecordFile, change: ChangeKind, line: int | None = None) -> RecordChange:
    return RecordChange(file=file, change=change, line=line)


def _found(file: RecordFile, change: ChangeKind, line: int | None = None) -> Finding:
    return Finding((_change(file, change, line),))


def _digest_of(path: Path, bytes_max: int | None = None) -> str:
    """Return the digest of a file; "" if there is none that can be read.

    A file above the size limit is not read: the result is then not a digest.
    """
    try:
        descriptor = files.open_regular(path)
    except OSError:
        return ""
    try:
        size_bytes = os.fstat(descriptor).st_size
        if bytes_max is not None and size_bytes > bytes_max:
            return _TOO_LARGE
        digest = new_digest(size_bytes)
        while chunk := os.read(descriptor, CHUNK_BYTES):
            digest.update(chunk)
    except OSError:
        return ""
    finally:
        os.close(descriptor)
    return str(digest.hexdigest())
