"""Make bundles by the command, and read their contents."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from fsm_orchestrator.bundle.archive_reader import members_of
from tests.support.command import Ended, orchestrate


def bundle(folder: Path, file: Path, *options: str, **env: str) -> Ended:
    """Bundle the run in `out` of a folder, whose private state is there as well."""
    return orchestrate("bundle", "./out", file, *options, cwd=folder, env=env)


def bundled(folder: Path, file: Path, *options: str, **env: str) -> dict[str, bytes]:
    """Make the bundle of that run; return its members."""
    ended = bundle(folder, file, *options, **env)
    assert ended.code == 0, ended.stderr
    return members(file)


def members(path: Path) -> dict[str, bytes]:
    """Return the members of a bundle."""
    with path.open("rb") as stream:
        return {one.name: one.read() for one in members_of(stream)}


def predicate_in(found: dict[str, bytes]) -> Any:
    """Return the predicate of the statement."""
    return json.loads(found["statement.json"])["predicate"]


def sha256(data: bytes) -> str:
    """Return the SHA-256 of some bytes."""
    return hashlib.sha256(data).hexdigest()
