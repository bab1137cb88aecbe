"""Rebuilds a checkpoint that a power cut took, or left behind its events, from them. Only reads.

The events are durable before the checkpoint takes its place, and the checkpoint is synced when an
invocation ends. So a power cut can leave an older one, or one that is no longer JSON; a kill can
leave one that lacks the last step. This program leaves no other difference.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pydantic import ValidationError

from fsm_orchestrator.constants import EVENTS_FILE
from fsm_orchestrator.disk import files
from fsm_orchestrator.model.invocation import RebuildCause, Rebuilding
from fsm_orchestrator.record.checkpoint import Checkpoint
from fsm_orchestrator.record.events_mark import (
    FOREIGN_LINES_MAX,
    LINE_BYTES_MAX,
    document_of,
    hole_in,
    lines_backwards,
    lost_in,
    start_of_line,
)
from fsm_orchestrator.text.digest import sha256_of
from fsm_orchestrator.text.hidden import copyable
from fsm_orchestrator.text.phrases import counted
from fsm_orchestrator.vocabulary import EventName

if TYPE_CHECKING:
    from fsm_orchestrator.record.events import EventLine

TOLD: Final = frozenset(
    {
        *(EventName.RECORD_BEGUN, EventName.RECORD_KEPT, EventName.INVOCATIONS_MOVED),
        *(EventName.TRANSITION, EventName.GATE_DECIDED, EventName.WARNING),
        *(EventName.ATTEMPT_BEGUN, EventName.ATTEMPT_INTERRUPTED),
        *(EventName.STAGE_ENDED, EventName.STAGE_SKIPPED, EventName.STAGE_RETRYING),
        *(EventName.CLOSURE_REFUSED, EventName.RECORDING_FAILED, EventName.RUN_ENDED),
        EventName.BUDGET_SPENT,
    }
)
"""The events that make up the record; the others only say how it came about."""
STEPS: Final = frozenset(
    {
        *(EventName.TRANSITION, EventName.ATTEMPT_BEGUN, EventName.STAGE_RETRYING),
        *(EventName.STAGE_ENDED, EventName.RUN_ENDED),
    }
)
"""Those of them that can make the events before them count."""
_NO_FILE: Final = frozenset({errno.ENOENT, errno.EISDIR, errno.EINVAL, errno.ELOOP})
_READ_BYTES: Final = 1024 * 1024


class Rebuilt(NamedTuple):
    """A checkpoint that was rebuilt.

    Attributes:
        checkpoint: the record as the events have it.
        how: why it was rebuilt, and from how many steps.
    """

    checkpoint: Checkpoint
    how: Rebuilding

    @property
    def is_torn(self) -> bool:
        """True if the checkpoint could not be read, so that the events alone made the record."""
        return self.how.cause is RebuildCause.TORN

    def sentence(self, path: Path) -> str:
        """Return what was done, as text for people; `path` is the checkpoint's."""
        return f"{copyable(path)} {self.how.words}"

    def finding(self, path: Path) -> str:
        """Return what was found, as text for people who only look; `path` as in `sentence`."""
        match self.how.cause:
            case RebuildCause.BEHIND:
                steps = counted(self.how.steps, "step")
                return f"{copyable(path)} is {steps} behind the events, which are used instead"
            case RebuildCause.TORN:
                return f"{copyable(path)} is torn, and the events are used instead"


class ContradictedError(ValueError):
    """A contradiction between the events and the checkpoint beside them."""


class _Line(NamedTuple):
    """A line of the events: its number and name, what it is chained to, and its text."""

    seq: int
    name: str
    prev: object
    text: bytes

    @property
    def digest(self) -> str:
        """The digest that the next line is chained to."""
        return sha256_of(self.text)


def caught_up(checkpoint: Checkpoint, directory: Path) -> Rebuilt | None:
    """Follow the events after a checkpoint; return None if it has all of them that count.

    Raises:
        ContradictedError: they cannot have followed, or they contradict the end of the record.
        OSError: they cannot be read.
    """
    path, mark = directory / EVENTS_FILE, checkpoint.events
    try:
        descriptor = files.open_regular(path)
    except OSError as error:
        if error.errno in _NO_FILE:
            return None  # a resume reports it
        raise
    try:
        if mark is not None and lost_in(descriptor, path, mark) is not None:
            return None  # likewise
        later = _lines_behind(checkpoint, descriptor)
    finally:
        os.close(descriptor)
    return _followed(checkpoint, later)


