"""What an invocation tells the private state of the files that it leaves in its directory."""

from __future__ import annotations

from typing import Any

from fsm_orchestrator.record.event_file import EventFile
from fsm_orchestrator.record.left_file import LeftFile
from fsm_orchestrator.text.digest import sha256_of


class Leaving:
    """Notes what is about to be in the files of a run, before it is; nothing where it cannot."""

    def __init__(self, file: LeftFile | None, events: EventFile) -> None:
        self._file = file
        self._events = events

    @property
    def failure(self) -> OSError | None:
        """Why it could not be noted."""
        return None if self._file is None else self._file.failure

    def note(self, checkpoint: bytes, **changes: Any) -> None:
        """Note a checkpoint; what is not said is as it was."""
        if self._file is None:
            return
        events = self._events
        told = {"seq": events.last_seq, "head": events.head, "durable_seq": events.durable_seq}
        self._file.note(checkpoint=sha256_of(checkpoint), **{**told, **changes})

    def note_next(self, checkpoint: bytes, report: bytes | None) -> None:
        """Note what a step will leave; the report is None where it cannot be written."""
        told = "" if report is None else sha256_of(report)
        seq, head = self._events.seq_then, self._events.head_then
        self.note(checkpoint, report=told, seq=seq, head=head)

    def note_failure(self, checkpoint: bytes | None) -> None:
        """Note that what was there before a step may be there again; None if nothing was."""
        if checkpoint is not None:
            self.note(checkpoint, report="", is_unsure=True)

    def note_report(self, report: bytes) -> None:
        """Note a report that is written without a checkpoint."""
        if self._file is not None:
            self._file.note(report=sha256_of(report), is_unsure=True)

    def note_private(self, private: str) -> None:
        """Note the digest of the private file; "" where it is not known."""
        if self._file is not None:
            self._file.note(private=private, is_unsure=True)

    def seal(self, checkpoint: bytes, report: bytes, *, is_known: bool) -> None:
        """Note that nothing is to come.

        It counts by itself where all that was written is on disk; `is_known`: and there.
        """
        events = self._events
        if not is_known or events.failure is not None:
            return
        is_durable = events.durable_seq == events.last_seq
        untouched = events.untouched() if is_durable else ""
        self.note(checkpoint, report=sha256_of(report), is_sealed=is_durable, events=untouched)

    def close(self) -> None:
        """Free what it holds."""
        if self._file is not None:
            self._file.close()
