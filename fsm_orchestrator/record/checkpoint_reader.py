"""Reads a checkpoint without trusting it.

A file that cannot be read, does not parse, holds an unknown or duplicate key, is of another
version, embeds a lifecycle that would be refused, or has a history that is not a walk over it
raises CheckpointError with file and reason. The file is left unchanged.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NoReturn

from pydantic import ValidationError

from fsm_orchestrator.constants import CHECKPOINT_FILE, PRODUCT, SCHEMA_VERSION
from fsm_orchestrator.disk import files
from fsm_orchestrator.disk.peek import read_record
from fsm_orchestrator.errors import CheckpointError, LifecycleError
from fsm_orchestrator.lifecycle import reading
from fsm_orchestrator.record import history_check, rebuilding, side_file
from fsm_orchestrator.record.checkpoint import Checkpoint
from fsm_orchestrator.record.home import Whereabouts, is_at, output_of
from fsm_orchestrator.record.rebuilding import Rebuilt
from fsm_orchestrator.secrets import private_file
from fsm_orchestrator.secrets.private_file import PrivateFile
from fsm_orchestrator.text.hidden import copyable, quoted
from fsm_orchestrator.text.phrases import described

if TYPE_CHECKING:
    from fsm_orchestrator.record.relocation import Relocation

SMALL_BYTES_MAX: Final = 1024 * 1024
ENTRIES_MAX: Final = 250_000
"""A number above that of the arguments a program can take, and of the invocations that fit in the
largest file."""
KEYS_MAX: Final = 10_000
_BEGINNING: Final = b'{"schema_version":'
_END: Final = b"}\n"
_HOLE: Final = bytes(512)
"""The content of a block of a file that was not yet written when the power was cut."""
REMEDY = (
    "put a good checkpoint back, or start a new run without --resume (what is here is archived)"
)


class TornError(CheckpointError):
    """An unsynced file after a power cut: cut off, or with holes."""


class SavedRun(NamedTuple):
    """The files that a run has left for a resume.

    Attributes:
        checkpoint: its record.
        private: its private file; None if it had none, it can no longer be used, or it is that of
            another directory, of which this is a copy.
        relocation: how its paths have changed since it was written; None if they have not.
        rebuilt: how the record was rebuilt from the events; None if it was not.
        as_kept: the record as it was found, with its paths unchanged.
        where: the place of the record relative to the directory that it was written in.
        data: the bytes of the checkpoint.
        private_data: the bytes of the private file; None if there is none.
    """

    checkpoint: Checkpoint
    private: PrivateFile | None
    relocation: Relocation | None = None
    rebuilt: Rebuilt | None = None
    as_kept: Checkpoint | None = None
    where: Whereabouts = Whereabouts.HOME
    data: bytes = b""
    private_data: bytes | None = None


def load_saved(output_directory: Path) -> SavedRun:
    """Read the files that a run has left.

    Raises:
        CheckpointError: there is no checkpoint, or it cannot be used.
    """
    checkpoint, rebuilt, data = _load(output_directory)
    ref = checkpoint.private_ref
    where = where_is(checkpoint, output_directory)
    has_values = ref is not None and where.has_values
    private_data = private_file.read(ref, output_directory) if ref and has_values else None
    private = None if private_data is None else private_file.parsed(private_data)
    relocation = _relocation(checkpoint, output_directory, where)
    here = checkpoint if relocation is None else relocation.checkpoint(checkpoint)
    return SavedRun(here, private, relocation, rebuilt, checkpoint, where, data, private_data)


def load(output_directory: Path) -> Checkpoint:
    """Read the checkpoint of an output directory, with its paths as they are now.

    Raises:
        CheckpointError: there is none, or it cannot be used.
    """
    checkpoint, *_ = _load(output_directory)
    relocation = _relocation(checkpoint, output_directory, where_is(checkpoint, output_directory))
    return checkpoint if relocation is None else relocation.checkpoint(checkpoint)


def where_is(checkpoint: Checkpoint, directory: Path) -> Whereabouts:
    """Return the place of a record that was found in `directory`, which may be in an archive."""
    home, output = checkpoint.home, output_of(directory)
    if is_at(home, output):
        return Whereabouts.HOME
    from fsm_orchestrator.record.whereabouts import whereabouts  # noqa: PLC0415 - rare

    return whereabouts(home, output, checkpoint.run_id)


def _relocation(checkpoint: Checkpoint, directory: Path, where: Whereabouts) -> Relocation | None:
    output = output_of(directory)
    if checkpoint.home.directory == str(output) == str(directory):
        return None
    from fsm_orchestrator.record.relocation import archived, relocation_of  # noqa: PLC0415 - rare

    moved = relocation_of(checkpoint, directory, where)
    return moved if output == directory else archived(checkpoint, directory, moved)


def _load(output_directory: Path) -> tuple[Checkpoint, Rebuilt | None, bytes]:
    path = output_directory / CHECKPOINT_FILE
    try:
        data = read_record(path)
    except FileNotFoundError:
        raise CheckpointError(
            f"there is nothing to resume: {copyable(path)} does not exist",
            remedy=_remedy_of_none(output_directory),
        ) from None
    except OSError as error:
        raise CheckpointError(
            f"cannot read {copyable(path)}: {files.reason(error)}", remedy=REMEDY
        ) from error
    checkpoint, rebuilt = _up_to_date(data, path)
    earlier, lost = side_file.checked(output_directory, checkpoint.earlier)
    if lost is not None:
        raise CheckpointError(
            f"cannot resume from {copyable(path)}: {lost}",
            remedy="restore the file, or start a new run without --resume (what is here"
            " is archived)",
        )
    return checkpoint.model_copy(update={"earlier": earlier}), rebuilt, data


def _remedy_of_none(output_directory: Path) -> str:
    """Return the remedy for a missing checkpoint: finish putting a run back, if one was begun."""
    from fsm_orchestrator.disk.restoring import half_restored, restore_command  # noqa: PLC0415 - rare

    name = half_restored(output_directory)
    if name is None:
        return "check the directory, or start a run without --resume"
    command = restore_command(output_directory, name)
    return f"putting back the archived run {name} was cut short: `{command}` finishes it"


def _up_to_date(data: bytes, path: Path) -> tuple[Checkpoint, Rebuilt | None]:
    """Read a checkpoint, and the steps that its events have beyond it."""
    try:
        found = parse(data, str(path))
        rebuilt = rebuilding.caught_up(found, path.parent)
    except TornError:
        try:
            rebuilt = rebuilding.made_again(path.parent)
        except OSError:
            rebuilt = None
        if rebuilt is None:
            raise
    except rebuilding.ContradictedError as error:
        _refuse(str(path), f"the events beside it say otherwise: {error}")
    except OSError as error:
        raise CheckpointError(
            f"cannot resume from {copyable(path)}: the events beside it cannot be read:"
            f" {files.reason(error)}",
            remedy=REMEDY,
        ) from error
    else:
        if rebuilt is None:
            return found, None
    return _proved(rebuilt.checkpoint, f"{copyable(path)} and its events"), rebuilt


def parse(data: bytes, name: str) -> Checkpoint:
    """Read a checkpoint from its bytes; `name` is the name of the file in messages.

    Raises:
        CheckpointError: it cannot be used.
    """
    return _proved(shaped(data, name), name)


def shaped(data: bytes, name: str) -> Checkpoint:
    """Read a checkpoint from its bytes, checking only its shape; `name` as in `parse`.

    Raises:
        CheckpointError: it does not have the shape of one.
    """
    if not data.strip():
        raise _unreadable(data, name, "it is empty")
    _check_envelope(data, name)
    try:
        return Checkpoint.model_validate_json(data)
    except ValidationError as error:
        from fsm_orchestrator.text.validation import problems  # noqa: PLC0415 - rare

        _refuse(name, problems(error)[0].text)


def contradiction_in(checkpoint: Checkpoint) -> str | None:
    """Return the first contradiction in a record's history, with its field, or None."""
    return history_check.problem_of(checkpoint)


