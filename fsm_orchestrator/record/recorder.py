"""The run's record on disk: every change to it goes through here, checkpoint before report.

The record is kept as a draft in memory; `save` and `take` make it durable. What could not be
made durable did not happen: the draft goes back to the last durable state, keeping only facts.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from fsm_orchestrator.constants import CHECKPOINT_FILE, INVOCATIONS_FILE, REPORT_FILE
from fsm_orchestrator.disk import files
from fsm_orchestrator.disk.lock import OutputLock
from fsm_orchestrator.disk.peek import RECORD_BYTES_MAX
from fsm_orchestrator.errors import OperationError, RecordingError
from fsm_orchestrator.model.execution import StageExecution
from fsm_orchestrator.model.invocation import TransitionRecord
from fsm_orchestrator.record.checkpoint import Checkpoint
from fsm_orchestrator.record.event_log import EventFile
from fsm_orchestrator.record.report import Report, build_report
from fsm_orchestrator.vocabulary import Operation, Outcome

BYTES_MAX: Final = RECORD_BYTES_MAX - 1024 * 1024
"""The largest record that is written, less its last word, which is written still."""


class Recorder:
    """Holds the run's record and writes it.

    `artifacts_intact` is asked when a done run's report is made; how far `events` has come is
    noted in every checkpoint.
    """

    def __init__(
        self,
        home: OutputLock,
        draft: Checkpoint,
        artifacts_intact: Callable[[], bool],
        events: EventFile,
    ) -> None:
        self._events = events
        self._home = home
        self._checkpoint_path = home.path / CHECKPOINT_FILE
        self._report_path = home.path / REPORT_FILE
        self._artifacts_intact = artifacts_intact
        self.draft = draft
        self.is_degraded = False
        """Set once something could not be written: the report is then written if it can be."""
        self.latest: Report | None = None
        """The report that was made last to be written."""
        self._on_disk: bytes | None = None
        self._on_disk_before: bytes | None = None
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

    def move_old_invocations(self) -> None:
        """Move the oldest invocations to the file for them, if there are too many.

        They are durable there before a checkpoint is written that has them no more.

        Raises:
            RecordingError: they cannot be written; the draft has them still.
        """
        if self.draft.invocation.number == 1:
            return
        from fsm_orchestrator.record import side_file  # noqa: PLC0415 - not for a new run
        from fsm_orchestrator.record.moving_out import divided  # noqa: PLC0415 - likewise

        division = divided(self.draft)
        if division is None:
            return
        earlier = self.draft.earlier
        path = self._home.path / INVOCATIONS_FILE
        with files.recording(Operation.CHECKPOINT_PERSIST, path):
            mark = side_file.append(
                self._home, None if earlier is None else earlier.file, division.moved
            )
        self.draft = division.with_mark(mark)

    def save(self) -> None:
        """Make the draft's checkpoint durable.

        Raises:
            RecordingError: it cannot be; `operation` is `checkpoint.persist`.
        """
        data = self._checkpoint_bytes()
        with files.recording(Operation.CHECKPOINT_PERSIST, self._checkpoint_path):
            files.replace_file(self._checkpoint_path, data, within=self._home)
        self._note_on_disk(data)

    def seal(self) -> None:
        """Note where the events end, once the invocation's last one is durable.

        Too late for the invocation to fail: what cannot be noted is as if it had been killed here.
        """
        try:
            self.save()
        except OperationError:
            self._put_back(self._on_disk)

    def take(
        self,
        transition: TransitionRecord,
        last_look: Callable[[], None] = lambda: None,
        **invocation_changes: Any,
    ) -> None:
        """Make a transition durable, checkpoint first, then the report.

        `last_look` is called when all that is left to do is to put both in their places; if it
        raises, nothing has happened.

        Raises:
            RecordingError: it could not be made durable; the draft does not hold it.
        """
        before = self.draft
        self.draft = before.taken(transition, **invocation_changes)
        try:
            self.save_with_report(last_look=last_look)
        except BaseException:
            self.draft = before
            raise

    def undo(self, before: Checkpoint) -> None:
        """Forget a transition that was taken, for want of another record of it."""
        self.draft = before
        self._put_back(self._on_disk_before)

    def save_with_report(
        self, outcome: Outcome | None = None, last_look: Callable[[], None] = lambda: None
    ) -> None:
        """Make the draft and its report durable; `outcome` as in `build_report`.

        Both are written under temporary names first, so that a full disk is found before either
        takes its place; the checkpoint takes its place first, for the report must never say
        what a resume would not find.

        Raises:
            RecordingError: `operation` says which of the two could not be written.
        """
        data = self._checkpoint_bytes()
        with files.recording(Operation.CHECKPOINT_PERSIST, self._checkpoint_path):
            checkpoint = files.stage_file(self._checkpoint_path, data, within=self._home)
        try:
            report = self._stage_report(outcome)
            try:
                last_look()
                self._commit(Operation.CHECKPOINT_PERSIST, checkpoint)
                if report is not None:
                    self._commit(Operation.REPORT_PERSIST, report)
            except RecordingError:
                self._put_back(self._on_disk)
                raise
            finally:
                if report is not None:
                    report.discard()
        finally:
            checkpoint.discard()
        self._note_on_disk(data)

    def _note_on_disk(self, data: bytes) -> None:
        self._on_disk_before, self._on_disk = self._on_disk, data

    def _put_back(self, data: bytes | None) -> None:
        """Restore what the checkpoint said before, if that can be done at all.

        It may have taken its place before the failure: what is reported as failed must not be
        found done.
        """
        if data is not None:
            with contextlib.suppress(OSError):
                files.replace_file(self._checkpoint_path, data, within=self._home)

    def report(self, outcome: Outcome | None = None) -> Report:
        """Return the draft's report; `outcome` as in `build_report`. A done run is judged anew."""
        intact = self.draft.is_done and not self.is_degraded and self._artifacts_intact()
        return build_report(self.draft, artifacts_intact=intact, outcome=outcome)

    def write_report_if_possible(self, outcome: Outcome | None = None) -> None:
        """Write the last report of a run that cannot write its record; a failure is ignored.

        An output directory that has vanished is made again for it, if its name is free.
        """
        data = self._report_bytes(self.report(outcome))
        with contextlib.suppress(OSError):
            try:
                self._home.confirm()
            except OSError:
                if not self._home.make_again():
                    return
            files.replace_file(self._report_path, data, within=self._home)

    @property
    def size_bytes(self) -> int:
        """The size of the checkpoint that is on disk."""
        return len(self._on_disk or b"")

    @property
    def is_closure_ready(self) -> bool:
        """Whether the report that was made last to be written says that the run may be closed."""
        return not self.is_degraded and self.latest is not None and self.latest.closure_ready

    def _stage_report(self, outcome: Outcome | None) -> files.StagedFile | None:
        """Stage the report; return None where it cannot be written and that is known already."""
        try:
            if self._report_path.is_dir():
                raise IsADirectoryError(21, "a directory is in the file's place")
            self.latest = self.report(outcome)
            data = self._report_bytes(self.latest)
            return files.stage_file(self._report_path, data, within=self._home)
        except OSError as error:
            if self.is_degraded:
                return None
            raise _error(Operation.REPORT_PERSIST, self._report_path, error) from error

    def _commit(self, operation: Operation, staged: files.StagedFile) -> None:
        """Let a staged file take its place, durably.

        The name of a report that another will follow becomes durable with the next checkpoint,
        which is in the same directory: until then a power cut leaves the report before it.
        """
        try:
            staged.commit()
            is_last = self.draft.invocation.finished_at is not None
            if operation is Operation.CHECKPOINT_PERSIST or is_last:
                files.sync_directory(staged.path.parent, within=self._home)
        except OSError as error:
            if operation is not Operation.REPORT_PERSIST or not self.is_degraded:
                raise _error(operation, staged.path, error) from error

    def _checkpoint_bytes(self) -> bytes:
        events = {"last_event_seq": self._events.last_seq, "events": self._events.mark}
        self.draft = self.draft.model_copy(update=events)
        data = self.draft.model_dump_json().encode() + b"\n"
        if len(data) > BYTES_MAX and not self.is_degraded:
            raise _too_large(Operation.CHECKPOINT_PERSIST, self._checkpoint_path, len(data))
        return data

    def _report_bytes(self, report: Report) -> bytes:
        """Return a report as it is written; the last one of a run has what its reader takes."""
        data = report.to_json()
        if len(data) <= BYTES_MAX:
            return data
        if not self.is_degraded:
            raise _too_large(Operation.REPORT_PERSIST, self._report_path, len(data))
        warning = f"earlier invocations are left out here: {self._checkpoint_path} has them"
        moved = report.latest.number - 1
        shorter = {
            "invocations_moved": moved,
            "earlier_invocations": (),
            "warnings": (*report.warnings, warning),
        }
        return report.model_copy(update=shorter).to_json()


def _too_large(operation: Operation, path: Path, size_bytes: int) -> OperationError:
    return OperationError(
        operation,
        f"cannot write {path}: it would have {size_bytes} bytes, and no reader takes more than"
        f" {RECORD_BYTES_MAX}",
        remedy="start a new run without --resume; this one is then archived",
    )


def _error(operation: Operation, path: Path, error: OSError) -> RecordingError:
    return RecordingError(operation, str(path), files.reason(error))
