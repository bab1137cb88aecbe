"""What lies in an output directory under names of ours: a run's, or somebody else's.

What no run of ours made is never moved and never written over: a new run is refused.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

from fsm_orchestrator.constants import (
    CHECKPOINT_FILE,
    EVENTS_FILE,
    EVIDENCE_DIRECTORY,
    INVOCATIONS_FILE,
    LOCK_FILE,
    LOGS_DIRECTORY,
    PRODUCT,
    REPORT_FILE,
)
from fsm_orchestrator.disk import peek
from fsm_orchestrator.disk.kinds import kind_of

RUN_FILES: Final = (CHECKPOINT_FILE, REPORT_FILE, EVENTS_FILE, INVOCATIONS_FILE)
_SIGNS: Final = {
    CHECKPOINT_FILE: f'"{PRODUCT}"',
    REPORT_FILE: f'"{PRODUCT}"',
    EVENTS_FILE: '"run_id"',
    INVOCATIONS_FILE: '"invocation"',
    LOCK_FILE: '"run_id"',
}
"""What is in the beginning of each file if a run of ours wrote it: found in a cut one, too."""
_BLOCK_BYTES: Final = 512
_LOG_NAME: Final = re.compile(
    r"\.?(gate\.)?[a-z][a-z0-9_]*\.[1-9][0-9]*\.(stdout\.log|stderr\.log|postmortem\.json)(\..+)?"
)

_EVIDENCE_NAME: Final = re.compile(r"\.?[a-z][a-z0-9_]*\.[1-9][0-9]*\.json(\..+)?")
_DIRECTORIES: Final = {LOGS_DIRECTORY: _LOG_NAME, EVIDENCE_DIRECTORY: _EVIDENCE_NAME}
"""The directories of a run, and the names of what a run of ours puts there."""


def is_of_a_run(output: Path) -> bool:
    """Return whether a run of ours has left a file that it wrote in the directory."""
    if not os.path.isdir(output):
        return False
    return any(sign in _beginning(output / name) for name, sign in _SIGNS.items())


def foreign_names(output: Path) -> tuple[str, ...]:
    """Return what has a name of ours in the directory, and no run of ours made.

    A directory in a file's place is not among them: the run itself says that it is in the way. A
    file that is empty, or begins with a block of zeros, holds nothing of anybody: a power cut
    leaves some.
    """
    is_ours = is_of_a_run(output)
    paths = () if is_ours else (output / name for name in RUN_FILES)
    found = [path.name for path in paths if _holds_something(path)]
    for name, pattern in _DIRECTORIES.items():
        place = output / name
        if os.path.lexists(place) and _is_foreign(place, pattern, is_ours=is_ours):
            found.append(name)
    return tuple(found)


def _holds_something(path: Path) -> bool:
    if not os.path.lexists(path) or os.path.isdir(path):
        return False
    status = os.lstat(path)
    if kind_of(status) is not None:
        return True
    try:
        return status.st_size > 0 and bool(peek.beginning(path)[:_BLOCK_BYTES].strip("\0"))
    except OSError:
        return True


def _is_foreign(place: Path, pattern: re.Pattern[str], *, is_ours: bool) -> bool:
    if os.path.islink(place) or not os.path.isdir(place):
        return not is_ours
    try:
        names = os.listdir(place)
    except OSError:
        return not is_ours
    return bool(names) and not (is_ours and any(map(pattern.fullmatch, names)))


def _beginning(path: Path) -> str:
    try:
        return peek.beginning(path)
    except OSError:
        return ""