def _proved(checkpoint: Checkpoint, name: str) -> Checkpoint:
    """Return a record, refusing one that no run leaves."""
    try:
        reading.check(checkpoint.lifecycle, name)
    except LifecycleError as error:
        _refuse(name, f"lifecycle: {error}")
    contradiction = history_check.problem_of(checkpoint)
    if contradiction is not None:
        _refuse(name, contradiction)
    return checkpoint


def _check_envelope(data: bytes, name: str) -> None:
    """Refuse what pydantic would accept or explain badly: duplicate keys, NaN, version, product."""
    try:
        document = json.loads(
            data.decode(), object_pairs_hook=_refuse_doubled, parse_constant=_refuse_constant
        )
    except UnicodeDecodeError as error:
        _refuse(name, f"byte {error.start} is not UTF-8")
    except json.JSONDecodeError as error:
        said = f"line {error.lineno} column {error.colno}: {error.msg.lower()}"
        raise _unreadable(data, name, said) from error
    except RecursionError:
        _refuse(name, "it is nested too deeply")
    except ValueError as error:
        _refuse(name, str(error))
    if not isinstance(document, dict) or document.get("product") != PRODUCT:
        _refuse(name, f"it is not a checkpoint of {PRODUCT}")
    version = document.get("schema_version")
    if version != SCHEMA_VERSION or isinstance(version, bool):
        _refuse(
            name,
            f"schema_version: this program reads version {SCHEMA_VERSION}, the file says"
            f" {described(version)}",
        )
    if len(data) > SMALL_BYTES_MAX:
        _refuse_bulk(document, name)


def _refuse_bulk(document: Any, name: str) -> None:
    """Refuse bulk that no run leaves and that every reader would need a gigabyte to reject."""
    rest = [document]
    while rest:
        part = rest.pop()
        if not isinstance(part, dict | list):
            continue
        if len(part) > (ENTRIES_MAX if isinstance(part, list) else KEYS_MAX):
            what = "entries" if isinstance(part, list) else "keys"
            _refuse(name, f"it has {len(part)} {what} in one place, more than any run leaves")
        rest.extend(part if isinstance(part, list) else part.values())


def _refuse_doubled(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document: dict[str, Any] = {}
    for key, value in pairs:
        if key in document:
            raise ValueError(f"the key {quoted(key)} is twice in one object")
        document[key] = value
    return document


def _refuse_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _unreadable(data: bytes, name: str, why: str) -> CheckpointError:
    """Return the error for a file that is not JSON: torn, if a power cut can have left it so."""
    is_cut = data.startswith(_BEGINNING[: len(data)]) and not data.endswith(_END)
    is_torn = is_cut or _HOLE in data or not data.strip(b"\0")
    kind = TornError if is_torn else CheckpointError
    return kind(f"cannot resume from {copyable(name)}: {why}", remedy=REMEDY)


def _refuse(name: str, why: str) -> NoReturn:
    raise CheckpointError(f"cannot resume from {copyable(name)}: {why}", remedy=REMEDY)
