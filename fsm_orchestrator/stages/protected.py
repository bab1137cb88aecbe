"""Protected paths: their state before a stage, kept, and compared with their state after it.

The same state means the same names, of the same kind and mode, with the same bytes; for a link, the
same target. No link is followed. The kept state can be compared again by any later reader of those
paths: `changes_since`.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from fsm_orchestrator.constants import LOGS_DIRECTORY
from fsm_orchestrator.disk import files
from fsm_orchestrator.disk.digests import digest_of, shown_path
from fsm_orchestrator.disk.held import HeldDirectory
from fsm_orchestrator.disk.trees import Entry, EntryKind, TooMuchError, entries_at, within
from fsm_orchestrator.model.contracts import PathChange, ProtectedChange, Protection
from fsm_orchestrator.secrets.masking import Masker
from fsm_orchestrator.stages.output_files import protected_name
from fsm_orchestrator.text.hidden import copyable
from fsm_orchestrator.text.phrases import counted
from fsm_orchestrator.vocabulary import Operation

CHANGES_MAX: Final = 100
NAMED_MAX: Final = 3
KEPT_BYTES_MAX: Final = 64 * 1024**2

State = str
"""The state of an entry: its kind, its mode, and the digest of its content."""
Tree = Mapping[str, State]
"""The entries at a protected path, by their paths relative to it; empty if nothing is there."""


class NotProtectedError(Exception):
    """A protected path whose state cannot be determined; the message says why."""


class Baseline(NamedTuple):
    """The state of protected paths before a stage, by path."""

    trees: Mapping[str, Tree]

    def changes_since(self, ask: Callable[[str], None]) -> tuple[Changed, ...]:
        """Return the changes since this baseline, by path.

        `ask` is called repeatedly with a path; an exception from it ends the comparison.
        """
        found = []
        for root, before in self.trees.items():
            try:
                now = tree_at(root, ask)
            except NotProtectedError as error:
                found.append(Changed(root, PathChange.CHANGED, str(error)))
                continue
            found += sorted(_changes(root, before, now))
        return tuple(found)

    def to_json(self) -> bytes:
        """Return the state as it is kept."""
        return json.dumps({"schema_version": 1, "paths": self.trees}, indent=1).encode() + b"\n"


class Changed(NamedTuple):
    """A protected path that has changed; `why` adds to that."""

    path: str
    change: PathChange
    why: str = ""

    @property
    def sentence(self) -> str:
        """The change as text for people."""
        said = f"{self.change.value}: {self.why}" if self.why else self.change.value
        return f"{copyable(shown_path(self.path))} ({said})"

    def recorded(self, masker: Masker) -> ProtectedChange:
        """Return the change for the record, masked."""
        return ProtectedChange(path=masker.mask(shown_path(self.path)), change=self.change)


def summary_of(changes: Sequence[Changed]) -> str:
    """Return the first changes on one line, and the number of further ones."""
    named = ", ".join(one.sentence for one in changes[:NAMED_MAX])
    more = len(changes) - NAMED_MAX
    return f"{named} and {counted(more, 'more path')}" if more > 0 else named


def baseline_of(roots: Sequence[str], ask: Callable[[str], None]) -> Baseline:
    """Return the present state of protected paths.

    Raises:
        NotProtectedError: it cannot be determined.
    """
    return Baseline({root: tree_at(root, ask) for root in roots})


def tree_at(root: str, ask: Callable[[str], None]) -> Tree:
    """Return the present state of a path.

    Raises:
        NotProtectedError: it cannot be determined, or is more than is looked at.
    """
    found: dict[str, State] = {}
    total = 0
    if os.path.islink(root):
        raise NotProtectedError(
            f"{copyable(root)} is a symbolic link: protect what it leads to, by its own path"
        )
    try:
        for one in entries_at(root):
            if one.problem:
                path = copyable(shown_path(os.path.join(root, one.path)))
                raise NotProtectedError(f"{path} cannot be read: {one.problem}")
            total = within(total + (one.info.st_size if one.kind is EntryKind.FILE else 0))
            found[one.path] = _state(one, lambda: ask(root))
    except TooMuchError as error:
        raise NotProtectedError(f"{copyable(root)} has {error} in it") from error
    except OSError as error:
        raise NotProtectedError(f"{copyable(root)} cannot be read: {error.strerror}") from error
    return found


def _state(one: Entry, ask: Callable[[], None]) -> State:
    ask()
    mode = f"{stat.S_IMODE(one.info.st_mode):o}"
    match one.kind:
        case EntryKind.FILE:
            digest, _ = digest_of(one.descriptor or 0, ask)
            return f"file {mode} {digest}"
        case EntryKind.LINK:
            return f"link {hashlib.sha256(os.fsencode(one.target)).hexdigest()}"
        case EntryKind.DIRECTORY:
            return f"directory {mode}"
        case EntryKind.SPECIAL:
            return f"special {stat.S_IFMT(one.info.st_mode):o} {one.info.st_rdev} {mode}"


def _changes(root: str, before: Tree, now: Tree) -> Iterator[Changed]:
    for path in before.keys() | now.keys():
        whole = os.path.join(root, path) if path else root
        if path not in now:
            yield Changed(whole, PathChange.REMOVED)
        elif path not in before:
            yield Changed(whole, PathChange.ADDED)
        elif before[path] != now[path]:
            yield Changed(whole, PathChange.CHANGED)


def keep(
    baseline: Baseline, home: HeldDirectory, output: Path, stage: str, attempt: int
) -> Protection:
    """Keep the state of protected paths before an attempt; the record has its digest.

    Raises:
        RecordingError: it cannot be written.
    """
    name = Path(protected_name(stage, attempt))
    data = baseline.to_json()
    with (
        files.recording(Operation.LOGS_PERSIST, output / name),
        files.below(home, LOGS_DIRECTORY) as logs,
    ):
        files.replace_file(logs.path / name.name, data, mode=0o600, within=logs)
    return Protection(file=str(name), sha256=hashlib.sha256(data).hexdigest(), is_compared=False)


def kept(protection: Protection, output: Path, roots: Sequence[str]) -> Baseline:
    """Return the kept state of the paths that are still protected.

    Raises:
        NotProtectedError: its file is missing or has changed.
    """
    path = output / protection.file
    try:
        data = files.read_bounded(path, KEPT_BYTES_MAX)
    except OSError as error:
        why = f"{copyable(path)} cannot be read: {files.reason(error)}"
        raise NotProtectedError(why) from error
    if hashlib.sha256(data).hexdigest() != protection.sha256:
        raise NotProtectedError(f"{copyable(path)} has changed since it was kept")
    document: Any = json.loads(data)
    return Baseline({root: tree for root, tree in document["paths"].items() if root in roots})
