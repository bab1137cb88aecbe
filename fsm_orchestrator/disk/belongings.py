"""The contents of an output directory under this program's names: a run's, or somebody else's.

Anything that no run has made is never moved or overwritten: a new run is refused.
"""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path
from typing import Final

from fsm_orchestrator.constants import (
    APPROVALS_DIRECTORY,
    CHECKPOINT_FILE,
    EVENTS_FILE,
    EVIDENCE_DIRECTORY,
    IGNORE_FILE,
    INVOCATIONS_FILE,
    LOCK_FILE,
    LOGS_DIRECTORY,
    NOTICES_FILE,
    PRODUCT,
    REPORT_FILE,
    SCHEMA_VERSION,
    STATE_NAME_PATTERN,
    TAMPERED_DIRECTORY,
)
from fsm_orchestrator.disk import files, peek
from fsm_orchestrator.disk.held import HeldDirectory
from fsm_orchestrator.disk.kinds import kind_of
from fsm_orchestrator.text.late_pattern import late_pattern

RUN_FILES: Final = (CHECKPOINT_FILE, REPORT_FILE, EVENTS_FILE, INVOCATIONS_FILE, NOTICES_FILE)
_SIGNS: Final = {
    CHECKPOINT_FILE: f'"{PRODUCT}"',
    REPORT_FILE: f'"{PRODUCT}"',
    EVENTS_FILE: '"run_id"',
    INVOCATIONS_FILE: '"invocation"',
    LOCK_FILE: '"run_id"',
}
"""The text near the beginning of each file that shows that a run wrote it, even if cut off."""
_BEGINNINGS: Final = {
    CHECKPOINT_FILE: f'{{"schema_version":{SCHEMA_VERSION},"product":"',
    REPORT_FILE: f'{{\n  "schema_version": {SCHEMA_VERSION},\n  "product": "',
    EVENTS_FILE: '{"seq": 1, "at": "',
}
"""The beginning of each file: a part of it remains where a power cut has left the file shorter."""
_BLOCK_BYTES: Final = 512
_LOG_NAME: Final = late_pattern(
    r"\.?(gate\.)?[a-z][a-z0-9_]*\.[1-9][0-9]*(\.verify\.[1-9][0-9]*)?"
    r"\.(stdout\.log|stderr\.log|postmortem\.json|protected\.json|meter\.jsonl)(\..+)?"
    r"|telemetry\.jsonl"
)

_EVIDENCE_NAME: Final = late_pattern(r"\.?[a-z][a-z0-9_]*\.[1-9][0-9]*\.json(\..+)?")
_APPROVAL_NAME: Final = late_pattern(
    r"\.?[a-z][a-z0-9_]*\.[1-9][0-9]*\.(request|used|artifact|approve|deny|withdraw)\..+"
)
_DIRECTORIES: Final = {
    LOGS_DIRECTORY: _LOG_NAME,
    EVIDENCE_DIRECTORY: _EVIDENCE_NAME,
    APPROVALS_DIRECTORY: _APPROVAL_NAME,
    TAMPERED_DIRECTORY: late_pattern(r"\.?orchestrator_[a-z_]+\.jsonl?\.[1-9][0-9]*(\..+)?"),
}
"""The directories of a run, and the names that a run gives to the files in them."""
_OF_GATES: Final = {
    LOGS_DIRECTORY: late_pattern(
        rf"gate\.{STATE_NAME_PATTERN}\.[1-9][0-9]*\.(stdout|stderr)\.log"
        rf"|{STATE_NAME_PATTERN}\.[1-9][0-9]*\.protected\.json"
    ),
    EVIDENCE_DIRECTORY: late_pattern(rf"{STATE_NAME_PATTERN}\.[1-9][0-9]*\.json"),
    APPROVALS_DIRECTORY: late_pattern(
        rf"{STATE_NAME_PATTERN}\.[1-9][0-9]*\.(request\.json|used\.json|artifact\..+)"
    ),
}
"""The names of the files that exist before the first step of a run is durable: the records of its
gates, and of what it protects."""


RUN_DIRECTORIES: Final = tuple(_DIRECTORIES)


def has_name_of_a_run(directory: str, name: str) -> bool:
    """Return whether a run gives this name to a file in one of its directories."""
    return _DIRECTORIES[directory].fullmatch(name) is not None


def is_of_a_run(output: Path) -> bool:
    """Return whether a run has left a file that it wrote in the directory."""
    before = os.path.join(output, "")
    if not os.path.isdir(before):
        return False
    there = {name for name in {*_SIGNS, *RUN_FILES} if os.path.lexists(before + name)}
    return any(
        _is_of_ours(name, _beginning(output / name)) for name in _SIGNS if name in there
    ) or (
        not there.isdisjoint(RUN_FILES)
        and any(_is_of_gates(output / name, names) for name, names in _OF_GATES.items())
    )


def foreign_names(output: Path) -> tuple[str, ...]:
    """Return this program's names in the directory that are on something no run has made.

    A directory in place of a file is not among them: the run itself reports that it is in the way.
    A file that is empty, or begins with a block of zeros, is nobody's: a power cut leaves such
    files.
    """
    if not os.path.isdir(output):
        return ()
    is_ours = is_of_a_run(output)
    paths = () if is_ours else (output / name for name in RUN_FILES)
    found = [path.name for path in paths if _holds_something(path)]
    for name, pattern in _DIRECTORIES.items():
        place = output / name
        if os.path.lexists(place) and _is_foreign(place, pattern, is_ours=is_ours):
            found.append(name)
    return tuple(found)


def shield_from_git(made: HeldDirectory) -> None:
    """Make git ignore the contents of a directory that a run has made.

    Nothing depends on it. An existing ignore file is somebody's own, and stays.
    """
    with contextlib.suppress(OSError):
        descriptor = files.make_new(made.path / IGNORE_FILE, within=made)
        try:
            files.write_all(descriptor, b"*\n")
        finally:
            os.close(descriptor)


def _is_of_ours(name: str, text: str) -> bool:
    """Return whether a run wrote a file, by its beginning up to a hole that a power cut left."""
    if _SIGNS[name] in text or name not in _BEGINNINGS:
        return _SIGNS[name] in text
    kept, whole = text.split("\0", 1)[0], _BEGINNINGS[name]
    return bool(kept) and whole.startswith(kept[: len(whole)])


def _is_of_gates(place: Path, pattern: re.Pattern[str]) -> bool:
    """Return whether a directory is not empty, and has only names that gates give."""
    try:
        names = os.listdir(place)
    except OSError:
        return False
    return bool(names) and all(map(pattern.fullmatch, names))


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
