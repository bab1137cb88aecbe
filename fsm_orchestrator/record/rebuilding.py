"""A checkpoint that a power cut took, or left behind its events: made again from them. Reads only.

The events are durable before the checkpoint takes its place, and the checkpoint is synced when an
invocation ends. So a cut can leave an older one, or one that is no JSON any more; a kill can leave
one that lacks the last step. Any other difference is nothing that this program leaves.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from pydantic import ValidationError

from fsm_orchestrator.constants import EVENTS_FILE
from fsm_orchestrator.disk import files
from fsm_orchestrator.record.checkpoint import Checkpoint
from fsm_orchestrator.record.events_mark import (
    FOREIGN_LINES_MAX,
    LINE_BYTES_MAX,
    document_of,
    line_before,
    lost_events,
    start_of_line,
)
from fsm_orchestrator.text.phrases import counted
from fsm_orchestrator.vocabulary import EventName

if TYPE_CHECKING:
    from fsm_orchestrator.record.events import EventLine

_READ_BYTES: Final = 1024 * 1024


class Cause(StrEnum):
    """Why a checkpoint was made again from the events."""

    BEHIND = "behind"
    UNUSABLE = "unusable"


class Rebuilt(NamedTuple):
    """A checkpoint that was made again.

    Attributes:
        checkpoint: the record as the events have it.
        cause: why it was made.
        steps: how many steps were taken from the events.
    """

    checkpoint: Checkpoint
    cause: Cause
    steps: int

    def sentence(self, path: Path) -> str:
        """Return what was done, for a person; `path` is the checkpoint's."""
        match self.cause:
            case Cause.BEHIND:
                steps = counted(self.steps, "step")
                return f"{path} was {steps} behind the events, and was brought up to them"
            case Cause.UNUSABLE:
                return f"{path} was torn, and was made again from the events"


class ContradictedError(ValueError):
    """The events contradict the checkpoint beside them."""


class _Line(NamedTuple):
    """A line of the events: its number and name, and itself where it tells of the record."""

    seq: int
    name: str
    text: bytes


def caught_up(checkpoint: Checkpoint, directory: Path) -> Rebuilt | None:
    """Follow the events behind a checkpoint; None where it has all that counts of them.

    Raises:
        ContradictedError: they cannot have followed, or what the record ends with they say
            otherwise.
        OSError: they cannot be read.
    """
    path = directory / EVENTS_FILE
    if lost_events(path, checkpoint.events) is not None:
        return None  # it is told when the run is resumed
    try:
        descriptor = files.open_regular(path)
    except FileNotFoundError:
        return None
    try:
        size_bytes = os.fstat(descriptor).st_size
        later, end = _lines_after(descriptor, size_bytes, checkpoint.last_event_seq)
        _check_last_step(checkpoint, descriptor, end)
    finally:
        os.close(descriptor)
    return _followed(checkpoint, later)


def _followed(checkpoint: Checkpoint, later: list[_Line]) -> Rebuilt | None:
    expected, following = checkpoint.last_event_seq, []
    for line in later:
        expected += 1
        if line.seq != expected:
            break  # a hole: what is behind it was not durable
        following.append(line)
    from fsm_orchestrator.record.redo import STEPS, TOLD, ContradictionError, Redo  # noqa: PLC0415 - rare

    if all(line.name not in STEPS for line in following):
        return None
    redo = Redo(checkpoint)
    try:
        for line in following:
            if line.name in TOLD:
                redo.follow(_parsed(line.text))
    except ContradictionError as error:
        raise ContradictedError(str(error)) from error
    if not redo.steps or redo.kept is None:
        return None
    return Rebuilt(redo.kept, Cause.BEHIND, redo.steps)


def made_again(directory: Path) -> Rebuilt | None:
    """Make a record from its events alone; None where they do not have all of it.

    Raises:
        OSError: they cannot be read.
    """
    from fsm_orchestrator.record.redo import TOLD, ContradictionError, Redo  # noqa: PLC0415 - rare

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
                    redo.follow(_parsed(line.text))
                except ContradictionError:
                    redo.forget()
    finally:
        os.close(descriptor)
    return None if redo.kept is None else Rebuilt(redo.kept, Cause.UNUSABLE, redo.steps)


def _parsed(text: bytes) -> EventLine:
    from fsm_orchestrator.record.events import parse_event  # noqa: PLC0415 - rare
    from fsm_orchestrator.record.redo import ContradictionError  # noqa: PLC0415 - rare

    try:
        return parse_event(text)
    except ValidationError as error:
        raise ContradictionError("they have a line that this program does not write") from error


def _lines_after(descriptor: int, size_bytes: int, seq: int) -> tuple[list[_Line], int]:
    """Return the whole lines behind event `seq`, and where that one ends."""
    end, foreign = start_of_line(descriptor, size_bytes), 0
    found: list[_Line] = []
    while end > 0 and foreign < FOREIGN_LINES_MAX:
        text = line_before(descriptor, end)
        line = _line_of(text)
        if line is not None and line.seq <= seq:
            break
        if line is None:
            foreign += 1
        else:
            found.append(line)
        end = end - len(text) if text else start_of_line(descriptor, end - 1)
    return found[::-1], end


def _check_last_step(checkpoint: Checkpoint, descriptor: int, end: int) -> None:
    """Hold the last transition that the events have, up to the checkpoint's own, against it.

    Raises:
        ContradictedError: the record has another in its place, or none.
    """
    for _ in range(FOREIGN_LINES_MAX):
        text = line_before(descriptor, end)
        if not text:
            return
        line = _line_of(text)
        if line is not None and line.name == EventName.TRANSITION:
            break
        end -= len(text)
    else:
        return
    told = json.loads(text)
    if told.get("run_id") != checkpoint.run_id or not isinstance(told.get("transition"), dict):
        return
    seq, dest = (told["transition"].get(key) for key in ("seq", "dest"))
    kept = next((one for one in checkpoint.transitions if one.seq == seq), None)
    is_moved = checkpoint.last_seq >= seq and all(one.seq > seq for one in checkpoint.transitions)
    if (kept is None and not is_moved) or (kept is not None and kept.dest != dest):
        raise ContradictedError(f"their transition {seq} is to {dest!r}")


def _lines(descriptor: int) -> Iterator[_Line]:
    """Yield the whole lines of an open file that are ours, from its start."""
    rest, at = b"", 0
    while chunk := os.pread(descriptor, _READ_BYTES, at):
        at += len(chunk)
        *whole, rest = (rest + chunk).split(b"\n")
        if len(rest) > LINE_BYTES_MAX:
            return
        yield from (line for line in map(_line_of, whole) if line is not None)


def _line_of(text: bytes) -> _Line | None:
    document = document_of(text)
    if document is None:
        return None
    return _Line(document["seq"], str(document.get("event")), text)
