"""The open events file of an invocation: appends whole lines, chained and numbered."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from fsm_orchestrator.constants import EVENTS_FILE
from fsm_orchestrator.disk import files, moving
from fsm_orchestrator.disk.held import HeldDirectory, identity_of
from fsm_orchestrator.errors import OperationError, RecordingError
from fsm_orchestrator.model.declared import BaseModel
from fsm_orchestrator.record.chain import Chain, Gap, digest_between, link
from fsm_orchestrator.record.events_mark import (
    FOREIGN_LINES_MAX,
    EventsMark,
    LostEvents,
    hole_in,
    line_before,
    lost_events,
    seq_of,
    start_of_line,
)
from fsm_orchestrator.record.own_lines import OwnLines, untouched
from fsm_orchestrator.secrets.state_key import RecordKey
from fsm_orchestrator.stages.artifact_snapshot import next_tick_ns
from fsm_orchestrator.text.hidden import copyable
from fsm_orchestrator.text.json_output import WRITERS, escaped, json_value
from fsm_orchestrator.vocabulary import Operation

WHOLE_BYTES_MAX: Final = 256 * 1024
"""The size up to which a log may just as well be read whole."""


class EventFile:
    """The open events file: appends whole lines, numbered without gaps across invocations.

    A torn last line, left by a kill in mid-write, is cut off when the file is opened. The first
    failure, to open or to write, is kept in `failure` for the run to find; nothing is written after
    it.

    The file is the run's write-ahead log. Lines written while it is `held` wait, and are appended
    in one piece; if that fails, or the step that they belong to, none of them was written.

    Attributes:
        mark: the end of the file when an invocation ended; None before that.
        is_continued: True if the file was found as the record says that it was left, so that it
            has all of the run since its start or since the last `record.kept`.
        has_gaps: True if some events could not be written.
        last_seq: the number of the last event. `last_seq` and `mark` of the constructor are those
            of the run's record: numbers continue from there, whatever happened to the file.
        head: the digest of the last line, to which the next is chained.
        durable_seq: the number of the last event that is durable.
        found_seq: the number of the last event that was in the file when it was opened.
        lost: the loss of events that are marked; None if all are there.
        gap: the place where the chain does not continue from the record; None if it does.
    """

    def __init__(
        self,
        home: HeldDirectory,
        chain: Chain,
        mark: EventsMark | None = None,
        last_seq: int = 0,
        last_sha256: str | None = None,
    ) -> None:
        self._home = home
        self._chain = chain
        self.path = home.path / EVENTS_FILE
        self.failure: RecordingError | None = None
        self.last_seq = last_seq
        self.mark = mark
        self.lost: LostEvents | None = None
        self.found_seq = self.durable_seq = 0
        self.head = last_sha256 or chain.genesis
        self.gap: Gap | None = None
        self.is_continued = False
        self.has_gaps = False
        self._descriptor = -1
        self._held: list[bytes] | None = None
        self._waiting: list[Callable[[], None]] = []
        self._kept_bytes: int | None = None
        self._are_names_durable = False
        try:
            moving.take_own_copy(EVENTS_FILE, home)
            self.lost = lost_events(self.path, mark, within=home)
            self._descriptor = files.open_append(self.path, within=home)
            self._own = OwnLines(self._descriptor)
            self.found_seq, cut_bytes = self._repair()
            self._own = OwnLines(self._descriptor)
            self.last_seq = max(last_seq, self.found_seq)
            is_whole = self.lost is None and self.found_seq >= last_seq
            if cut_bytes or not is_whole:
                self.gap = Gap(self.last_seq, last_sha256, cut_bytes, is_torn_only=is_whole)
            end = os.fstat(self._descriptor).st_size, self.last_seq
            self.is_continued = (
                mark is not None and self.lost is None and (mark.size_bytes, mark.last_seq) == end
            )
        except OSError as error:
            self.failure = self._error(error)
        self._given_seq, self._given_head = self.last_seq, self.head

    def write(self, event: Mapping[str, Any]) -> Mapping[str, Any]:
        """Append one event, or hold it back; return it as its line has it.

        A failure is kept, not raised.
        """
        if self.failure is not None:
            return event
        chained = {**event, "prev": self._given_head}
        line = link(_line_of(chained), self._chain.key)
        if line.mac is not None:
            chained["mac"] = line.mac
        self._given_head = line.digest
        if self._held is not None:
            self._held.append(line.data)
        else:
            with contextlib.suppress(RecordingError):
                self._append(line.data)
        return chained

    def when_kept(self, tell: Callable[[], None]) -> None:
        """Call `tell` once everything written before is in the file."""
        self._waiting.append(tell)
        if self._held is None:
            self.tell_kept()

    def tell_kept(self) -> None:
        """Make the calls that wait for what is now in the file; if one raises, the rest still wait.

        A call may raise anything: the lines that were held back are kept all the same.
        """
        while self._waiting:
            self._waiting.pop(0)()

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Hold back what is written until `append_held`; if anything is raised, take it back.

        `tell_kept` then makes the calls that wait for it.
        """
        before, waiting = (self.last_seq, self.head), [*self._waiting]
        self._held, self._kept_bytes = [], None
        try:
            yield
        except BaseException:
            self._held, self._waiting = None, waiting
            self._take_back(*before)
            raise
        self._held = None

    def append_held(self, *, is_durable: bool) -> None:
        """Append the lines held back; if `is_durable`, make them and all lines before them durable.

        Raises:
            RecordingError: that failed, now or earlier.
        """
        if self.failure is not None:
            raise self.failure
        self._append(b"".join(self._held or ()))
        if not is_durable:
            return
        try:
            files.sync_data(self._descriptor)
            self.durable_seq = self.last_seq
            if not self._are_names_durable:
                files.sync_directory(self._home.path, within=self._home)
                self._are_names_durable = True
        except OSError as error:
            self.failure = self._error(error)
            raise self.failure from error

    @property
    def seq_then(self) -> int:
        """The number of the last event once the lines held back are in the file."""
        return self.last_seq if self.failure is not None else self._given_seq

    @property
    def head_then(self) -> str:
        """The digest of the last line once the lines held back are in the file."""
        return self.head if self.failure is not None else self._given_head

    @property
    def key(self) -> RecordKey | None:
        """The key that proves lines by their MACs; None if there is none."""
        return self._chain.key

    def untouched(self) -> str:
        """Return a stamp that later shows that the file was not touched since; "" where none can.

        For a long file it is worth waiting for the next tick of the clock: it is read whole
        otherwise.
        """
        if os.fstat(self._descriptor).st_size > WHOLE_BYTES_MAX:
            next_tick_ns()
        return untouched(self._descriptor)

    def mark_then(self) -> EventsMark | None:
        """Return the mark of the file once the lines held back are in it."""
        if self.failure is not None or not self._held:
            return self.mark
        size_bytes = os.fstat(self._descriptor).st_size + sum(map(len, self._held))
        return EventsMark(
            last_seq=self._given_seq, size_bytes=size_bytes, last_line_sha256=self._given_head
        )

    def confirm(self, *, wholly: bool) -> None:
        """Check that the lines that this invocation wrote are there as it wrote them.

        `wholly`: read them even if the file's size and time of change are unchanged.

        Raises:
            OperationError: they are not. It is raised once.
        """
        if self.failure is None and not self._own.are_intact(wholly=wholly):
            raise OperationError(
                Operation.CONTROL_VERIFY,
                f"{copyable(self.path)} was changed while the run was at work",
                remedy="find out who did that, a stage perhaps, then resume; a confined stage"
                " cannot",
            )

    def next_seq(self) -> int:
        """Return the number of the next event."""
        self._given_seq += 1
        return self._given_seq

    def recover(self) -> None:
        """Resume writing after a failure; events that could not be written count as not logged."""
        if self._descriptor >= 0:
            self.failure, self.has_gaps = None, True
            self._given_seq, self._given_head = self.last_seq, self.head

    def sync(self) -> None:
        """Make everything written so far durable. A failure is kept, not raised."""
        if self.failure is not None:
            return
        try:
            files.sync_data(self._descriptor)
            self.durable_seq = self.last_seq
        except OSError as error:
            self.failure = self._error(error)

    def _append(self, data: bytes) -> None:
        """Append whole lines, or nothing.

        Raises:
            RecordingError: they cannot be appended.
        """
        here = os.fstat(self._descriptor)
        try:
            self._home.confirm()
            at = self._home.descriptor
            there = os.stat(EVENTS_FILE, dir_fd=at, follow_symlinks=False)
            if identity_of(here) != identity_of(there):
                raise FileNotFoundError(2, "the file was replaced while the run worked")
            self._kept_bytes = here.st_size
            files.write_all(self._descriptor, data)
            self._own.appended(data)
        except OSError as error:
            self.failure = self._error(error)
            with contextlib.suppress(OSError):
                files.truncate(self._descriptor, here.st_size)
            raise self.failure from error
        self.last_seq, self.head = self._given_seq, self._given_head

    def _take_back(self, last_seq: int, head: str) -> None:
        """Cut off lines that were appended and do not count after all, durably if possible."""
        if self._kept_bytes is not None:
            with contextlib.suppress(OSError):
                files.truncate(self._descriptor, self._kept_bytes)
                self._own.took_back(self._kept_bytes)
                files.sync_data(self._descriptor)
        self.last_seq = self._given_seq = last_seq
        self.head = self._given_head = head

    def close(self) -> None:
        """Close the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)

    def _repair(self) -> tuple[int, int]:
        """Cut off what a crash has torn, and find the head of the chain.

        Return the number of the last event, 0 if there is none, and how many bytes were cut.

        That is the last line, and, if a power cut has left a hole in lines that were not durable,
        everything from the hole on.
        """
        size_bytes = os.fstat(self._descriptor).st_size
        durable_bytes = 0 if self.mark is None else self.mark.size_bytes
        whole = size_bytes if self.lost else hole_in(self._descriptor, durable_bytes, size_bytes)
        end = start_of_line(self._descriptor, whole)
        if end < size_bytes:
            files.truncate(self._descriptor, end)
        cut_bytes = size_bytes - end
        self.head = self._chain.genesis
        if end:
            begins = start_of_line(self._descriptor, end - 1)
            self.head = digest_between(self._descriptor, begins, end - 1)
        for _ in range(FOREIGN_LINES_MAX):
            if end == 0:
                break
            line = line_before(self._descriptor, end)
            seq = seq_of(line)
            if seq is not None:
                return seq, cut_bytes
            end = end - len(line) if line else start_of_line(self._descriptor, end - 1)
        return 0, cut_bytes

    def _error(self, error: OSError) -> RecordingError:
        failure = RecordingError(Operation.EVENTS_PERSIST, copyable(self.path), files.reason(error))
        failure.__cause__ = error
        return failure


def _line_of(event: Mapping[str, Any]) -> str:
    """Return an event as a line of the file; a record in it once, as the checkpoint writes it."""
    writer = WRITERS.get
    members = [f'"{key}": {writer(type(one), _other)(one)}' for key, one in event.items()]
    return escaped("{" + ", ".join(members) + "}")


def _other(value: Any) -> str:
    return value.model_dump_json() if isinstance(value, BaseModel) else json_value(value)
