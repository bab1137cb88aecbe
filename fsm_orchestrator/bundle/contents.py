"""The artifacts themselves, if they are wanted: the files that the stages left, and no others.

No bundle is made with an artifact that is not what its stage left. A file is kept once, by its
digest, whatever its name is.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from fsm_orchestrator.bundle.members import artifact_member
from fsm_orchestrator.bundle.sources import Look, Source, from_file, held
from fsm_orchestrator.bundle.statement import ArtifactFile
from fsm_orchestrator.disk import files
from fsm_orchestrator.disk.digests import Listed, list_digest
from fsm_orchestrator.disk.trees import EntryKind, TooMuchError, entries_at, fixed_part, matches_of
from fsm_orchestrator.errors import CommandError
from fsm_orchestrator.model.contracts import is_glob
from fsm_orchestrator.model.execution import Artifact
from fsm_orchestrator.record.checkpoint import Checkpoint
from fsm_orchestrator.text.digest import sha256_of
from fsm_orchestrator.text.hidden import copyable

LINK: Final = " ->"
"""The end of a link's path in the list of a directory: the bytes of a link are its target."""
_UNKNOWN: Final = "0" * 64


class Whole(NamedTuple):
    """The files of all artifacts.

    Attributes:
        sources: each file once.
        contents: the files of each artifact, by its stage and its path.
    """

    sources: tuple[Source, ...]
    contents: dict[tuple[str, str], tuple[ArtifactFile, ...]]


def whole_artifacts(kept: Checkpoint, here: Checkpoint, look: Look) -> Whole:
    """Return the files of the artifacts in force; `here` is the record with the current paths.

    Raises:
        CommandError: one of them is not what its stage left.
    """
    sources: dict[str, Source] = {}
    contents: dict[tuple[str, str], tuple[ArtifactFile, ...]] = {}
    for was, now in zip(kept.completed, here.completed, strict=True):
        for artifact, at in zip(was.artifacts, now.artifacts, strict=True):
            found = tuple(_checked(artifact, at.path, look))
            for _, source in found:
                sources[source.name] = source
            contents[was.stage, artifact.path] = tuple(
                ArtifactFile(
                    path=path,
                    sha256=source.sha256,
                    sizeBytes=source.size_bytes,
                    member=source.name,
                )
                for path, source in found
            )
    return Whole(tuple(sources.values()), contents)


def _checked(artifact: Artifact, at: str, look: Look) -> list[tuple[str, Source]]:
    """Return the files of an artifact, which is `at` now, with their paths in its list."""
    try:
        found = [*_files(artifact, at, look)]
    except OSError as error:
        raise _refused(at, files.reason(error)) from None
    except TooMuchError as error:
        raise _refused(at, str(error)) from None
    if any(not _is_text(path) for path, _ in found):
        raise _refused(at, "a name in it is not UTF-8")
    now = found[0][1].sha256 if artifact.files is None else _digest_of(found)
    if now != artifact.sha256:
        raise _refused(at, f"it has the sha256 {now}, and its stage left {artifact.sha256}")
    return found


def _files(artifact: Artifact, at: str, look: Look) -> Iterator[tuple[str, Source]]:
    if artifact.files is None:
        yield "", _file(Path(at), look)
    elif is_glob(artifact.path):
        now, was = fixed_part(at), fixed_part(artifact.path)
        for path in matches_of(at):
            yield was + path[len(now) :], _file(Path(path), look)
    else:
        root = os.path.realpath(at.rstrip("/") or "/")
        for one in entries_at(root):
            if one.problem:
                raise _refused(at, f"{copyable(one.path)}: {one.problem}")
            match one.kind:
                case EntryKind.DIRECTORY:
                    continue
                case EntryKind.LINK:
                    target = os.fsencode(one.target)
                    yield f"{one.path}{LINK}", held(artifact_member(sha256_of(target)), target)
                case EntryKind.FILE:
                    yield one.path, _file(Path(root, one.path), look)
                case EntryKind.SPECIAL:
                    raise _refused(at, f"{copyable(one.path)} is no file, link or directory")


def _file(path: Path, look: Look) -> Source:
    made = from_file(artifact_member(_UNKNOWN), path, look, is_link_good=True)
    return made._replace(name=artifact_member(made.sha256))


def _is_text(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _digest_of(found: list[tuple[str, Source]]) -> str:
    return list_digest(Listed(path, one.sha256, one.size_bytes) for path, one in found)


def _refused(at: str, why: str) -> CommandError:
    return CommandError(
        f"the artifact {copyable(at)} cannot be put into the bundle: {why}",
        remedy="put back what its stage left, or leave out --with-artifacts: its digest is in the"
        " bundle either way",
    )
