"""Judges the artifacts that have contracts: files, directories and globs.

A set of files is judged by a digest of its sorted list. It is stale if the attempt wrote too few of
its files.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from fsm_orchestrator.disk.digests import Listed, digest_of, list_digest, shown_path
from fsm_orchestrator.disk.trees import EntryKind, TooMuchError, entries_at, matches_of, within
from fsm_orchestrator.model.contracts import Contract, is_glob
from fsm_orchestrator.model.execution import Artifact
from fsm_orchestrator.stages.artifact_snapshot import Stamp, stamp_of, stat_of
from fsm_orchestrator.stages.artifacts import (
    ARTIFACT_BYTES_MAX,
    JudgedBy,
    JudgingCutShortError,
    WrongArtifactError,
    WrongKind,
    judge_file,
)
from fsm_orchestrator.stages.contract_terms import (
    DOCUMENT_BYTES_MAX,
    VIOLATIONS_MAX,
    Broken,
    Decoding,
    Terms,
)
from fsm_orchestrator.stages.json_document import NoDocumentError
from fsm_orchestrator.stages.strict_json import judge_name
from fsm_orchestrator.text.phrases import counted

if TYPE_CHECKING:
    from collections.abc import Iterable

Stamps = Mapping[str, Stamp]


class Further(NamedTuple):
    """The demands of a contract on one file, besides its existence.

    Attributes:
        is_json: True if it must be strict JSON, whatever its name.
        bytes_max: the largest size that is judged.
        chunk: takes its bytes as they are read.
        document: takes its whole content if that is strict JSON, and the function that asks whether
            to continue.
    """

    is_json: bool
    bytes_max: int
    chunk: Callable[[memoryview], None] | None
    document: Callable[[bytes | bytearray, Callable[[], None]], None] | None


def stamps_of(contracts: Iterable[Contract]) -> dict[str, Stamps]:
    """Return the stamps of each set of files before an attempt, by its path."""
    return {one.path: dict(_stamps_in(one)) for one in contracts if one.is_set}


def _stamps_in(contract: Contract) -> Iterator[tuple[str, Stamp]]:
    try:
        if is_glob(contract.path):
            for path in matches_of(contract.path):
                yield path, stamp_of(stat_of(path))
            return
        for one in entries_at(contract.path.rstrip("/")):
            if one.kind is EntryKind.FILE:
                yield os.path.join(contract.path, one.path), stamp_of(one.info)
    except (OSError, TooMuchError):
        return  # judging reports what is wrong with it


class Contracted:
    """The contracts of stages while their artifacts are judged.

    Args:
        contracts: the contracts of one or several stages.
        terms: what files are judged by; None if only their bytes count, because they were judged.
        before: the stamps of each set before the attempt; None if nothing can be stale.
    """

    def __init__(
        self,
        contracts: Sequence[Contract],
        terms: Terms | None,
        before: Mapping[str, Stamps] | None,
    ) -> None:
        self._contracts = {one.path: one for one in contracts}
        self._terms = terms
        self._before = before
        self.broken: list[Broken] = []

    def has(self, path: str) -> bool:
        """Return whether a path has a contract."""
        return path in self._contracts

    def judge(self, path: str, by: JudgedBy) -> Artifact:
        """Return the artifact at a path.

        Raises:
            WrongArtifactError: it is missing, malformed or stale.
        """
        contract = self._contracts[path]
        if not contract.is_set:
            return self._file(contract, path, by)
        try:
            return self._glob(contract, by) if is_glob(path) else self._directory(contract, by)
        except TooMuchError as error:
            raise WrongArtifactError(WrongKind.MALFORMED, f"{error}, not judged") from error
        except OSError as error:
            said = f"cannot be read: {error.strerror}"
            raise WrongArtifactError(WrongKind.MALFORMED, said) from error

    def _break(self, broken: Iterable[Broken]) -> None:
        for one in broken:
            if len(self.broken) < VIOLATIONS_MAX:
                self.broken.append(one)

    def _file(self, contract: Contract, path: str, by: JudgedBy) -> Artifact:
        """Judge a file: the one of a contract, or one that matches its glob."""
        terms = self._terms
        if terms is None:
            return judge_file(path, by, Further(contract.is_json, ARTIFACT_BYTES_MAX, None, None))
        decoding = None if contract.encoding is None else Decoding(contract.encoding)
        found: list[Broken] = []

        def judge_document(data: bytes | bytearray, ask: Callable[[], None]) -> None:
            try:
                found.extend(terms.broken_by_document(contract, path, data, ask))
            except NoDocumentError as error:
                raise WrongArtifactError(WrongKind.MALFORMED, str(error)) from error

        artifact = judge_file(
            path,
            by,
            Further(
                is_json=contract.is_json,
                bytes_max=DOCUMENT_BYTES_MAX if contract.is_json else ARTIFACT_BYTES_MAX,
                chunk=None if decoding is None else decoding.feed,
                document=judge_document if contract.is_json else None,
            ),
        )
        self._break(terms.broken_by_size(contract, path, artifact.size_bytes))
        if decoding is not None:
            self._break(decoding.broken(path))
        self._break(found)
        return artifact

    def _glob(self, contract: Contract, by: JudgedBy) -> Artifact:
        paths = matches_of(contract.path)
        if len(paths) < contract.least_matches:
            raise WrongArtifactError(
                WrongKind.MISSING,
                f"matches {counted(len(paths), 'file')}, and must match {contract.least_matches}",
            )
        self._refuse_stale(contract, {one: stamp_of(stat_of(one)) for one in paths})
        each = by._replace(snapshot=None, known=())
        files, total = [], 0
        for path in paths:
            try:
                one = self._file(contract, path, each)
            except WrongArtifactError as error:
                said = f"{shown_path(path)}: {error.reason}"
                raise WrongArtifactError(error.kind, said) from error
            files.append(Listed(path, one.sha256, one.size_bytes))
            total = within(total + one.size_bytes)
        return _artifact(contract, files, is_json=contract.is_json)

    def _directory(self, contract: Contract, by: JudgedBy) -> Artifact:
        root = contract.path.rstrip("/") or "/"
        if not os.path.isdir(root):
            said = "is not a directory" if os.path.lexists(root) else "does not exist"
            raise WrongArtifactError(WrongKind.MISSING, said)
        files, stamps, total = [], {}, 0
        ask = partial(_ask, by, contract.path)
        # A link at the path itself is followed, as for a file; links below it are not.
        for one in entries_at(os.path.realpath(root)):
            path = os.path.join(contract.path, one.path)
            shown = shown_path(path)
            if one.problem:
                raise WrongArtifactError(WrongKind.MALFORMED, f"{shown}: {one.problem}")
            match one.kind:
                case EntryKind.DIRECTORY:
                    continue
                case EntryKind.SPECIAL:
                    said = f"{shown} is not a file, link or directory"
                    raise WrongArtifactError(WrongKind.MALFORMED, said)
                case EntryKind.LINK:
                    files.append(_link(one.path, one.target))
                    continue
                case EntryKind.FILE:
                    pass
            if (one.info.st_dev, one.info.st_ino) in by.unfinished:
                said = f"{shown} was still open for writing when its writer was ended"
                raise WrongArtifactError(WrongKind.MALFORMED, said)
            total = within(total + one.info.st_size)
            digest, size = self._digest(contract, path, one.descriptor or 0, ask)
            stamps[path] = stamp_of(one.info)
            files.append(Listed(one.path, digest, size))
        self._refuse_stale(contract, stamps)
        if self._terms is not None:
            self._break(self._terms.broken_by_size(contract, contract.path, total))
        return _artifact(contract, files, is_json=False)

    def _digest(
        self, contract: Contract, path: str, descriptor: int, ask: Callable[[], None]
    ) -> tuple[str, int]:
        """Return the digest and the length of a file in a directory, and judge its encoding."""
        if contract.encoding is None or self._terms is None:
            return digest_of(descriptor, ask)
        decoding = Decoding(contract.encoding)
        found = digest_of(descriptor, ask, decoding.feed)
        self._break(decoding.broken(path))
        return found

    def _refuse_stale(self, contract: Contract, now: Stamps) -> None:
        """Refuse a set if too few of its files were written since before the attempt."""
        if self._before is None:
            return
        before = self._before.get(contract.path, {})
        written = sum(
            path not in before or not before[path].is_unwritten(stamp)
            for path, stamp in now.items()
        )
        if written < contract.least_matches:
            said = "unchanged since before this attempt"
            if written:
                said = f"only {counted(written, 'file')} written by this attempt"
            raise WrongArtifactError(WrongKind.STALE, said)


def _ask(by: JudgedBy, path: str) -> None:
    if not by.may_go_on(path):
        raise JudgingCutShortError


def _link(path: str, target: str) -> Listed:
    """Return the line for a link: its text counts, not the file that it leads to."""
    import hashlib  # noqa: PLC0415 - rare

    return Listed(f"{path} ->", hashlib.sha256(os.fsencode(target)).hexdigest(), 0)


def _artifact(contract: Contract, files: Sequence[Listed], *, is_json: bool) -> Artifact:
    return Artifact(
        path=contract.path,
        sha256=list_digest(files),
        size_bytes=sum(one.size_bytes for one in files),
        judged_by=judge_name() if is_json else None,
        files=len(files),
    )
