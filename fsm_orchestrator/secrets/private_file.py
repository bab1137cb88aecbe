"""The private file of a run: environment values and all else that must not be in its directory.

One file a run, mode 0600, below the user's state directory (`XDG_STATE_HOME`, see the XDG Base
Directory Specification). Values stay until the run is done; the key for comparing them stays a
little longer, so that repeating a command after `done` can be recognised. Old files are pruned.
"""

import contextlib
import os
import re
import secrets
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field, StringConstraints, ValidationError

from fsm_orchestrator.disk import files, stale
from fsm_orchestrator.disk.peek import PRIVATE_REF_PATTERN
from fsm_orchestrator.model.base import SchemaVersion, StrictModel
from fsm_orchestrator.vocabulary import PRODUCT

PrivateRef = Annotated[str, StringConstraints(pattern=f"^{PRIVATE_REF_PATTERN}$")]
FILE_BYTES_MAX = 16 * 1024 * 1024
AGE_DAYS_MAX = 30
FILES_MAX = 1000
DAYS_AGREEING = 3
_DAY_SECONDS = 86_400
_NAME = re.compile(rf"{PRIVATE_REF_PATTERN}\.json")


class StageSecrets(StrictModel):
    """The settings and environment of one stage that the checkpoint must not show."""

    command: str
    args: tuple[str, ...]
    cwd: str
    expected_artifacts: tuple[str, ...]
    env: dict[str, str]


class PrivateFile(StrictModel):
    """The content of a private file."""

    schema_version: SchemaVersion = 1
    run_id: str
    digest_key: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    stages: dict[str, StageSecrets]

    @property
    def digest_key_bytes(self) -> bytes:
        """The key for `settings.env_digest`."""
        return bytes.fromhex(self.digest_key)


def new_private_ref() -> str:
    """Make a name for a run's private file that says nothing about the run."""
    return secrets.token_hex(16)


def state_directory() -> Path:
    """Return where private files are: `$XDG_STATE_HOME/fsm-orchestrator` or ~/.local/state/…."""
    given = os.environ.get("XDG_STATE_HOME", "")
    base = Path(given) if os.path.isabs(given) else Path(os.path.expanduser("~/.local/state"))
    return base / PRODUCT


def load(ref: str) -> PrivateFile | None:
    """Read the private file `ref`; None when it is gone or cannot be understood."""
    try:
        data = files.read_bounded(_path(ref), FILE_BYTES_MAX)
        return PrivateFile.model_validate_json(data)
    except (OSError, ValidationError):
        return None


def save(ref: str, state: PrivateFile) -> None:
    """Write the private file durably, readable by its owner alone, and prune old ones.

    Raises:
        OSError: it cannot be written.
    """
    directory = state_directory()
    files.make_directory(directory, mode=0o700)
    stale.remove_stale(directory, _path(ref).name)  # what a killed orchestrator has left
    files.replace_file(_path(ref), state.model_dump_json().encode(), mode=0o600)
    _prune(directory, _path(ref))


def _path(ref: str) -> Path:
    return state_directory() / f"{ref}.json"


def _prune(directory: Path, kept: Path) -> None:
    """Remove files beyond the age or the count, but `kept`; a resume then asks for their values."""
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
    """Return a time that has surely come, for all that a clock may be wrong; 0 if none is known.

    It is not later than the clock, and files that runs have written on several other days say so
    as well: a clock that is years ahead, or was once, makes no file old.
    """
    now = time.time()  # noqa: TID251 - ages of files, not of the run
    days = sorted({at // _DAY_SECONDS for at in times if at <= now}, reverse=True)
    return days[DAYS_AGREEING - 1] * _DAY_SECONDS if len(days) >= DAYS_AGREEING else 0.0
