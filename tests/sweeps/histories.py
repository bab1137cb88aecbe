"""Read the record of a run, and the invocations that were moved out of it."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from fsm_orchestrator.model.invocation import InvocationRecord
from fsm_orchestrator.record import checkpoint_reader
from fsm_orchestrator.record.checkpoint import Checkpoint
from fsm_orchestrator.record.earlier import MovedInvocation
from tests.support.command import CHECKPOINT, INVOCATIONS


def checkpoint_in(directory: Path) -> Checkpoint | None:
    """Return the checkpoint in a directory, None if there is none. A bad one fails the test."""
    path = directory / CHECKPOINT
    return _parsed(path.read_bytes()) if path.exists() else None


@lru_cache(maxsize=8)
def _parsed(checkpoint: bytes) -> Checkpoint:
    """Read a checkpoint once: it is looked at several times, and reading is most of the work."""
    return checkpoint_reader.parse(checkpoint, CHECKPOINT)


def history_of(kept: Checkpoint, directory: Path) -> list[InvocationRecord]:
    """Return every invocation, from either place; each is there once."""
    moved_count = 0 if kept.earlier is None else kept.earlier.totals.last_number
    lines = (directory / INVOCATIONS).read_bytes().splitlines()[:moved_count] if moved_count else ()
    moved = [MovedInvocation.model_validate_json(line).invocation for line in lines]
    found = [*moved, *kept.invocations]
    assert [one.number for one in found] == list(range(1, 1 + len(found)))
    return found
