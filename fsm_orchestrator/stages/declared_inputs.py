"""The declared inputs of a stage: digested when it completes, and again for comparison."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator

from fsm_orchestrator.config.stage_settings import StageSettings
from fsm_orchestrator.disk.digests import Listed, digest_of, list_digest, shown_path
from fsm_orchestrator.disk.trees import EntryKind, TooMuchError, entries_at, matches_of, within
from fsm_orchestrator.model.contracts import InputDigest, is_glob

Ask = Callable[[str], None]
"""A callback that repeatedly gets the path being read; an exception from it ends the digesting."""


def digests_of(settings: StageSettings, ask: Ask) -> tuple[InputDigest, ...]:
    """Return the present inputs of a stage, its program last."""
    paths = dict.fromkeys((*settings.inputs, *_program(settings)))
    return tuple(digest_at(path, ask) for path in paths)


def _program(settings: StageSettings) -> Iterator[str]:
    """Yield the file of the program, or its name if no file is found."""
    if not settings.input_program:
        return
    command = settings.command
    if os.sep not in command:
        search = settings.env.get("PATH") or os.environ.get("PATH")
        command = shutil.which(command, path=search) or command
    yield command


def digest_at(path: str, ask: Ask) -> InputDigest:
    """Return the digest of what is at a path, or matches a glob."""
    try:
        if is_glob(path) and not os.path.lexists(path):
            found = [_file_at(one, ask) for one in matches_of(path)]
        elif os.path.isdir(path):
            found = list(_below(os.path.realpath(path), ask))
        elif os.path.lexists(path):
            one = _file_at(path, ask)
            return _digest(path, one.sha256, [one])
        else:
            return _digest(path, None, [])
        return _digest(path, list_digest(found), found)
    except TooMuchError as error:
        return _digest(path, None, [], problem=f"{error}")
    except OSError as error:
        return _digest(path, None, [], problem=error.strerror or str(error))


def _below(root: str, ask: Ask) -> Iterator[Listed]:
    total = 0
    for one in entries_at(root):
        if one.problem:
            raise TooMuchError(f"{shown_path(one.path)} cannot be read: {one.problem}")
        match one.kind:
            case EntryKind.DIRECTORY:
                continue
            case EntryKind.LINK:
                yield Listed(f"{one.path} -> {one.target}", "", 0)
            case EntryKind.SPECIAL:
                raise TooMuchError(f"{shown_path(one.path)} is not a file, link or directory")
            case EntryKind.FILE:
                total = within(total + one.info.st_size)
                digest, size = digest_of(one.descriptor or 0, lambda: ask(root))
                yield Listed(one.path, digest, size)


def _file_at(path: str, ask: Ask) -> Listed:
    """Return a file, following links: they are part of its name."""
    for one in entries_at(os.path.realpath(path)):
        if one.kind is EntryKind.FILE and not one.problem:
            digest, size = digest_of(one.descriptor or 0, lambda: ask(path))
            return Listed(path, digest, size)
        raise TooMuchError(one.problem or "is not a regular file")
    raise FileNotFoundError(2, "is a link to nothing")


def _digest(
    path: str, sha256: str | None, found: list[Listed], problem: str | None = None
) -> InputDigest:
    return InputDigest(
        path=shown_path(path),
        sha256=sha256,
        files=len(found),
        size_bytes=sum(one.size_bytes for one in found),
        problem=problem,
    )
