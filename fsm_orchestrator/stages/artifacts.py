"""Judges the files that a stage was expected to write.

After the process has ended, each path is judged against the snapshot from before the spawn: good,
missing, malformed or stale. Nothing here hangs or has side effects, whatever is at a path: only
regular files are opened. Never writes, and decides nothing about the stage.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Collection, Sequence
from enum import Enum
from functools import partial
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from fsm_orchestrator.model.execution import Artifact
from fsm_orchestrator.secrets.masking import Masker
from fsm_orchestrator.stages.artifact_snapshot import ABSENT, Snapshot, stamp_of, stat_of
from fsm_orchestrator.stages.strict_json import judge_name, problem_of
from fsm_orchestrator.text.hidden import copyable

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

    from fsm_orchestrator.stages.contract_terms import Broken
    from fsm_orchestrator.stages.contracted import Contracted, Further

JSON_BYTES_MAX: Final = 128 * 1024**2
ARTIFACT_BYTES_MAX: Final = 16 * 1024**3

_READ_BYTES: Final = 1024**2
_OPEN_FLAGS: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
_KINDS: Final = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
}


class ArtifactProblem(NamedTuple):
    """An expected artifact that is wrong, and why: a phrase for people, without file contents."""

    path: str
    reason: str


class ArtifactsVerdict(NamedTuple):
    """Every expected path once, by kind, in the expected order."""

    good: tuple[Artifact, ...]
    missing: tuple[ArtifactProblem, ...]
    malformed: tuple[ArtifactProblem, ...]
    stale: tuple[ArtifactProblem, ...]
    broken: tuple[Broken, ...] = ()
    """The terms of contracts that files break."""

    @property
    def is_good(self) -> bool:
        """True if nothing is missing, malformed or stale."""
        return not (self.missing or self.malformed or self.stale)

    def summary(self) -> str:
        """Return the wrong ones by kind, on one line: `missing: /a (does not exist); stale: ...`.

        Empty if there are none. Characters that cannot be printed are escaped.
        """
        kinds = (("missing", self.missing), ("malformed", self.malformed), ("stale", self.stale))
        return "; ".join(
            f"{kind}: " + ", ".join(f"{copyable(at.path)} ({at.reason})" for at in problems)
            for kind, problems in kinds
            if problems
        )


NO_ARTIFACTS: Final = ArtifactsVerdict(good=(), missing=(), malformed=(), stale=())
"""The verdict if no artifacts are judged."""


def masked_artifacts(verdict: ArtifactsVerdict, masker: Masker) -> tuple[Artifact, ...]:
    """Return the good artifacts with their paths masked for a record."""
    return tuple(
        artifact.model_copy(update={"path": masker.mask(artifact.path)})
        for artifact in verdict.good
    )


def masked_paths(problems: tuple[ArtifactProblem, ...], masker: Masker) -> tuple[str, ...]:
    """Return the paths of wrong artifacts, masked for a record."""
    return masker.mask_all(problem.path for problem in problems)


class JudgingCutShortError(Exception):
    """The end of judging: the caller no longer wants a verdict."""


MayGoOn = Callable[[str], bool]
"""A callback that is asked repeatedly, with the path, whether a verdict is still wanted."""


def always(_path: str) -> bool:
    """Return True: a verdict is still wanted."""
    return True


class WrongKind(Enum):
    """The ways in which an artifact can be wrong."""

    MISSING = "missing"
    MALFORMED = "malformed"
    STALE = "stale"


class JudgedBy(NamedTuple):
    """The arguments of `judge` that apply to every path."""

    snapshot: Snapshot | None
    unfinished: Collection[tuple[int, int]]
    known: Collection[Artifact]
    may_go_on: MayGoOn


class WrongArtifactError(Exception):
    """The reason why an artifact is not good."""

    def __init__(self, kind: WrongKind, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind
        self.reason = reason


def judge(
    paths: Sequence[str],
    snapshot: Snapshot | None,
    *,
    allow_stale: bool,
    unfinished: Collection[tuple[int, int]] = (),
    known: Collection[Artifact] = (),
    may_go_on: MayGoOn = always,
    contracts: Contracted | None = None,
) -> ArtifactsVerdict:
    """Judge the files at `paths` now.

    Args:
        paths: absolute; a path given twice is judged once.
        snapshot: from before the attempt; None to check an earlier attempt's artifacts again, when
            nothing can be stale.
        allow_stale: True to accept files that the attempt left untouched.
        unfinished: the files, by device and inode, that were open for writing when their writer was
            ended: their content may be incomplete.
        known: artifacts that were good before: bytes that the same judge has found to be JSON are
            digested again, but not judged again.
        may_go_on: asked for each MiB that is read, and before and after each file.
        contracts: judges the paths that have contracts.

    Raises:
        JudgingCutShortError: `may_go_on` returned False.
    """
    good: list[Artifact] = []
    wrong: dict[WrongKind, list[ArtifactProblem]] = {kind: [] for kind in WrongKind}
    by = JudgedBy(None if allow_stale else snapshot, unfinished, known, may_go_on)
    for path in dict.fromkeys(paths):
        try:
            if contracts is None or not contracts.has(path):
                good.append(judge_file(path, by))
            else:
                good.append(contracts.judge(path, by))
        except WrongArtifactError as error:
            wrong[error.kind].append(ArtifactProblem(path, error.reason))
    return ArtifactsVerdict(
        good=tuple(good),
        missing=tuple(wrong[WrongKind.MISSING]),
        malformed=tuple(wrong[WrongKind.MALFORMED]),
        stale=tuple(wrong[WrongKind.STALE]),
        broken=() if contracts is None else tuple(contracts.broken),
    )


def judge_file(path: str, by: JudgedBy, further: Further | None = None) -> Artifact:
    """Return the artifact at `path`; `further` holds the demands of a contract.

    Raises:
        WrongArtifactError: it is not good.
    """
    try:
        # Checked before it is opened: opening a device may have an effect, and a FIFO may block.
        found = stat_of(path)
        _refuse_other_kinds(found)
        if (found.st_dev, found.st_ino) in by.unfinished:
            raise WrongArtifactError(
                WrongKind.MALFORMED, "still open for writing when its writer was ended"
            )
        descriptor = os.open(path, _OPEN_FLAGS)
        try:
            return _judge_open(path, descriptor, by, further)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise _wrong_from_os_error(path, error) from error
    except MemoryError as error:
        raise WrongArtifactError(WrongKind.MALFORMED, "too little memory to judge it") from error


def _judge_open(path: str, descriptor: int, by: JudgedBy, further: Further | None) -> Artifact:
    """Judge the file that was opened, whatever is at its path by now."""
    before = os.fstat(descriptor)
    _refuse_other_kinds(before)
    if by.snapshot is not None:
        _refuse_stale(path, before, by.snapshot)
    is_json = path.lower().endswith(".json") or (further is not None and further.is_json)
    judge = judge_name() if is_json else None
    bytes_max = ARTIFACT_BYTES_MAX if judge is None else JSON_BYTES_MAX
    if further is not None:
        bytes_max = min(bytes_max, further.bytes_max)
    if before.st_size > bytes_max:
        raise WrongArtifactError(
            WrongKind.MALFORMED, f"larger than {_size_text(bytes_max)}, not judged"
        )
    known = {
        one.sha256 for one in by.known if (one.size_bytes, one.judged_by) == (before.st_size, judge)
    }

    ask = partial(_ask, by.may_go_on, path)
    chunk = None if further is None else further.chunk
    keep = judge is not None and not (known and (further is None or further.document is None))
    digest, data = _read_as_it_was(descriptor, before, ask, keep=keep, chunk=chunk)
    problem = None
    if judge is not None and digest not in known:
        if known and not keep:
            digest, data = _read_as_it_was(descriptor, before, ask, keep=True)
        problem = problem_of(data, ask)
    ask()
    if problem is not None:
        raise WrongArtifactError(WrongKind.MALFORMED, problem)
    if further is not None and further.document is not None:
        further.document(data, ask)
    return Artifact(path=path, sha256=digest, size_bytes=before.st_size, judged_by=judge)


def _read_as_it_was(
    descriptor: int,
    before: os.stat_result,
    ask: Callable[[], None],
    *,
    keep: bool,
    chunk: Callable[[memoryview], None] | None = None,
) -> tuple[str, bytes | bytearray]:
    """Return the digest and, if `keep`, the content of a file.

    Raises:
        WrongArtifactError: it has changed since `before`.
    """
    os.lseek(descriptor, 0, os.SEEK_SET)
    with _AskingFile(descriptor, ask) as stream:
        digest, size_bytes, data = _read(stream, before.st_size, keep=keep, chunk=chunk)
    after = os.fstat(descriptor)
    if size_bytes != after.st_size or stamp_of(after) != stamp_of(before):
        raise WrongArtifactError(WrongKind.MALFORMED, "changed while it was read")
    return digest, data


def _ask(may_go_on: MayGoOn, path: str) -> None:
    """Raise unless a verdict is still wanted."""
    if not may_go_on(path):
        raise JudgingCutShortError


class _AskingFile(FileIO):
    """A file that asks before each read whether its content is still wanted."""

    def __init__(self, descriptor: int, ask: Callable[[], None]) -> None:
        super().__init__(descriptor, "rb", closefd=False)
        self._ask = ask

    def readinto(self, buffer: WriteableBuffer, /) -> int | None:
        """Read as much as is available into a buffer, or raise what asking raises."""
        self._ask()
        return super().readinto(buffer)


def _read(
    stream: FileIO,
    size_bytes: int,
    *,
    keep: bool,
    chunk: Callable[[memoryview], None] | None = None,
) -> tuple[str, int, bytes | bytearray]:
    """Return digest, length and, if `keep`, content of a file that should be `size_bytes` long.

    Read little further than that, however fast the file grows.
    """
    import hashlib  # noqa: PLC0415 - most stages have no artifacts

    digest = hashlib.sha256()
    # The content has its own buffer: joining pieces would hold all of it twice.
    room = bytearray(size_bytes + 1 if keep else _READ_BYTES)
    length = 0
    with memoryview(room) as view:
        while length <= size_bytes:
            begin = length if keep else 0
            count = stream.readinto(view[begin : begin + _READ_BYTES])
            if not count:
                break
            digest.update(view[begin : begin + count])
            if chunk is not None:
                chunk(view[begin : begin + count])
            length += count
    del room[length if keep else 0 :]
    return digest.hexdigest(), length, room


def _refuse_other_kinds(info: os.stat_result) -> None:
    """Raise unless `info` is of a regular file."""
    if not stat.S_ISREG(info.st_mode):
        kind = _KINDS.get(stat.S_IFMT(info.st_mode), "of an unknown kind")
        raise WrongArtifactError(WrongKind.MALFORMED, f"is {kind}, not a regular file")


def _refuse_stale(path: str, info: os.stat_result, snapshot: Snapshot) -> None:
    """Raise if the file at `path` was not written since `snapshot`."""
    stamp, before = stamp_of(info), snapshot.stamps.get(path)
    if before is not None and before.is_same_file(stamp):
        if before.is_unwritten(stamp) and path not in snapshot.watch.written():
            raise WrongArtifactError(WrongKind.STALE, "unchanged since before this attempt")
        return
    # A new link to an old file is stale too; if a path has no snapshot, only its stamp shows it.
    is_link = info.st_nlink > 1 or Path(path).is_symlink()
    if (is_link or path not in snapshot.stamps) and stamp.mtime_ns < snapshot.taken_at_ns:
        raise WrongArtifactError(WrongKind.STALE, "last changed before this attempt")


def _wrong_from_os_error(path: str, error: OSError) -> WrongArtifactError:
    """Return what an error in looking at, opening or reading `path` means for the artifact."""
    absent = ABSENT.get(error.errno or 0)
    if absent is None:
        return WrongArtifactError(WrongKind.MALFORMED, f"cannot be read: {error.strerror}")
    if error.errno == errno.ENOENT and os.path.lexists(path):
        absent = "a symbolic link to nothing"
    return WrongArtifactError(WrongKind.MISSING, absent)


def _size_text(size_bytes: int) -> str:
    """Return a size limit as people write it: `256 MiB`, `16 GiB`."""
    gibibytes, rest = divmod(size_bytes, 1024**3)
    return f"{size_bytes // 1024**2} MiB" if rest else f"{gibibytes} GiB"
