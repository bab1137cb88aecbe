"""Claim a run for one invocation: make its next epoch from the one before, by one rename."""

from __future__ import annotations

import os
from pathlib import Path

from fsm_orchestrator.disk.epochs import Epoch


def claim_epoch(run_directory: str | os.PathLike[str], number: int, attempt: int) -> Epoch:
    """Make an epoch the record of a run, from the record before it; return it.

    To be called when the engine says that the holder before is gone: its lease has run out, or it
    has said that it ended.

    Args:
        run_directory: the run, made if it does not exist.
        number: the number of the invocation, from 1.
        attempt: the engine's attempt at that invocation, from 1.

    Raises:
        FencedError: this epoch or a later one was claimed before; nothing was changed.
        OperationError: it cannot be made.
    """
    epoch = Epoch(Path(os.path.abspath(run_directory)), number, attempt)
    epoch.directory.mkdir(parents=True)
    epoch.confirm()
    return epoch
