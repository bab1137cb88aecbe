"""The trust in a record: how it differs from the one that was left, or why that is not known."""

from __future__ import annotations

from enum import StrEnum
from typing import assert_never

from fsm_orchestrator.constants import CHECKPOINT_FILE, EVENTS_FILE, REPORT_FILE
from fsm_orchestrator.model.base import Ordinal, Sha256, StrictModel
from fsm_orchestrator.model.declared import Field
from fsm_orchestrator.text.phrases import listed


class RecordFile(StrEnum):
    """A file that this program keeps for a run."""

    CHECKPOINT = "checkpoint"
    EVENTS = "events"
    REPORT = "report"
    PRIVATE = "private_file"

    @property
    def words(self) -> str:
        """The file as text for people."""
        match self:
            case RecordFile.CHECKPOINT:
                return CHECKPOINT_FILE
            case RecordFile.EVENTS:
                return EVENTS_FILE
            case RecordFile.REPORT:
                return REPORT_FILE
            case RecordFile.PRIVATE:
                return "the run's private file"
            case _:
                assert_never(self)


class ChangeKind(StrEnum):
    """The change of such a file since it was left."""

    EDITED = "edited"
    OLDER = "older"
    CUT = "cut"
    REMOVED = "removed"
    OTHER_RUN = "other_run"

    @property
    def words(self) -> str:
        """The change as text that follows the name of the file."""
        match self:
            case ChangeKind.EDITED:
                return "was changed"
            case ChangeKind.OLDER:
                return "is an older one, put back"
            case ChangeKind.CUT:
                return "was cut short"
            case ChangeKind.REMOVED:
                return "was removed"
            case ChangeKind.OTHER_RUN:
                return "is another run's"
            case _:
                assert_never(self)


class RecordChange(StrictModel):
    """The way in which one file differs from what was left."""

    file: RecordFile = Field(description="Which file.")
    change: ChangeKind = Field(description="What was done to it.")
    line: Ordinal | None = Field(
        description="The line of the events that does not continue the one before it; null for"
        " other files, and where no single line is to blame."
    )

    @property
    def words(self) -> str:
        """The change as a sentence, for people."""
        at = "" if self.line is None else f" (line {self.line} does not continue the one before)"
        return f"{self.file.words} {self.change.words}{at}"


class DoubtCause(StrEnum):
    """The reason why it is not known whether a record is the one that was left."""

    NO_KEY = "no_key"
    OTHER_KEY = "other_key"
    NO_EVENTS = "no_events"

    @property
    def words(self) -> str:
        """The reason, as a clause."""
        match self:
            case DoubtCause.NO_KEY:
                return "there is no private state here that has its key"
            case DoubtCause.OTHER_KEY:
                return "it was kept with another key than the one here"
            case DoubtCause.NO_EVENTS:
                return "its events are gone"
            case _:
                assert_never(self)


class Doubt(StrictModel):
    """A record that a run continued from without knowing whether it is the one that was left."""

    cause: DoubtCause = Field(description="Why that was not known.")
    sha256: Sha256 = Field(
        description="The digest of the record as it was found, by which it can be accepted."
    )
    invocation: Ordinal = Field(description="The first invocation that continued from it.")


class Acceptance(StrictModel):
    """A record that somebody accepted as it was found, with --accept-record."""

    sha256: Sha256 = Field(description="Its digest: of checkpoint and events as they were.")
    changes: tuple[RecordChange, ...] = Field(
        description="How it differed from what had been left; empty where that was not known."
    )
    doubt: DoubtCause | None = Field(
        description="Why it was not known whether it differed; null where it was known to differ."
    )

    @property
    def words(self) -> str:
        """The accepted record as text for people."""
        if self.doubt is not None:
            return f"whose origin could not be checked: {self.doubt.words}"
        return listed([one.words for one in self.changes])