def _followed(checkpoint: Checkpoint, later: list[_Line]) -> Rebuilt | None:
    expected, head, following = checkpoint.last_event_seq, checkpoint.last_event_sha256, []
    for line in later:
        expected += 1
        if line.seq != expected:
            break  # a hole: nothing after it was durable
        if line.prev != head and line.name != EventName.CHAIN_GAP:
            raise ContradictedError(f"their event {line.seq} is not chained to the one before it")
        head = line.digest
        following.append(line)
    if all(line.name not in STEPS for line in following):
        return None
    from fsm_orchestrator.record.redo import ContradictionError, Redo  # noqa: PLC0415 - rare

    redo = Redo(checkpoint)
    try:
        for line in following:
            if line.name in TOLD:
                redo.follow(_parsed(line.text), line.digest)
    except ContradictionError as error:
        raise ContradictedError(str(error)) from error
    if not redo.steps or redo.kept is None:
        return None
    return Rebuilt(redo.kept, _how(RebuildCause.BEHIND, redo.steps))


def made_again(directory: Path) -> Rebuilt | None:
    """Rebuild a record from its events alone; return None if they do not have all of it.

    Raises:
        OSError: they cannot be read.
    """
    from fsm_orchestrator.record.redo import ContradictionError, Redo  # noqa: PLC0415 - rare

    descriptor = files.open_regular(directory / EVENTS_FILE)
    redo, expected = Redo(None), 0
    try:
        for line in _lines(descriptor):
            expected += 1
            if line.seq != expected:
                redo.forget()
                expected = line.seq
            if line.name in TOLD:
                try:
                    redo.follow(_parsed(line.text), line.digest)
                except ContradictionError:
                    redo.forget()
    finally:
        os.close(descriptor)
    return None if redo.kept is None else Rebuilt(redo.kept, _how(RebuildCause.TORN, redo.steps))


def _how(cause: RebuildCause, steps: int) -> Rebuilding:
    return Rebuilding(cause=cause, steps=steps)


def _parsed(text: bytes) -> EventLine:
    from fsm_orchestrator.record.events import parse_event  # noqa: PLC0415 - rare
    from fsm_orchestrator.record.redo import ContradictionError  # noqa: PLC0415 - rare

    try:
        return parse_event(text)
    except ValidationError as error:
        raise ContradictionError("they have a line that this program does not write") from error


def _lines_behind(checkpoint: Checkpoint, descriptor: int) -> list[_Line]:
    """Return the whole lines after the last event that a checkpoint knows of.

    The last transition before them is compared with the checkpoint's.

    Raises:
        ContradictedError: the record has another in its place, or none.
    """
    found: list[_Line] = []
    others = 0
    end = start_of_line(descriptor, os.fstat(descriptor).st_size)
    for text in lines_backwards(descriptor, end):
        line = _line_of(text)
        if line is not None and line.seq > checkpoint.last_event_seq:
            found.append(line)
        elif line is not None and line.name == EventName.TRANSITION:
            _check_last_step(checkpoint, json.loads(text))
            break
        else:
            others += 1
            if others > FOREIGN_LINES_MAX:
                break
    return found[::-1]


def _check_last_step(checkpoint: Checkpoint, told: dict[str, Any]) -> None:
    transition = told.get("transition")
    if told.get("run_id") != checkpoint.run_id or not isinstance(transition, dict):
        return
    seq, dest = transition.get("seq"), transition.get("dest")
    kept = next((one for one in checkpoint.transitions if one.seq == seq), None)
    if kept is not None:
        is_so = kept.dest == dest
    else:  # it has been moved out, or is one of several that were folded
        is_so = type(seq) is int and seq <= checkpoint.last_seq
    if not is_so:
        raise ContradictedError(f"their transition {seq} is to {dest!r}")


def _lines(descriptor: int) -> Iterator[_Line]:
    """Yield the whole lines of this program in an open file, from its start to the first hole."""
    rest, at = b"", 0
    end = hole_in(descriptor, 0, os.fstat(descriptor).st_size)
    while chunk := os.pread(descriptor, min(_READ_BYTES, end - at), at):
        at += len(chunk)
        *whole, rest = (rest + chunk).split(b"\n")
        if len(rest) > LINE_BYTES_MAX:
            return
        yield from (line for line in map(_line_of, whole) if line is not None)


def _line_of(text: bytes) -> _Line | None:
    document = document_of(text)
    if document is None:
        return None
    return _Line(document["seq"], str(document.get("event")), document.get("prev"), text)
