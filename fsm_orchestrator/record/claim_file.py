"""The file in each epoch that says who has claimed the run, when, and from which epoch."""

from __future__ import annotations

import os
from pathlib import Path

from fsm_orchestrator.clock import SystemClock, timestamp
from fsm_orchestrator.constants import EPOCH_FILE
from fsm_orchestrator.disk import files, peek
from fsm_orchestrator.disk.epochs import Epoch
from fsm_orchestrator.disk.held import HeldDirectory
from fsm_orchestrator.errors import CheckpointError
from fsm_orchestrator.processes.table import boot
from fsm_orchestrator.text.hidden import copyable
from fsm_orchestrator.text.json_output import json_text


def write(epoch: Epoch, before: Path | None, made: HeldDirectory) -> None:
    """Write who claimed the run. An epoch is never empty, so no other can be renamed onto it."""
    said = {
        "number": epoch.number,
        "attempt": epoch.attempt,
        "before": None if before is None else before.name,
        "host": os.uname().nodename,
        "boot": boot(),
        "claimed_at": timestamp(SystemClock().now()),
    }
    descriptor = files.make_new(made.path / EPOCH_FILE, within=made)
    try:
        files.write_all(descriptor, json_text(said).encode() + b"\n")
        files.sync(descriptor)
    finally:
        os.close(descriptor)


def refuse_unclaimed(latest: Path) -> None:
    """Refuse to continue from a directory that no claim made: the run would start over, or repeat.

    Raises:
        CheckpointError: its claim file does not match its name.
    """
    said = peek.document(latest / EPOCH_FILE)
    number, attempt = said.get("number"), said.get("attempt")
    if (
        isinstance(number, int)
        and isinstance(attempt, int)
        and Epoch(latest, number, attempt).name == latest.name
    ):
        return
    raise CheckpointError(
        f"{copyable(latest)} is named like the latest epoch of the run, but nobody has claimed it",
        remedy="find out who made it, and move it away; the record is in the one before",
    )
