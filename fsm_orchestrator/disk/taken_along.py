"""The artifacts of a run that are in its output directory: they go to the archive with it.

Their paths are read leniently from the run's checkpoint. Whatever it says, moved files stay below
the output directory, links are not followed, and the run's own files are not among them.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Final, NamedTuple

from fsm_orchestrator.constants import (
    ARCHIVE_DIRECTORY,
    CHECKPOINT_FILE,
    IGNORE_FILE,
    LOCK_FILE,
    STOP_FILE,
)
from fsm_orchestrator.disk import files, moving, peek
from fsm_orchestrator.disk.belongings import RUN_DIRECTORIES, RUN_FILES
from fsm_orchestrator.disk.held import HeldDirectory

_OURS: Final = frozenset(
    {*RUN_FILES, *RUN_DIRECTORIES, ARCHIVE_DIRECTORY, LOCK_FILE, STOP_FILE, IGNORE_FILE, os.curdir}
)


def artifacts_named(directory: Path) -> tuple[str, ...]:
    """Return the artifacts in its output directory that the run in `directory` names."""
    return artifacts_in(peek.document(directory / CHECKPOINT_FILE))


def artifacts_in(record: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the artifacts in its output directory that a checkpoint names, relative to that.

    They need not exist. An artifact inside a directory that is itself one is not listed.
    """
    home = _table(record.get("home")).get("directory")
    if not isinstance(home, str) or not os.path.isabs(home):
        return ()
    found = dict.fromkeys(_relative(home, _paths(record)))
    kept: list[str] = []
    for one in sorted(found):  # a directory comes before its contents
        if not any(PurePosixPath(one).is_relative_to(above) for above in kept):
            kept.append(one)
    return tuple(kept)


def _paths(record: Mapping[str, Any]) -> Iterator[object]:
    """Yield the values in a checkpoint that should be paths of artifacts."""
    earlier = _table(record.get("earlier"))
    made = [*_tables(record.get("completions")), *_tables(earlier.get("completions"))]
    made += _tables(earlier.get("executions"))
    for invocation in _tables(record.get("invocations")):
        made += _tables(invocation.get("stage_executions"))
    for one in made:
        yield from (artifact.get("path") for artifact in _tables(one.get("artifacts")))
    for stage in _tables(list(_table(record.get("stages")).values())):
        expected = stage.get("expected_artifacts")
        yield from expected if isinstance(expected, list) else ()


def _relative(home: str, paths: Iterator[object]) -> Iterator[str]:
    for path in paths:
        if not isinstance(path, str) or "\0" in path:
            continue
        try:
            inner = PurePosixPath(path).relative_to(home)
        except ValueError:
            continue
        if inner.parts and os.pardir not in inner.parts and inner.parts[0] not in _OURS:
            yield str(inner)


def _table(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _tables(value: object) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


class Along(NamedTuple):
    """The artifacts that go to the archive with their run, relative to its directory.

    Attributes:
        moved: those that are moved.
        copied: those that are copied, because the next run uses them.
    """

    moved: tuple[str, ...]
    copied: tuple[str, ...]


class Staying(NamedTuple):
    """An artifact that could not be moved or copied, relative to its run's directory."""

    path: str
    why: OSError


def move_along(
    artifacts: Iterable[str], source: HeldDirectory, destination: HeldDirectory
) -> tuple[Staying, ...]:
    """Move artifacts to the same places below another directory; return those that stay.

    One that is absent has been moved before. Nothing is overwritten.
    """
    return tuple(_done_to(artifacts, moving.move, source, destination))


def copy_along(
    artifacts: Iterable[str], source: HeldDirectory, destination: HeldDirectory
) -> tuple[Staying, ...]:
    """Copy artifacts to the same places below another directory, like `move_along`."""
    return tuple(_done_to(artifacts, moving.copy, source, destination))


def _done_to(
    artifacts: Iterable[str],
    deed: Callable[[str, HeldDirectory, HeldDirectory], None],
    source: HeldDirectory,
    destination: HeldDirectory,
) -> Iterator[Staying]:
    for one in artifacts:
        if os.path.lexists(source.path / one):
            try:
                _do(PurePosixPath(one).parts, deed, source, destination)
            except OSError as error:
                yield Staying(one, error)


def _do(
    parts: tuple[str, ...],
    deed: Callable[[str, HeldDirectory, HeldDirectory], None],
    source: HeldDirectory,
    destination: HeldDirectory,
) -> None:
    *above, name = parts
    with contextlib.ExitStack() as stack:
        for part in above:
            source = stack.enter_context(files.below(source, part, may_make=False))
            destination = stack.enter_context(files.below(destination, part))
        deed(name, source, destination)
        files.sync(destination.descriptor)
        files.sync(source.descriptor)
