"""The notes that an invocation makes in the private state about the files in its directory."""

from __future__ import annotations

from typing import Any

from fsm_orchestrator.record.event_file import EventFile
from fsm_orchestrator.record.left_file import LeftFile
from fsm_orchestrator.text.digest import sha256_of


class Leaving:
    """The notes on what is about to be in a run's files, made before it is; none if that fails."""

    def __init__(self, file: LeftFile | None, events: EventFile) -> None:
        self._file = file
        self._events = events

    @property
    def failure(self) -> OSError | None:
        """The error that kept a note from being written; None if there was none."""
        return None if self._file is None else self._file.failure

    def note(self, checkpoint: bytes, **changes: Any) -> None:
        """Note a checkpoint; anything that is not given is as it was."""
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
        """Note that the files from before a step may be back; None if there were none."""
        if checkpoint is not None:
            self.note(checkpoint, report="", is_unsure=True)

    def note_report(self, report: bytes) -> None:
        """Note a report that is written without a checkpoint."""
        if self._file is not None:
            self._file.note(report=sha256_of(report), is_unsure=True)

    def note_private(self, private: str) -> None:
        """Note the digest of the private file; "" if it is unknown."""
        if self._file is not None:
            self._file.note(private=private, is_unsure=True)

    def seal(self, checkpoint: bytes, report: bytes, *, is_known: bool) -> None:
        """Note that nothing follows.

        The note is sealed only if everything that was written is durable. `is_known`: True if the
        files are known to be in place; otherwise nothing is noted.
        """
        events = self._events
        if not is_known or events.failure is not None:
            return
        is_durable = events.durable_seq == events.last_seq
        untouched = events.untouched() if is_durable else ""
        self.note(checkpoint, report=sha256_of(report), is_sealed=is_durable, events=untouched)

    def close(self) -> None:
        """Close the file of notes."""
        if self._file is not None:
            self._file.close()
