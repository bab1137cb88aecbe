"""The subject of a run: read as digests, and compared."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from fsm_orchestrator.disk import files
from fsm_orchestrator.disk.where import run_of
from fsm_orchestrator.errors import UsageError
from fsm_orchestrator.model.evidence import Subject, SubjectEntry, SubjectGiven, SubjectPlaces
from fsm_orchestrator.processes.tool import ToolError
from fsm_orchestrator.text.hidden import copyable

FILE_BYTES_MAX: Final = 16 * 1024**3
_READ_BYTES: Final = 1024**2


class SubjectError(Exception):
    """A subject cannot be read; the message says why."""


def resolved(given: SubjectPlaces, output: Path) -> Subject:
    """Return the current subject; for git, files in the output directory `output` do not count.

    Raises:
        SubjectError: it cannot be read.
    """
    entries = []
    if given.git is not None:
        from fsm_orchestrator.gates.git_subject import git_digest  # noqa: PLC0415 - not for files

        try:
            digest = git_digest(given.git, run_of(output))
        except ToolError as error:
            raise SubjectError(f"the git work tree {copyable(given.git)}: {error}") from error
        entries.append(SubjectEntry(name=given.git, digest=digest))
    entries += [SubjectEntry(name=path, digest={"sha256": _sha256(path)}) for path in given.files]
    return Subject(given=given, entries=tuple(entries))


def resolved_at_start(given: SubjectGiven, output: Path) -> Subject:
    """Return the subject that a run begins with.

    Raises:
        UsageError: it cannot be read.
    """
    try:
        return resolved(given.places, output)
    except SubjectError as error:
        raise UsageError(
            f"the subject of the run cannot be read: {error}",
            remedy="correct --subject-git, --subject-file or [subject]",
        ) from error


def _sha256(path: str) -> str:
    digest, size_bytes = hashlib.sha256(), 0
    try:
        descriptor = files.open_regular(Path(path), is_link_good=True)
        with os.fdopen(descriptor, "rb") as stream:
            while data := stream.read(_READ_BYTES):
                digest.update(data)
                size_bytes += len(data)
                if size_bytes > FILE_BYTES_MAX:
                    raise SubjectError(f"the file {copyable(path)} is too large")
    except OSError as error:
        raise SubjectError(f"the file {copyable(path)}: {files.reason(error)}") from error
    return digest.hexdigest()


def moved(kept: Subject, output: Path) -> str | None:
    """Return how the subject has changed since the run began, or None if it has not."""
    try:
        now = resolved(kept.given, output)
    except SubjectError as error:
        return f"the subject of the run can no longer be read: {error}"
    for was, entry in zip(kept.entries, now.entries, strict=True):
        if was.digest != entry.digest:
            before, after = was.digest_words, entry.digest_words
            return f"the subject {copyable(was.name)} was {before} and is {after} now"
    return None


def matches(wanted: Mapping[str, str], found: Mapping[str, str]) -> bool:
    """Return whether two digest sets have algorithms in common, and are equal in all of them."""
    common = wanted.keys() & found.keys()
    return bool(common) and all(wanted[one].lower() == found[one].lower() for one in common)


def unnamed(
    wanted: Iterable[SubjectEntry], found: Iterable[SubjectEntry]
) -> tuple[SubjectEntry, ...]:
    """Return the wanted entries that are not among those found."""
    digests = [one.digest for one in found]
    return tuple(one for one in wanted if not any(matches(one.digest, d) for d in digests))


def variables(subject: Subject | None, work: Iterable[SubjectEntry]) -> dict[str, str]:
    """Return the environment variables with the subject and the work, for a gate's command."""
    entries = () if subject is None else subject.entries
    found = {
        "ORCHESTRATOR_SUBJECT_JSON": _as_json(entries),
        "ORCHESTRATOR_WORK_JSON": _as_json(work),
    }
    names = {"gitCommit": "GIT_COMMIT", "gitTree": "GIT_TREE", "sha256": "SHA256"}
    for entry in reversed(entries):  # the first of a kind counts
        for algorithm, value in entry.digest.items():
            found[f"ORCHESTRATOR_SUBJECT_{names[algorithm]}"] = value
    return found


def _as_json(entries: Iterable[SubjectEntry]) -> str:
    return json.dumps([one.model_dump(mode="json") for one in entries])
