"""Reads a few facts of a checkpoint without pydantic: run id, private file, names of secrets.

The only lenient reader: what cannot be resumed can still be archived, completed and looked at.
Decides nothing: a resume asks `record.checkpoint_reader`. A caller that hides values asks whether
the file could be understood at all, and counts every value as lost if not.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from fsm_orchestrator.constants import CHECKPOINT_FILE, RUN_ID_PATTERN
from fsm_orchestrator.disk import files

RECORD_BYTES_MAX: Final = 64 * 1024 * 1024
"""The largest report, checkpoint or lifecycle that is read."""
PRIVATE_REF_PATTERN: Final = r"[0-9a-f]{32}"
_BEGINNING_BYTES: Final = 4096
_SPACE: Final = re.compile(r"[ \t\r\n]*")


class PrivateFacts(NamedTuple):
    """A run's private file and secrets, as its checkpoint names them.

    Attributes:
        ref: the file's name; None if the run has none or the name is not known.
        secret_keys: the names of all secrets that were declared.
        is_known: false if the checkpoint cannot be understood.
    """

    ref: str | None = None
    secret_keys: tuple[str, ...] = ()
    is_known: bool = True


class Standpoint(NamedTuple):
    """Where a checkpoint says that its run stands, and which lifecycle it follows.

    Attributes:
        run_id: the run's id.
        current_state: the state that it is in.
        lifecycle_sha256: the digest of the lifecycle.
    """

    run_id: str
    current_state: str
    lifecycle_sha256: str


_NOT_UNDERSTOOD: Final = PrivateFacts(is_known=False)


def document(path: Path) -> Mapping[str, Any]:
    """Read the JSON object in a file of a run; empty if there is none to read."""
    try:
        found = json.loads(files.read_bounded(path, RECORD_BYTES_MAX))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def run_id(path: Path) -> str | None:
    """Return the run id that a report or checkpoint names; None if it names no legal one."""
    found = document(path).get("run_id")
    return found if isinstance(found, str) and re.fullmatch(RUN_ID_PATTERN, found) else None


def leading_run_id(path: Path) -> str | None:
    """Return the run id at the beginning of a report or checkpoint; None if there is none."""
    try:
        found = _leading_member(beginning(path), "run_id")
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, str) and re.fullmatch(RUN_ID_PATTERN, found) else None


def private_facts(output_directory: Path, text: str | None = None) -> PrivateFacts:
    """Return what the run in a directory has that is private. Without a checkpoint it is nothing.

    Reads only the beginning of the file if that says it, as in every file we write; `text` is that
    beginning, where the caller has read it.
    """
    path = output_directory / CHECKPOINT_FILE
    if not os.path.lexists(path):
        return PrivateFacts()
    try:
        text = beginning(path) if text is None else text
        ref, keys = (_leading_member(text, name) for name in ("private_ref", "secret_keys"))
    except (OSError, ValueError, RecursionError):
        whole = document(path)
        if "private_ref" not in whole or "secret_keys" not in whole:
            return _NOT_UNDERSTOOD
        ref, keys = whole["private_ref"], whole["secret_keys"]
    is_ref = isinstance(ref, str) and re.fullmatch(PRIVATE_REF_PATTERN, ref) is not None
    are_keys = isinstance(keys, list) and all(isinstance(one, str) for one in keys)
    if not (is_ref or ref is None) or not are_keys:
        return _NOT_UNDERSTOOD
    return PrivateFacts(ref, tuple(keys))


def standpoint(text: str) -> Standpoint | None:
    """Return where a run stands, by the beginning of its checkpoint; None where it does not say."""
    try:
        return Standpoint(
            *(_leading_member(text, name) for name in Standpoint._fields),
        )
    except (ValueError, RecursionError):
        return None


def beginning(path: Path) -> str:
    """Return the first 4 KiB of a file, as text.

    Raises:
        OSError: it cannot be read, or is not a regular file.
    """
    descriptor = files.open_regular(path)
    try:
        return os.read(descriptor, _BEGINNING_BYTES).decode(errors="ignore")
    finally:
        os.close(descriptor)


def _leading_member(text: str, key: str) -> Any:
    """Return the value of a member of the JSON object that a text begins, however it is spaced.

    Raises:
        ValueError: the text has no such member, or is cut before the end of its value.
    """
    decoder = json.JSONDecoder()

    def after(at: int, mark: str) -> int:
        at = _SPACE.match(text, at).end()  # type: ignore[union-attr]  # matches everywhere
        if not text.startswith(mark, at):
            raise ValueError(f"{mark!r} is missing")
        return _SPACE.match(text, at + 1).end()  # type: ignore[union-attr]  # as above

    at = after(0, "{")
    while True:
        name, at = decoder.raw_decode(text, at)
        value, end = decoder.raw_decode(text, after(at, ":"))
        at = after(end, ",")  # a number at the end of the text may be cut
        if name == key:
            return value
