"""Read the record of a run, and the invocations that were moved out of it."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from fsm_orchestrator.model.invocation import InvocationRecord
from fsm_orchestrator.record import checkpoint_reader
from fsm_orchestrator.record.checkpoint import Checkpoint
from fsm_orchestrator.record.earlier import MovedInvocation
from tests.support.command import CHECKPOINT, EVENTS, INVOCATIONS


def checkpoint_in(directory: Path) -> Checkpoint | None:
    """Return the record in a directory, as a resume finds it, or None if there is none.

    A torn record, whose events were lost before any step was durable, counts as none: nothing was
    started then, which `assert_truth` checks. Any other bad one fails the test.
    """
    files = (CHECKPOINT, EVENTS, INVOCATIONS)
    content = [
        path.read_bytes() if path.exists() else b"" for path in map(directory.joinpath, files)
    ]
    return _loaded(directory, *content) if (directory / CHECKPOINT).exists() else None


@lru_cache(maxsize=8)
def _loaded(directory: Path, *content: bytes) -> Checkpoint | None:
    """Read a record only once: it is used several times, and reading is most of the work."""
    try:
        return checkpoint_reader.load(directory)
    except checkpoint_reader.TornError:
        assert b'"stage.started"' not in content[1], "a step was durable, and more was done"
        return None


def history_of(kept: Checkpoint, directory: Path) -> list[InvocationRecord]:
    """Return every invocation, from either place, once."""
    moved_count = 0 if kept.earlier is None else kept.earlier.totals.last_number
    lines = (directory / INVOCATIONS).read_bytes().splitlines()[:moved_count] if moved_count else ()
    moved = [MovedInvocation.model_validate_json(line).invocation for line in lines]
    found = [*moved, *kept.invocations]
    assert [one.number for one in found] == list(range(1, 1 + len(found)))
    return found
