"""The run's record on disk: every change to it goes through here, events before both files.

The record is kept as a draft in memory; `keep` makes a step of it durable. A step that cannot be
made durable did not happen: the draft goes back to the last durable state, keeping only facts.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from fsm_orchestrator.constants import CHECKPOINT_FILE, INVOCATIONS_FILE, REPORT_FILE
from fsm_orchestrator.disk import files
from fsm_orchestrator.disk.lock import OutputLock
from fsm_orchestrator.disk.peek import RECORD_BYTES_MAX, has_too_many_values
from fsm_orchestrator.errors import RecordingError
from fsm_orchestrator.model.execution import StageExecution
from fsm_orchestrator.record.anchor import Anchor
from fsm_orchestrator.record.checkpoint import Checkpoint
from fsm_orchestrator.record.earlier import SideMark
from fsm_orchestrator.record.event_file import EventFile
from fsm_orchestrator.record.events_mark import EventsMark
from fsm_orchestrator.record.leaving import Leaving
from fsm_orchestrator.record.report import Report
from fsm_orchestrator.record.report_building import build_report, with_head
from fsm_orchestrator.secrets.state_key import with_mac
from fsm_orchestrator.text.hidden import copyable
from fsm_orchestrator.vocabulary import Operation, Outcome

if TYPE_CHECKING:
    from fsm_orchestrator.record.lost_home import LostHome

BYTES_MAX: Final = RECORD_BYTES_MAX - 1024 * 1024
"""The largest record that is written; only the last one of a failing run may exceed it."""


class Recorder:
    """The holder and writer of the run's record.

    `artifacts_intact` is called when a done run's report is made; every checkpoint notes how far
    `events` has come.
    """

    def __init__(
        self,
        home: OutputLock,
        draft: Checkpoint,
        artifacts_intact: Callable[[], bool],
        events: EventFile,
        leaving: Leaving | None = None,
    ) -> None:
        self._events = events
        self._home = home
        self._checkpoint_path = home.path / CHECKPOINT_FILE
        self._report_path = home.path / REPORT_FILE
        self._artifacts_intact = artifacts_intact
        self.draft = draft
        self.is_degraded = False
        """True once something could not be written: the report is then written if possible."""
        self.latest: Report | None = None
        """The report that was last made to be written."""
        self._on_disk: bytes | None = None
        self._anchor = Anchor(home)
        self._report_written: bytes | None = None
        self.leaving = leaving or Leaving(None, events)
        with contextlib.suppress(OSError):
            self._on_disk = files.read_bounded(self._checkpoint_path, RECORD_BYTES_MAX)

    def update_invocation(self, **changes: Any) -> None:
        """Change this invocation's record in the draft."""
        self.draft = self.draft.with_invocation(**changes)

    def add_execution(self, execution: StageExecution) -> None:
        """Add a stage execution that completes nothing to the draft."""
        self.draft = self.draft.with_execution(execution)

    def add_warning(self, warning: str) -> None:
        """Add a warning to this invocation's record in the draft."""
        self.update_invocation(warnings=(*self.draft.invocation.warnings, warning))

    def move_old_invocations(self) -> SideMark | None:
        """Move the oldest invocations to the file for them, if there are too many.

        They are durable there before a checkpoint is written without them. Return the end of that
        file, or None if nothing was moved.

        Raises:
            RecordingError: they cannot be written; the draft still has them.
        """
        if self.draft.invocation.number == 1:
            return None
        from fsm_orchestrator.record import side_file  # noqa: PLC0415 - not for a new run
        from fsm_orchestrator.record.moving_out import divided  # noqa: PLC0415 - likewise

        division = divided(self.draft)
        if division is None:
            return None
        earlier = self.draft.earlier
        path = self._home.path / INVOCATIONS_FILE
        with files.recording(Operation.CHECKPOINT_PERSIST, path):
            mark = side_file.append(
                self._home, None if earlier is None else earlier.file, division.moved
            )
        self.draft = division.with_mark(mark)
        return mark

    def refresh(self) -> None:
        """Make the checkpoint say what the draft says, for readers while the machine is up.

        It is not synced: a power cut leaves the one before, or none that can be read. What must
        outlive a power cut is in the events.

        Raises:
            RecordingError: it cannot be written; `operation` is `checkpoint.persist`.
        """
        with files.recording(Operation.CHECKPOINT_PERSIST, self._checkpoint_path):
            data = self._checkpoint_bytes(self._events.mark)
            staged = self._staged(self._checkpoint_path, data)
            self.leaving.note(data)
            try:
                self._anchor.look()  # at the last moment: the stage is already at work
                self._anchor.left(self._checkpoint_path, None)  # unknown until this succeeds
                staged.commit()
            finally:
                staged.discard()
        self._on_disk = data
        self._anchor.left(self._checkpoint_path, data)

    def keep(
        self,
        emit: Callable[[], None],
        *,
        outcome: Outcome | None = None,
        is_durable: bool = True,
        is_told: bool = True,
        last_look: Callable[[], None] = lambda: None,
    ) -> None:
        """Keep a step of the run: log it by `emit` first, then write both files.

        The step is in the events, in one piece, before it is in the files: a resume finds it there
        whatever happened to them. At the end of an invocation both are made durable as well.

        Args:
            emit: logs the step, the line that makes it count last.
            outcome: as in `build_report`.
            is_durable: whether to wait until the step is durable; else it becomes so with the next.
            is_told: whether to notify the listener; whatever that raises undoes nothing.
            last_look: called when nothing is left to do but to keep it; if it raises, nothing has
                happened.

        Raises:
            RecordingError: the step could not be kept: it has not happened. `operation` says what
                could not be written.
        """
        before = self.draft
        try:
            self.latest = told = self.report(outcome)
            with self._events.held():
                emit()
                self._replace_both(told, is_durable=is_durable, last_look=last_look)
        except BaseException:
            self.draft = before
            self.leaving.note_failure(self._on_disk)
            raise
        if is_told:
            self._events.tell_kept()

    def _replace_both(
        self, told: Report, *, is_durable: bool, last_look: Callable[[], None]
    ) -> None:
        """Append the lines held back, and put both files in place, the checkpoint first.

        They are written under temporary names before, so that a full disk is found in time.
        """
        mark = self._events.mark_then() if self._is_last else self._events.mark
        data = self._checkpoint_bytes(mark)
        self.latest = told = with_head(told, self.draft)
        with files.recording(Operation.CHECKPOINT_PERSIST, self._checkpoint_path):
            self._home.confirm_file()
            self._anchor.confirm()
            self._events.confirm(wholly=self._is_last)
            checkpoint = self._staged(self._checkpoint_path, data)
        try:
            report = self._stage_report(told)
            try:
                last_look()
                self.leaving.note_next(data, None if report is None else self._report_written)
                self._let_both_take_place(checkpoint, report, is_durable=is_durable)
                self._anchor.left(self._checkpoint_path, data)
                self._anchor.left(self._report_path, self._report_written)
            finally:
                if report is not None:
                    report.discard()
        finally:
            checkpoint.discard()
        self._on_disk, self._events.mark = data, mark

    def _let_both_take_place(
        self, checkpoint: files.StagedFile, report: files.StagedFile | None, *, is_durable: bool
    ) -> None:
        for path in (self._checkpoint_path, self._report_path):
            self._anchor.left(path, None)  # unknown until everything has succeeded
        try:
            self._append(is_durable=is_durable or self._is_last)
            self._commit(Operation.CHECKPOINT_PERSIST, checkpoint)
            if report is not None:
                self._commit(Operation.REPORT_PERSIST, report)
            if self._is_synced:
                self._sync_names()
        except BaseException:
            self._put_back()
            raise

    def seal(self) -> None:
        """Note outside the directory that nothing follows, if the content of the files is known."""
        checkpoint, report = map(self._anchor.data_of, (self._checkpoint_path, self._report_path))
        if checkpoint is not None and report is not None and self._is_last:
            self.leaving.seal(checkpoint, report, is_known=not self.is_degraded)

    @property
    def _is_last(self) -> bool:
        """True if the draft is of an invocation that has ended."""
        return self.draft.invocation.finished_at is not None

    @property
    def _is_synced(self) -> bool:
        """True if both files are made durable by themselves: at the end, or without the events."""
        return self._is_last or self.is_degraded

    def _append(self, *, is_durable: bool) -> None:
        """Append the step to the events; if they are already lost, the checkpoint has it."""
        try:
            self._events.append_held(is_durable=is_durable)
        except RecordingError:
            if not self.is_degraded:
                raise

    def _put_back(self) -> None:
        """Restore the previous checkpoint, if that is possible at all.

        The new one may be in place already: a step that is reported as failed must not be found
        done.
        """
        if self._on_disk is not None:
            with contextlib.suppress(OSError):
                files.replace_file(self._checkpoint_path, self._on_disk, within=self._home)

    def report(self, outcome: Outcome | None = None) -> Report:
        """Return the draft's report; `outcome` as in `build_report`. A done run is judged again."""
        intact = self.draft.is_done and not self.is_degraded and self._artifacts_intact()
        return build_report(self.draft, artifacts_intact=intact, outcome=outcome)

    def write_report_if_possible(self, outcome: Outcome | None = None) -> LostHome | None:
        """Write the last report of a run that cannot write its record; a failure is ignored.

        An output directory that has vanished is made again for it, if its name is free; otherwise
        whatever has that name is left alone. Return the lost report then, or None if the directory
        is still there.
        """
        from fsm_orchestrator.record.lost_home import LostHome  # noqa: PLC0415 - rare

        self.latest = told = self.report(outcome)
        is_lost = is_written = False
        with contextlib.suppress(OSError):
            try:
                self._home.confirm()
            except OSError:
                is_lost = True
                if not self._home.make_again():
                    return LostHome(told, is_written=False)
            data = self._report_bytes(told)
            self.leaving.note_report(data)
            files.replace_file(self._report_path, data, within=self._home)
            is_written = True
        return LostHome(told, is_written) if is_lost else None

    @property
    def size_bytes(self) -> int:
        """The size of the checkpoint on disk."""
        return len(self._on_disk or b"")

    @property
    def is_closure_ready(self) -> bool:
        """True if the report that was last made to be written says that the run may be closed."""
        return not self.is_degraded and self.latest is not None and self.latest.closure_ready

    def _stage_report(self, report: Report) -> files.StagedFile | None:
        """Stage the report; return None if it cannot be written and that is already known."""
        try:
            if self._report_path.is_dir():
                raise IsADirectoryError(21, "a directory is in the file's place")
            self._report_written = self._report_bytes(report)
            return self._staged(self._report_path, self._report_written)
        except OSError as error:
            self._report_written = None
            if self.is_degraded:
                return None
            raise _error(Operation.REPORT_PERSIST, self._report_path, error) from error

    def _staged(self, path: Path, data: bytes) -> files.StagedFile:
        return files.stage_file(path, data, within=self._home, is_durable=self._is_synced)

    def _commit(self, operation: Operation, staged: files.StagedFile) -> None:
        """Put a staged file in place."""
        try:
            staged.commit()
        except OSError as error:
            if operation is not Operation.REPORT_PERSIST or not self.is_degraded:
                raise _error(operation, staged.path, error) from error

    def _sync_names(self) -> None:
        """Make the names of both files durable."""
        with files.recording(Operation.CHECKPOINT_PERSIST, self._checkpoint_path):
            files.sync_directory(self._home.path, within=self._home)

    def _checkpoint_bytes(self, mark: EventsMark | None) -> bytes:
        events = {
            "last_event_seq": self._events.seq_then,
            "last_event_sha256": self._events.head_then,
            "events": mark,
            "mac": None,
        }
        self.draft = self.draft.model_copy(update=events)
        data = with_mac(self.draft.model_dump_json().encode(), self._events.key) + b"\n"
        if _is_too_large(data) and not self.is_degraded:
            from fsm_orchestrator.record.oversize import too_large  # noqa: PLC0415 - rare

            raise too_large(Operation.CHECKPOINT_PERSIST, self._checkpoint_path, len(data))
        return data

    def _report_bytes(self, report: Report) -> bytes:
        """Return a report as bytes; shorten the last one of a failing run if it is too large."""
        data = report.to_json()
        if not _is_too_large(data):
            return data
        from fsm_orchestrator.record.oversize import shortened, too_large  # noqa: PLC0415 - rare

        if not self.is_degraded:
            raise too_large(Operation.REPORT_PERSIST, self._report_path, len(data))
        return shortened(report, self._checkpoint_path).to_json()


def _is_too_large(data: bytes) -> bool:
    return len(data) > BYTES_MAX or has_too_many_values(data)


def _error(operation: Operation, path: Path, error: OSError) -> RecordingError:
    return RecordingError(operation, copyable(path), files.reason(error))
