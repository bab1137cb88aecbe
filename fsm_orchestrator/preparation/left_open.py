"""The attempts that another run in the directory left open: their processes may still be there."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Final

from fsm_orchestrator.errors import CheckpointError
from fsm_orchestrator.model.open_attempt import AttemptRecord
from fsm_orchestrator.record import checkpoint_reader

NO_RECORD: Final = frozenset({errno.EISDIR, errno.EINVAL, errno.EFBIG})
"""The errors for a directory, for a file that is not regular, and for one that is too large."""


def attempts_left_open(output: Path) -> tuple[AttemptRecord, ...]:
    """Return the attempts that the checkpoint in a directory has open, where known.

    Raises:
        CheckpointError: there is a file that cannot be read now; it may name a process.
    """
    try:
        found = checkpoint_reader.load(output)
    except CheckpointError as error:
        cause = error.__cause__
        if isinstance(cause, OSError) and cause.errno not in NO_RECORD:
            raise
        return ()
    where = checkpoint_reader.where_is(found, output)
    return found.open_attempts if where.has_processes else ()
