"""The files of a run apart from its record: evidence, approvals and logs, by names of members.

Only regular files of gates and attempts that the record knows are taken; anything else there is
named: a stage may have put it there.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from fsm_orchestrator.bundle.members import kind_of
from fsm_orchestrator.bundle.sources import Look, Source, from_file
from fsm_orchestrator.constants import (
    APPROVALS_DIRECTORY,
    EVIDENCE_DIRECTORY,
    LOGS_DIRECTORY,
    SENT_FILE,
)
from fsm_orchestrator.disk import files
from fsm_orchestrator.errors import CommandError, TamperedError
from fsm_orchestrator.model.invocation import GateDecision
from fsm_orchestrator.record.checkpoint import Checkpoint
from fsm_orchestrator.text.hidden import copyable
from fsm_orchestrator.text.late_pattern import late_pattern

_FILES_MAX: Final = 150_000
"""The most files of a run in one directory: fewer than a bundle may have members."""
_WHOSE: Final = late_pattern(
    r"(?P<place>[a-z]+)/(?P<of_gate>gate\.)?(?P<name>[a-z][a-z0-9_]*)\.(?P<number>[1-9][0-9]*)\..+"
)
"""The gate, or the attempt of a stage, that a file belongs to."""
_COPY: Final = late_pattern(
    rf"{APPROVALS_DIRECTORY}/[a-z][a-z0-9_]*\.[1-9][0-9]*\.artifact\.[1-9][0-9]*\.txt"
)
"""The copy of an artifact as it was when people were asked, kept to show them what has changed
since: it proves nothing. The request has the digest of the artifact."""


class Inventory(NamedTuple):
    """The files of a run apart from its record.

    Attributes:
        sources: those that are taken.
        ignored: the names of those that the record does not know, or that are not regular files.
    """

    sources: tuple[Source, ...]
    ignored: tuple[str, ...]


def inventory_of(directory: Path, checkpoint: Checkpoint, look: Look, *, logs: bool) -> Inventory:
    """Return the files of a run, digested, after checking those that its decisions name.

    Raises:
        CommandError: one of them cannot be read, or there are too many.
        TamperedError: one that a decision names is gone, or was changed.
    """
    wanted = [EVIDENCE_DIRECTORY, APPROVALS_DIRECTORY, *([LOGS_DIRECTORY] if logs else [])]
    sources: list[Source] = []
    ignored: list[str] = []
    known = _Known(checkpoint)
    for name, path, is_file in (one for place in wanted for one in _entries(directory, place)):
        if not (is_file and known.has(name)):
            ignored.append(name)
            continue
        try:
            sources.append(from_file(name, path, look))
        except OSError as error:
            raise CommandError(
                f"cannot read {copyable(path)}: {files.reason(error)}",
                remedy="make it readable, or remove what is in its place",
            ) from None
    _refuse_others(directory, {one.name: one.sha256 for one in sources}, checkpoint)
    return Inventory(tuple(sources), tuple(ignored))


def _entries(directory: Path, place: str) -> Iterator[tuple[str, Path, bool]]:
    """Yield name and path of each entry of a directory, and whether it is a regular file."""
    path = directory / place
    if path.is_symlink():
        yield place, path, False
        return
    try:
        names = sorted(os.listdir(path))
    except FileNotFoundError:
        return
    except OSError as error:
        raise CommandError(f"cannot read {copyable(path)}: {files.reason(error)}") from None
    if len(names) > _FILES_MAX:
        raise CommandError(f"there are more than {_FILES_MAX} files in {copyable(path)}")
    for name in names:
        entry, member = path / name, f"{place}/{name}"
        if member == SENT_FILE or _COPY.fullmatch(member) is not None:
            continue
        yield member, entry, entry.is_file() and not entry.is_symlink()


class _Known:
    """The gates of a run, and the attempts of its stages."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        lifecycle = checkpoint.lifecycle
        self._gates = lifecycle.gates.keys()
        self._attempts = {one: checkpoint.next_attempt(one) - 1 for one in lifecycle.stages}

    def has(self, member: str) -> bool:
        """Return whether a file of this name can be the run's."""
        found = _WHOSE.fullmatch(member)
        if found is None or kind_of(member) is None:
            return False
        if found["place"] != LOGS_DIRECTORY or found["of_gate"] is not None:
            return found["name"] in self._gates
        return int(found["number"]) <= self._attempts.get(found["name"], 0)


def _refuse_others(directory: Path, found: dict[str, str], checkpoint: Checkpoint) -> None:
    """Refuse evidence and requests other than those that the gates went by."""
    for name, sha256 in dict.fromkeys(_named(_decisions(checkpoint))):
        if found.get(name) == sha256:
            continue
        what = "was changed since" if name in found else "is gone"
        raise TamperedError(
            f"a gate went by {copyable(directory / name)}, which {what}",
            remedy=f"put back the file whose sha256 is {sha256}",
        )


def _decisions(checkpoint: Checkpoint) -> Iterator[GateDecision]:
    if checkpoint.earlier is not None:
        yield from checkpoint.earlier.totals.gate_decisions
    for one in checkpoint.invocations:
        yield from one.gate_decisions


def _named(decisions: Iterable[GateDecision]) -> Iterator[tuple[str, str]]:
    """Yield the files that decisions name, with their digests."""
    for one in decisions:
        evidence = one.evidence
        if evidence is None:
            continue
        if evidence.file is not None and evidence.statement_sha256 is not None:
            yield evidence.file, evidence.statement_sha256
        asked = evidence.approval
        if asked is not None and asked.request is not None and asked.request_sha256 is not None:
            yield asked.request, asked.request_sha256
