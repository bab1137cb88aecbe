"""A run's record rebuilt from its log, line by line, and compared with the checkpoint beside it.

For a reader that has these two and nothing else: no key of the machine, no note of what was left
there. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Any, Final, NamedTuple

from pydantic import ValidationError

from fsm_orchestrator.disk.peek import has_too_many_values
from fsm_orchestrator.record.chain import genesis
from fsm_orchestrator.record.checkpoint import Checkpoint
from fsm_orchestrator.record.events import (
    EventLine,
    RunEnded,
    StageEnded,
    StageSkipped,
    parse_event,
)
from fsm_orchestrator.record.events_mark import LINE_BYTES_MAX
from fsm_orchestrator.record.failure_events import RunRefused
from fsm_orchestrator.record.gate_events import GateDecided
from fsm_orchestrator.record.rebuilding import TOLD
from fsm_orchestrator.record.record_events import AttemptBegun, ChainGap
from fsm_orchestrator.record.redo import ContradictionError, Redo
from fsm_orchestrator.text.digest import sha256_of
from fsm_orchestrator.vocabulary import Outcome

OF_THE_MACHINE: Final = frozenset(
    {"last_event_seq", "last_event_sha256", "events", "open_attempts", "mac"}
)
"""The fields of a checkpoint about the file itself, and about processes: no event has them."""

GAPS_MAX: Final = 1_000
"""The most gaps that a chain may have, one for each crash: what is mostly gaps proves nothing."""
_IMPOSSIBLE: Final = (ContradictionError, LookupError)
"""The errors that come of events that name a stage or a state that their record does not have."""


class LineProblem(StrEnum):
    """The reason why a line of a log is not followed."""

    NOT_A_LINE = "not_a_line"
    NOT_CHAINED = "not_chained"
    NOT_NUMBERED = "not_numbered"
    CONTRADICTS = "contradicts"


class NotFollowedError(Exception):
    """A line that does not follow from those before it."""

    def __init__(self, problem: LineProblem, detail: str) -> None:
        super().__init__(detail)
        self.problem = problem


class Difference(NamedTuple):
    """A field of the checkpoint that is not what the events say."""

    field: str
    detail: str


class _Mark(NamedTuple):
    """A line that the checkpoint names.

    Attributes:
        field: the field that names it.
        size_bytes: how many bytes there are up to its end; None if that is not given.
    """

    field: str
    seq: int
    sha256: str
    size_bytes: int | None = None


class Retelling:
    """The record as far as it has been rebuilt.

    Attributes:
        line: how many lines there were.
        last_seq: the number of the last event.
        head: the digest of its line.
        last_at: the time when it was logged.
        gaps: the places where the chain did not continue from the line that was written last.
        ends: the lines that the checkpoint names, by the number of the event: their digests, and
            how many bytes there are up to their ends.
        ended: the last line that says that an invocation ended.
        evidence: the digests of the files that decisions name, by their names.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.line = 0
        self.last_seq = 0
        self.head = self._genesis = genesis(
            checkpoint.run_id_in(1), checkpoint.lifecycle.relation_sha256
        )
        self.last_at = ""
        self.gaps: list[ChainGap] = []
        self.ends: dict[int, tuple[str, int]] = {}
        self._size_bytes = 0
        self.ended: RunEnded | None = None
        self.evidence: dict[str, str] = {}
        self._checkpoint = checkpoint
        self._run_ids = {
            checkpoint.run_id,
            *(one.run_id for one in checkpoint.home.copied_from),
        }
        self._wanted = {checkpoint.last_event_seq}
        if checkpoint.events is not None:
            self._wanted.add(checkpoint.events.last_seq)
        self._told = Redo(None)
        self._onward = Redo(checkpoint)
        self._contradiction: str | None = None

    def follow(self, text: bytes) -> None:
        """Follow a line, given without its newline.

        Raises:
            NotFollowedError: it is not a line of a log, or not the next of this one.
        """
        self.line += 1
        self._size_bytes += len(text) + 1
        event = event_in(text)
        self._check_place(event)
        self._check_itself(event)
        self.head, self.last_seq, self.last_at = sha256_of(text), event.seq, event.at
        if event.seq in self._wanted:
            self.ends[event.seq] = self.head, self._size_bytes
        if isinstance(event, ChainGap):
            self.gaps.append(event)
            if len(self.gaps) > GAPS_MAX:
                raise NotFollowedError(LineProblem.NOT_CHAINED, "it is one gap too many")
        if isinstance(event, RunEnded):
            self.ended = event
        if isinstance(event, GateDecided) and event.decision.evidence is not None:
            said = event.decision.evidence
            if said.file is not None and said.statement_sha256 is not None:
                self.evidence[said.file] = said.statement_sha256
        if event.event in TOLD:
            self._tell(event)

    def _check_place(self, event: EventLine) -> None:
        is_first = self.line == 1
        refused = {genesis(event.run_id, None)} if is_first else set()
        if event.prev not in {self.head, *refused}:
            before = "the run's id and lifecycle" if is_first else "the line before it"
            raise NotFollowedError(
                LineProblem.NOT_CHAINED, f"its prev is not the digest of {before}"
            )
        wanted = self.last_seq + 1
        is_after_gap = isinstance(event, ChainGap) and event.seq > self.last_seq
        if event.seq != wanted and not is_after_gap:
            raise NotFollowedError(
                LineProblem.NOT_NUMBERED, f"it has number {event.seq}, and {wanted} is next"
            )
        if event.seq != wanted:
            self._told.forget()

    def _check_itself(self, event: EventLine) -> None:
        """Refuse a line that contradicts itself, or is of another run."""
        if event.run_id not in self._run_ids and not isinstance(event, RunRefused):
            why = f"it is of the run {event.run_id}"
            raise NotFollowedError(LineProblem.CONTRADICTS, why)
        match event:
            case StageEnded() | StageSkipped():
                inside = event.execution.stage, event.execution.attempt
            case AttemptBegun():
                inside = event.record.stage, event.record.attempt
            case RunEnded(closure_ready=True):
                if event.outcome is not Outcome.DONE or event.exit_code:
                    why = "it says that a run that is not done may be closed"
                    raise NotFollowedError(LineProblem.CONTRADICTS, why)
                return
            case _:
                return
        if inside != (event.stage, event.attempt):
            why = f"it is of attempt {event.attempt} of {event.stage}, and says {inside[0]}"
            raise NotFollowedError(LineProblem.CONTRADICTS, f"{why} {inside[1]}")

    def _tell(self, event: EventLine) -> None:
        try:
            self._told.follow(event, self.head)
        except _IMPOSSIBLE as error:
            self._told.forget()
            self._contradiction = self._contradiction or f"event {event.seq}: {_why(error)}"
        if event.seq <= self._checkpoint.last_event_seq:
            return
        try:
            self._onward.follow(event, self.head)
        except _IMPOSSIBLE as error:
            raise NotFollowedError(LineProblem.CONTRADICTS, _why(error)) from error

    @property
    def onward(self) -> Checkpoint:
        """The checkpoint, with what the events have beyond it."""
        return self._checkpoint if self._onward.kept is None else self._onward.kept

    @property
    def told(self) -> Checkpoint | None:
        """The record by the events alone; None if they do not have all of it."""
        return self._told.kept

    def difference(self) -> Difference | None:
        """Return the first difference between the checkpoint and the events, or None."""
        for one in self._marks():
            sha256, size_bytes = self.ends.get(one.seq, ("", 0))
            if sha256 != one.sha256 or one.size_bytes not in {None, size_bytes}:
                said = f"event {one.seq} is not the one that it was written after"
                return Difference(one.field, said)
        if self.told is None:
            why = self._contradiction or "no line has the whole record"
            return Difference("invocations", f"the events cannot rebuild the record: {why}")
        told, known = _facts(self.told), _facts(self.onward)
        field = next((one for one in (*known, *told) if told.get(one) != known.get(one)), None)
        return None if field is None else Difference(field, "the events say otherwise")

    def _marks(self) -> Iterator[_Mark]:
        """Yield the lines that the checkpoint names by their digests, and that can be there."""
        checkpoint, mark = self._checkpoint, self._checkpoint.events
        if checkpoint.last_event_sha256 is not None and checkpoint.last_event_seq:
            yield from self._there(
                _Mark("last_event_sha256", checkpoint.last_event_seq, checkpoint.last_event_sha256)
            )
        if mark is not None:
            yield from self._there(
                _Mark("events", mark.last_seq, mark.last_line_sha256, mark.size_bytes)
            )

    def _there(self, mark: _Mark) -> Iterator[_Mark]:
        """Yield a mark, unless a gap says that its line is lost."""
        is_lost = any(one.cause.loses_lines and mark.seq <= one.last_seq for one in self.gaps)
        if not is_lost or mark.seq in self.ends:
            yield mark


def _why(error: Exception) -> str:
    is_told = isinstance(error, ContradictionError)
    return str(error) if is_told else "it names what the record does not have"


def event_in(text: bytes) -> EventLine:
    """Return the event of a line, given without its newline.

    Raises:
        NotFollowedError: it is not a line of this program.
    """
    if len(text) > LINE_BYTES_MAX or has_too_many_values(text):
        raise NotFollowedError(LineProblem.NOT_A_LINE, "it is larger than any event")
    try:
        return parse_event(text)
    except ValidationError as error:
        from fsm_orchestrator.text.validation import problems  # noqa: PLC0415 - rare

        raise NotFollowedError(LineProblem.NOT_A_LINE, problems(error)[0].text) from error


def _facts(record: Checkpoint) -> dict[str, Any]:
    """Return what a record says about its run."""
    facts = record.model_dump(mode="json", exclude=set(OF_THE_MACHINE))
    if facts["earlier"] is not None:
        facts["earlier"]["file"]["seen"] = None  # when the file was last looked at
    return facts
