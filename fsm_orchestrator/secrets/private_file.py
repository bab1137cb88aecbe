"""The private file of a run: environment values and all else that must not be in its directory.

One file for each run, mode 0600, below the user's state directory (`XDG_STATE_HOME`, see the XDG
Base Directory Specification), which is never in the run's own directory. Settings stay until the
run is done, secrets only if that was requested; the key for comparing them stays a little longer,
so that a command repeated after `done` can be recognized. Old files are pruned.
"""

import contextlib
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from fsm_orchestrator.disk import files, stale
from fsm_orchestrator.disk.peek import PRIVATE_REF_PATTERN
from fsm_orchestrator.model import declared
from fsm_orchestrator.model.base import SchemaVersion, StrictModel
from fsm_orchestrator.model.declared import Field, StringConstraints
from fsm_orchestrator.secrets.state_directory import state_directory
from fsm_orchestrator.secrets.state_key import (
    Mac,
    MacVerdict,
    make_own_key,
    own_key,
    verdict_of,
    with_mac,
)
from fsm_orchestrator.text.late_pattern import late_pattern

PrivateRef = Annotated[str, StringConstraints(pattern=f"^{PRIVATE_REF_PATTERN}$")]
FILE_BYTES_MAX = 16 * 1024 * 1024
AGE_DAYS_MAX = 30
FILES_MAX = 1000
DAYS_AGREEING = 3
_DAY_SECONDS = 86_400
_NAME = late_pattern(rf"{PRIVATE_REF_PATTERN}\.json")


class StageSecrets(StrictModel):
    """The variables of one stage: settings, and secrets if they are kept."""

    env: dict[str, str]
    secrets: dict[str, str]


class PrivateFile(StrictModel):
    """The content of a private file."""

    schema_version: SchemaVersion = 1
    run_id: str
    digest_key: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    keeps_secrets: bool
    stages: dict[str, StageSecrets]
    mac: Mac | None = None

    @property
    def digest_key_bytes(self) -> bytes:
        """The key for digests of values that must not be in the run's directory."""
        return bytes.fromhex(self.digest_key)

    @property
    def has_values(self) -> bool:
        """True if anything is kept for a resume."""
        return any(one.env or one.secrets for one in self.stages.values())


def new_private_ref() -> str:
    """Make a name for a run's private file that reveals nothing about the run."""
    return os.urandom(16).hex()


def load(ref: str, output_directory: Path) -> PrivateFile | None:
    """Read the private file `ref`; return None if it is gone or cannot be understood."""
    data = read(ref, output_directory)
    return None if data is None else parsed(data)


def parsed(data: bytes) -> PrivateFile | None:
    """Return the content of a private file from its bytes, or None if it cannot be understood."""
    try:
        return PrivateFile.model_validate_json(data)
    except declared.ValidationError:
        return None


def read(ref: str, output_directory: Path) -> bytes | None:
    """Return the bytes of the private file `ref`, or None if it is gone or cannot be read."""
    try:
        return files.read_bounded(_path(ref, output_directory), FILE_BYTES_MAX)
    except OSError:
        return None


def is_proved(data: bytes, run_id: str, output_directory: Path) -> bool:
    """Return whether the user's own key proves that a private file's bytes are of a run."""
    if verdict_of(data, own_key(output_directory)) is not MacVerdict.RIGHT:
        return False
    return PrivateFile.model_validate_json(data).run_id == run_id


def written(state: PrivateFile, output_directory: Path) -> bytes:
    """Return the bytes of a private file to save."""
    document = state.model_copy(update={"mac": None}).model_dump_json().encode()
    return with_mac(document, make_own_key(output_directory))


def save(ref: str, data: bytes, output_directory: Path) -> None:
    """Write the private file durably, readable by its owner alone, and prune old ones.

    Raises:
        OSError: it cannot be written, or there is no place for it.
    """
    path = _path(ref, output_directory)
    files.make_directory(path.parent, mode=0o700)
    stale.remove_stale(path.parent, path.name)  # what a killed orchestrator has left
    files.replace_file(path, data, mode=0o600)
    _prune(path.parent, path)


def remove(ref: str, output_directory: Path) -> None:
    """Remove the private file `ref`, if there is one.

    Raises:
        OSError: it cannot be removed.
    """
    files.remove(_path(ref, output_directory))


def _path(ref: str, output_directory: Path) -> Path:
    return state_directory(output_directory) / f"{ref}.json"


def _prune(directory: Path, kept: Path) -> None:
    """Remove files beyond the age or count, except `kept`; a resume then asks for their values."""
    found = []
    with contextlib.suppress(OSError), os.scandir(directory) as entries:
        for entry in entries:
            if _NAME.fullmatch(entry.name) and entry.name != kept.name:
                with contextlib.suppress(OSError):
                    found.append((entry.stat(follow_symlinks=False).st_mtime, entry.path))
    found.sort(reverse=True)
    oldest = _agreed_time([changed_at for changed_at, _ in found]) - AGE_DAYS_MAX * _DAY_SECONDS
    for position, (changed_at, path) in enumerate(found):
        if position >= FILES_MAX - 1 or changed_at < oldest:
            with contextlib.suppress(OSError):
                files.remove(Path(path))


def _agreed_time(times: Sequence[float]) -> float:
    """Return a time that has surely passed even if the clock is wrong, or 0 if none is known.

    It is not later than the clock, and files that runs wrote on several other days confirm it: a
    clock that is years ahead, or once was, makes no file old.
    """
    now = time.time()  # noqa: TID251 - ages of files, not of the run
    days = sorted({at // _DAY_SECONDS for at in times if at <= now}, reverse=True)
    return days[DAYS_AGREEING - 1] * _DAY_SECONDS if len(days) >= DAYS_AGREEING else 0.0
