"""Reads from git's own files which commit is checked out, for display only.

It proves nothing: git is never run, changed files are not looked at, and anyone who may write to
the directory may write what is read here. Every read is bounded and never waits.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final, NamedTuple

from fsm_orchestrator.disk import files
from fsm_orchestrator.disk.revision_problem import RevisionProblem
from fsm_orchestrator.disk.where import nearest_with

GIT_NAME: Final = ".git"
_SMALL_BYTES_MAX: Final = 4096
_PACKED_BYTES_MAX: Final = 8 * 1024 * 1024
_COMMIT: Final = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
# As in git-check-ref-format, no component is empty, hidden or leads out of the directory.
_REF: Final = re.compile(
    r"refs(/(?!\.)((?!\.\.|@\{)[^\x00-\x20\x7f~^:?*\[\\/])+(?<!\.lock)(?<!\.))+"
)
_IN_HEAD: Final = "ref: "
_IN_FILE: Final = "gitdir: "
_BRANCHES: Final = "refs/heads/"


class CheckedOut(NamedTuple):
    """The commit and branch that are checked out, as far as they could be read.

    Attributes:
        commit: its full name; None if `problem` is set.
        branch: the branch, or another ref in full; None if none is checked out, or none is known.
    """

    commit: str | None
    branch: str | None
    problem: RevisionProblem | None


class _NotUnderstoodError(Exception):
    """An error for a file of git with content that no version of git known here writes."""


def checked_out(above: Path) -> CheckedOut:
    """Return what is checked out; `above` is the nearest directory that has a `.git`."""
    branch = None
    try:
        found = _found(above)
        if found is None:
            return CheckedOut(None, None, RevisionProblem.NO_REPOSITORY)
        if not found.head.startswith(_IN_HEAD):
            return CheckedOut(_commit(found.head), None, None)
        ref = _ref(found.head.removeprefix(_IN_HEAD))
        branch = ref.removeprefix(_BRANCHES)
        commit = _commit_of(ref, found.own)
    except OSError:
        return CheckedOut(None, branch, RevisionProblem.UNREADABLE)
    except (_NotUnderstoodError, ValueError):
        return CheckedOut(None, branch, RevisionProblem.NOT_UNDERSTOOD)
    return CheckedOut(commit, branch, RevisionProblem.NO_COMMIT if commit is None else None)


class _Found(NamedTuple):
    """The directory of a work tree's git files, and its HEAD."""

    own: Path
    head: str


def _found(above: Path | None) -> _Found | None:
    """Return the work tree's git files, or None if no `.git` here or further up is git's."""
    while above is not None:
        own = _own_directory(above)
        if (head := _text(own / "HEAD")) is not None:
            return _Found(own, head)
        if own != above / GIT_NAME:
            raise _NotUnderstoodError
        above = None if above == above.parent else nearest_with(above.parent, GIT_NAME)
    return None


def _own_directory(above: Path) -> Path:
    """Return the directory of a work tree's git files, elsewhere for a submodule or second tree."""
    path = above / GIT_NAME
    if path.is_dir():
        return path
    said = _text(path)
    if said is None or not said.startswith(_IN_FILE):
        raise _NotUnderstoodError
    return above / said.removeprefix(_IN_FILE)


def _ref(said: str) -> str:
    if not _REF.fullmatch(said):
        raise _NotUnderstoodError
    return said


def _commit_of(ref: str, own: Path) -> str | None:
    """Return the commit that a ref names, or None if the ref does not exist yet."""
    common = _text(own / "commondir")
    places = [own] if common is None else [own, own / common]
    for place in places:
        if (said := _text(place / ref)) is not None:
            return _commit(said)
    packed = _data(places[-1] / "packed-refs", _PACKED_BYTES_MAX) or b""
    end = packed.find(f" {ref}\n".encode())
    if end < 0:
        return None
    return _commit(packed[packed.rfind(b"\n", 0, end) + 1 : end].decode())


def _commit(said: str) -> str:
    if not _COMMIT.fullmatch(said):
        raise _NotUnderstoodError
    return said


def _text(path: Path) -> str | None:
    """Return the one line of a small file, or None if there is no such file."""
    data = _data(path, _SMALL_BYTES_MAX)
    return None if data is None else data.decode().removesuffix("\n")


def _data(path: Path, size_bytes_max: int) -> bytes | None:
    try:
        return files.read_bounded(path, size_bytes_max)
    except (FileNotFoundError, NotADirectoryError):
        return None
