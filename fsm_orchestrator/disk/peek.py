"""Reads a few facts from a checkpoint without pydantic: run id, private file, names of secrets.

The only lenient reader: a run that cannot be resumed can still be archived, completed and looked
at. It decides nothing: a resume uses `record.checkpoint_reader`. A caller that hides values checks
whether the file could be understood at all, and counts every value as lost if not.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from fsm_orchestrator.constants import CHECKPOINT_FILE, RUN_ID_PATTERN
from fsm_orchestrator.disk import files

RECORD_BYTES_MAX: Final = 64 * 1024 * 1024
"""The size of the largest report, checkpoint or lifecycle that is read."""
RECORD_VALUES_MAX: Final = 500_000
"""The most values that a record may have: small ones take a hundred times their size in memory."""
PRIVATE_REF_PATTERN: Final = r"[0-9a-f]{32}"
_BEGINNING_BYTES: Final = 4096
_DECODER: Final = json.JSONDecoder()
_SPACE: Final = re.compile(r"[ \t\r\n]*")


class PrivateFacts(NamedTuple):
    """A run's private file and secrets, as its checkpoint names them.

    Attributes:
        ref: the file's name; None if the run has none or the name is not known.
        secret_keys: the names of all secrets that were declared.
        refs_before: the files of the runs that it was copied from.
        is_known: False if the checkpoint cannot be understood.
    """

    ref: str | None = None
    secret_keys: tuple[str, ...] = ()
    refs_before: tuple[str, ...] = ()
    is_known: bool = True


class Standpoint(NamedTuple):
    """The state and the lifecycle of a run, as its checkpoint names them.

    Attributes:
        run_id: the run's id.
        current_state: the state that it is in.
        lifecycle_sha256: the digest of the lifecycle.
    """

    run_id: str
    current_state: str
    lifecycle_sha256: str


_NOT_UNDERSTOOD: Final = PrivateFacts(is_known=False)
_LEADING: Final = frozenset({"private_ref", "secret_keys", "home", *Standpoint._fields})
"""The members at the beginning of a checkpoint that are looked for."""
_BEHIND: Final = ',"lifecycle":{'
"""The text that follows them. A string in JSON contains no bare quotation mark."""


def has_too_many_values(text: bytes | bytearray) -> bool:
    """Return whether a JSON text may have more values than any record, judging by its commas."""
    return len(text) > RECORD_VALUES_MAX and text.count(b",") > RECORD_VALUES_MAX


def read_record(path: Path, *, is_link_good: bool = False) -> bytes:
    """Read a report or checkpoint. `is_link_good` as in `open_regular`.

    Raises:
        OSError: it cannot be read, is not a regular file, or has more than any record has.
    """
    data = files.read_bounded(path, RECORD_BYTES_MAX, is_link_good=is_link_good)
    refuse_too_many_values(data, path)
    return data


def refuse_too_many_values(text: bytes | bytearray, path: Path) -> None:
    """Raise OSError if the text of a record has more values than any record has."""
    if has_too_many_values(text):
        said = f"more than {RECORD_VALUES_MAX} values, which no run writes"
        raise OSError(errno.EFBIG, said, str(path))


def document(path: Path) -> Mapping[str, Any]:
    """Read the JSON object in a file of a run; empty if there is none."""
    try:
        found = json.loads(read_record(path))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def run_id(path: Path) -> str | None:
    """Return the run id that a report or checkpoint names, or None if it names no valid one."""
    return run_id_in(document(path))


def run_id_in(record: Mapping[str, Any]) -> str | None:
    """Return the run id in a record that was read, or None if it has no valid one."""
    found = record.get("run_id")
    return found if isinstance(found, str) and re.fullmatch(RUN_ID_PATTERN, found) else None


def leading_run_id(path: Path) -> str | None:
    """Return the run id at the beginning of a report or checkpoint, or None if there is none."""
    try:
        found = leading(beginning(path), frozenset({"run_id"})).get("run_id")
    except OSError:
        return None
    return found if isinstance(found, str) and re.fullmatch(RUN_ID_PATTERN, found) else None


def private_facts(output_directory: Path, members: Mapping[str, Any] | None = None) -> PrivateFacts:
    """Return the private facts of the run in a directory; none without a checkpoint.

    Reads only the beginning of the file if that has them, as in every file this program writes;
    `members` are the leading members, if the caller has read them.
    """
    path = output_directory / CHECKPOINT_FILE
    if members is None:
        if not os.path.lexists(path):
            return PrivateFacts()
        try:
            members = leading(beginning(path))
        except OSError:
            members = {}
    if "private_ref" not in members or "secret_keys" not in members:
        members = document(path)
        if "private_ref" not in members or "secret_keys" not in members:
            return _NOT_UNDERSTOOD
    ref, keys = members["private_ref"], members["secret_keys"]
    is_ref = _is_ref(ref)
    are_keys = isinstance(keys, list) and all(isinstance(one, str) for one in keys)
    if not (is_ref or ref is None) or not are_keys:
        return _NOT_UNDERSTOOD
    return PrivateFacts(ref, tuple(keys), tuple(_refs_before(members.get("home"))))


def _refs_before(home: Any) -> Iterator[str]:
    """Yield the private files of the runs that a record was copied from."""
    copies = home.get("copied_from") if isinstance(home, dict) else None
    for one in copies if isinstance(copies, list) else ():
        if isinstance(one, dict) and _is_ref(one.get("private_ref")):
            yield one["private_ref"]


def _is_ref(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(PRIVATE_REF_PATTERN, value) is not None


def standpoint(members: Mapping[str, Any]) -> Standpoint | None:
    """Return the standpoint in the leading members of a checkpoint, or None if one is missing."""
    try:
        return Standpoint(*(members[name] for name in Standpoint._fields))
    except KeyError:
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


def leading(text: str, names: frozenset[str] = _LEADING) -> Mapping[str, Any]:
    """Return the members of the JSON object at the start of a text that the text has whole.

    Finds all of `names` among them, whatever the spacing, and whatever follows them.
    """
    found: dict[str, Any] = {}
    with contextlib.suppress(ValueError, RecursionError):
        if (end := text.find(_BEHIND)) >= 0:  # as in every file that this program writes
            return dict(json.loads(text[:end] + "}"))
    with contextlib.suppress(ValueError, RecursionError):
        at = _after(text, 0, "{")
        while len(found) < len(names):
            name, at = _DECODER.raw_decode(text, at)
            value, end = _DECODER.raw_decode(text, _after(text, at, ":"))
            at = _after(text, end, ",")  # a number at the end may be cut off
            if isinstance(name, str) and name in names:
                found.setdefault(name, value)
    return found


def _after(text: str, at: int, mark: str) -> int:
    """Return the position after a mark and the spaces around it.

    Raises:
        ValueError: something other than the mark is there.
    """
    at = _SPACE.match(text, at).end()  # type: ignore[union-attr]  # matches everywhere
    if not text.startswith(mark, at):
        raise ValueError(f"{mark!r} is missing")
    return _SPACE.match(text, at + 1).end()  # type: ignore[union-attr]  # as above
