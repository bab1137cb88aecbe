"""A run's record told anew by the lines of its log, and held against the checkpoint beside them.

For whoever has the two and nothing else: no key of the machine, no note of what was left there.
Pure; a line at a time.
"""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum
from typing import Any, Final, NamedTuple

from pydantic import ValidationError

from fsm_orchestrator.disk.peek import has_too_many_values
from fsm_orchestrator.record.chain import genesis
from fsm_orchestrator.record.checkpoint import Checkpoint
from fsm_orchestrator.record.events import EventLine, RunEnded, parse_event
from fsm_orchestrator.record.events_mark import LINE_BYTES_MAX
from fsm_orchestrator.record.rebuilding import TOLD
from fsm_orchestrator.record.record_events import ChainGap
from fsm_orchestrator.record.redo import ContradictionError, Redo
from fsm_orchestrator.text.digest import sha256_of

OF_THE_MACHINE: Final = frozenset(
    {"last_event_seq", "last_event_sha256", "events", "open_attempts", "mac"}
)
"""What a checkpoint has of the file itself, and of processes: no event says it."""


class LineProblem(StrEnum):
    """Why a line of a log is not followed."""

    NOT_A_LINE = "not_a_line"
    NOT_CHAINED = "not_chained"
    NOT_NUMBERED = "not_numbered"
    CONTRADICTS = "contradicts"


class NotFollowedError(Exception):
    """A line does not follow from those before it."""

    def __init__(self, problem: LineProblem, detail: str) -> None:
        super().__init__(detail)
        self.problem = problem


class Difference(NamedTuple):
    """A field of the checkpoint that is not what the events say."""

    field: str
    detail: str


class Retelling:
    """The record as far as it has been told.

    Attributes:
        line: how many lines there were.
        last_seq: the number of the last event.
        head: the digest of its line.
        last_at: when it was logged.
        gaps: where the chain did not go on from the line that was written last.
        digests: of the lines of the events that were asked for, by number.
        ended: the last line that says that an invocation ended.
    """

    def __init__(self, checkpoint: Checkpoint, wanted: Collection[int] = ()) -> None:
        self.line = 0
        self.last_seq = 0
        self.head = self._genesis = genesis(
            checkpoint.run_id_in(1), checkpoint.lifecycle.relation_sha256
        )
        self.last_at = ""
        self.gaps: list[ChainGap] = []
        self.digests: dict[int, str] = {}
        self.ended: RunEnded | None = None
        self._checkpoint = checkpoint
        self._wanted = {checkpoint.last_event_seq, *wanted}
        if checkpoint.events is not None:
            self._wanted.add(checkpoint.events.last_seq)
        self._told = Redo(None)
        self._onward = Redo(checkpoint)
        self._contradiction: str | None = None

    def follow(self, text: bytes) -> None:
        """Follow a line, which is without its newline.

        Raises:
            NotFollowedError: it is no line of a log, or not the next of this one.
        """
        self.line += 1
        event = _event_in(text)
        self._check_place(event)
        self.head, self.last_seq, self.last_at = sha256_of(text), event.seq, event.at
        if event.seq in self._wanted:
            self.digests[event.seq] = self.head
        if isinstance(event, ChainGap):
            self.gaps.append(event)
        if isinstance(event, RunEnded):
            self.ended = event
        if event.event in TOLD:
            self._tell(event)

    def _check_place(self, event: EventLine) -> None:
        is_first = self.line == 1
        refused = {genesis(event.run_id, None)} if is_first else set()
        if event.prev not in {self.head, *refused}:
            before = "what the run's id and lifecycle begin it with" if is_first else "the line"
            raise NotFollowedError(
                LineProblem.NOT_CHAINED, f"its prev is not the digest of {before} before it"
            )
        wanted = self.last_seq + 1
        is_after_gap = isinstance(event, ChainGap) and event.seq > self.last_seq
        if event.seq != wanted and not is_after_gap:
            raise NotFollowedError(
                LineProblem.NOT_NUMBERED, f"it has number {event.seq}, and {wanted} is next"
            )
        if event.seq != wanted:
            self._told.forget()

    def _tell(self, event: EventLine) -> None:
        try:
            self._told.follow(event, self.head)
        except ContradictionError as error:
            self._told.forget()
            self._contradiction = self._contradiction or f"event {event.seq}: {error}"
        if event.seq <= self._checkpoint.last_event_seq:
            return
        try:
            self._onward.follow(event, self.head)
        except ContradictionError as error:
            raise NotFollowedError(LineProblem.CONTRADICTS, str(error)) from error

    @property
    def onward(self) -> Checkpoint:
        """The checkpoint, and what the events have beyond it."""
        return self._checkpoint if self._onward.kept is None else self._onward.kept

    @property
    def told(self) -> Checkpoint | None:
        """The record by the events alone; None where they do not have all of it."""
        return self._told.kept

    def difference(self) -> Difference | None:
        """Return the first thing in which the checkpoint is not what the events say."""
        for what, seq, sha256 in self._marks():
            if self.digests.get(seq) != sha256:
                return Difference(what, f"event {seq} is not the one that it was written after")
        if self.told is None:
            why = self._contradiction or "no line has the whole record"
            return Difference("invocations", f"it cannot be told by the events: {why}")
        told, known = _facts(self.told), _facts(self.onward)
        field = next((one for one in (*known, *told) if told.get(one) != known.get(one)), None)
        return None if field is None else Difference(field, "the events say otherwise")

    def _marks(self) -> list[tuple[str, int, str]]:
        """Return the lines that the checkpoint names by their digests."""
        checkpoint, found = self._checkpoint, []
        if checkpoint.last_event_sha256 is not None and checkpoint.last_event_seq:
            last = checkpoint.last_event_seq, checkpoint.last_event_sha256
            found.append(("last_event_sha256", *last))
        if checkpoint.events is not None:
            mark = checkpoint.events
            found.append(("events.last_line_sha256", mark.last_seq, mark.last_line_sha256))
        return [one for one in found if not self._is_lost(one[1])]

    def _is_lost(self, seq: int) -> bool:
        """Return whether an event is among those that a gap says are lost."""
        return any(gap.cause.loses_lines and seq <= gap.last_seq for gap in self.gaps) and (
            seq not in self.digests
        )


def _event_in(text: bytes) -> EventLine:
    if len(text) > LINE_BYTES_MAX or has_too_many_values(text):
        raise NotFollowedError(LineProblem.NOT_A_LINE, "it is larger than any event")
    try:
        return parse_event(text)
    except ValidationError as error:
        from fsm_orchestrator.text.validation import problems  # noqa: PLC0415 - rare

        raise NotFollowedError(LineProblem.NOT_A_LINE, problems(error)[0].text) from error


def _facts(record: Checkpoint) -> dict[str, Any]:
    """Return what a record says of its run."""
    facts = record.model_dump(mode="json", exclude=set(OF_THE_MACHINE))
    if facts["earlier"] is not None:
        facts["earlier"]["file"]["seen"] = None  # when somebody looked at a file last
    return facts
