"""Judges the files a stage was expected to write.

A snapshot is taken before the spawn; after the process has ended each path is judged against it:
good, missing, malformed or stale. Nothing here hangs or has side effects whatever sits at a path:
only regular files are opened. Never writes, and decides nothing about the stage.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import sys
import time
from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from fsm_orchestrator.model.execution import Artifact
from fsm_orchestrator.stages.strict_json import problem_of
from fsm_orchestrator.text.phrases import printable_name

JSON_BYTES_MAX: Final = 128 * 1024**2
ARTIFACT_BYTES_MAX: Final = 16 * 1024**3

_READ_BYTES: Final = 1024**2
_OPEN_FLAGS: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
_STAMPS_SETTLE_NS: Final = 20_000_000
"""Longer than any kernel's tick, by which file systems stamp: 10 ms at the most."""
_FILE_CLOCK: Final = 5 if sys.platform == "linux" else time.CLOCK_REALTIME
"""What files are stamped by. Linux has CLOCK_REALTIME_COARSE for it, up to a tick behind the clock
that everybody reads; module `time` has no name for it."""

_ABSENT: Final = {
    errno.ENOENT: "does not exist",
    errno.ENOTDIR: "a parent is not a directory",
    errno.ELOOP: "a loop of symbolic links",
    errno.ENAMETOOLONG: "does not exist: the name is too long",
}
_KINDS: Final = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
}


class _Stamp(NamedTuple):
    """What changes whenever a file is written anew or replaced."""

    device: int
    inode: int
    size_bytes: int
    mtime_ns: int
    ctime_ns: int


class Snapshot(NamedTuple):
    """What was at the expected paths before an attempt.

    Attributes:
        taken_at_ns: by the clock that stamps files, since the epoch: what was changed before the
            snapshot was begun is stamped earlier, what is changed after it is not.
        stamps: by path; None where there was nothing. A path that could not be looked at is left
            out.
    """

    taken_at_ns: int
    stamps: Mapping[str, _Stamp | None]


class ArtifactProblem(NamedTuple):
    """An expected artifact that is wrong, and why: a phrase for people, without file contents."""

    path: str
    reason: str


class ArtifactsVerdict(NamedTuple):
    """Every expected path once, by kind, in the order in which they were expected."""

    good: tuple[Artifact, ...]
    missing: tuple[ArtifactProblem, ...]
    malformed: tuple[ArtifactProblem, ...]
    stale: tuple[ArtifactProblem, ...]

    @property
    def is_good(self) -> bool:
        """Whether nothing is wrong."""
        return not (self.missing or self.malformed or self.stale)

    def summary(self) -> str:
        """All wrong ones by kind, on one line: `missing: /a (does not exist); stale: ...`.

        Empty if there are none. Characters that cannot be printed are escaped.
        """
        kinds = (("missing", self.missing), ("malformed", self.malformed), ("stale", self.stale))
        return "; ".join(
            f"{kind}: " + ", ".join(f"{printable_name(at.path)} ({at.reason})" for at in problems)
            for kind, problems in kinds
            if problems
        )


class _Kind(Enum):
    """How an artifact can be wrong."""

    MISSING = "missing"
    MALFORMED = "malformed"
    STALE = "stale"


class _WrongError(Exception):
    """Why one artifact is not good."""

    def __init__(self, kind: _Kind, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind
        self.reason = reason


def take_snapshot(paths: Sequence[str]) -> Snapshot:
    """Note what is at `paths` now, so that what an attempt left as it was can be told later.

    File systems stamp by a clock that ticks every few milliseconds. So this waits for the next
    tick, and for up to 20 ms more while a file bears a stamp of just now: a rewrite in place right
    after the return then differs. Without paths it returns at once.
    """
    if not paths:
        return Snapshot(taken_at_ns=_file_clock_ns(), stamps={})
    taken_at_ns = _next_tick_ns()
    stamps = _stamps_at(paths)
    youngest_ns = max((max(at.mtime_ns, at.ctime_ns) for at in stamps.values() if at), default=0)
    unsettled_ns = youngest_ns + _STAMPS_SETTLE_NS - _file_clock_ns()
    if unsettled_ns > 0:
        # A stamp from the future never settles: it is worth no longer a wait than any other.
        time.sleep(min(unsettled_ns, _STAMPS_SETTLE_NS) / 1e9)
        stamps = _stamps_at(paths)
    return Snapshot(taken_at_ns=taken_at_ns, stamps=stamps)


def judge(
    paths: Sequence[str], snapshot: Snapshot | None, *, allow_stale: bool
) -> ArtifactsVerdict:
    """Judge what is at `paths` now.

    Args:
        paths: absolute; one given twice is judged once.
        snapshot: from before the attempt; None when an earlier attempt's artifacts are checked
            again, where nothing can be stale.
        allow_stale: whether what the attempt left untouched is good too.
    """
    good: list[Artifact] = []
    wrong: dict[_Kind, list[ArtifactProblem]] = {kind: [] for kind in _Kind}
    for path in dict.fromkeys(paths):
        try:
            good.append(_judge_one(path, None if allow_stale else snapshot))
        except _WrongError as error:
            wrong[error.kind].append(ArtifactProblem(path, error.reason))
    return ArtifactsVerdict(
        good=tuple(good),
        missing=tuple(wrong[_Kind.MISSING]),
        malformed=tuple(wrong[_Kind.MALFORMED]),
        stale=tuple(wrong[_Kind.STALE]),
    )


def _judge_one(path: str, snapshot: Snapshot | None) -> Artifact:
    """The artifact at `path`.

    Raises:
        _WrongError: if it is not good.
    """
    try:
        # Looked at before it is opened: opening a device may do something, and a FIFO may wait.
        _refuse_other_kinds(_stat(path))
        descriptor = os.open(path, _OPEN_FLAGS)
        try:
            return _judge_open(path, descriptor, snapshot)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise _wrong_from_os_error(path, error) from error
    except MemoryError as error:
        raise _WrongError(_Kind.MALFORMED, "too little memory to judge it") from error


def _judge_open(path: str, descriptor: int, snapshot: Snapshot | None) -> Artifact:
    """The same, once the file is open. What counts from here on is what was opened."""
    before = os.fstat(descriptor)
    _refuse_other_kinds(before)
    if snapshot is not None:
        _refuse_stale(path, _stamp_from_stat(before), snapshot)
    is_json = path.lower().endswith(".json")
    bytes_max = JSON_BYTES_MAX if is_json else ARTIFACT_BYTES_MAX
    if before.st_size > bytes_max:
        raise _WrongError(_Kind.MALFORMED, f"larger than {_size_text(bytes_max)}, not judged")
    with os.fdopen(descriptor, "rb", buffering=0, closefd=False) as stream:
        digest, size_bytes, data = _read(stream, before.st_size, keep=is_json)
    after = os.fstat(descriptor)
    if size_bytes != after.st_size or _stamp_from_stat(after) != _stamp_from_stat(before):
        raise _WrongError(_Kind.MALFORMED, "changed while it was read")
    if is_json and (problem := problem_of(data)) is not None:
        raise _WrongError(_Kind.MALFORMED, problem)
    return Artifact(path=path, sha256=digest, size_bytes=size_bytes)


def _read(stream: BinaryIO, size_bytes: int, *, keep: bool) -> tuple[str, int, bytes]:
    """Digest, length and, if `keep`, the content of a file that should be `size_bytes` long.

    Reads little further than that, however fast the file grows.
    """
    digest = hashlib.sha256()
    kept: list[bytes] = []
    length = 0
    # What is kept is read in one piece, for joining several would hold all of it twice.
    piece_bytes = size_bytes + 1 if keep else _READ_BYTES
    while length <= size_bytes and (piece := stream.read(piece_bytes)):
        digest.update(piece)
        length += len(piece)
        if keep:
            kept.append(piece)
    return digest.hexdigest(), length, b"".join(kept)


def _refuse_other_kinds(info: os.stat_result) -> None:
    """Raise unless `info` is of a regular file."""
    if not stat.S_ISREG(info.st_mode):
        kind = _KINDS.get(stat.S_IFMT(info.st_mode), "of an unknown kind")
        raise _WrongError(_Kind.MALFORMED, f"is {kind}, not a regular file")


def _refuse_stale(path: str, stamp: _Stamp, snapshot: Snapshot) -> None:
    """Raise if the file at `path` was not written since `snapshot`."""
    if path in snapshot.stamps and snapshot.stamps[path] == stamp:
        raise _WrongError(_Kind.STALE, "unchanged since before this attempt")
    # A new link to an old file is as stale; where nobody could look, only the stamp can tell.
    is_doubtful = path not in snapshot.stamps or Path(path).is_symlink()
    if is_doubtful and stamp.ctime_ns < snapshot.taken_at_ns:
        raise _WrongError(_Kind.STALE, "last changed before this attempt")


def _wrong_from_os_error(path: str, error: OSError) -> _WrongError:
    """What an error in looking at, opening or reading `path` makes of the artifact."""
    absent = _ABSENT.get(error.errno or 0)
    if absent is None:
        return _WrongError(_Kind.MALFORMED, f"cannot be read: {error.strerror}")
    if error.errno == errno.ENOENT and os.path.lexists(path):
        absent = "a symbolic link to nothing"
    return _WrongError(_Kind.MISSING, absent)


def _stamps_at(paths: Sequence[str]) -> dict[str, _Stamp | None]:
    """The stamps for a snapshot, of what can be looked at."""
    stamps: dict[str, _Stamp | None] = {}
    for path in paths:
        try:
            stamps[path] = _stamp_from_stat(_stat(path))
        except OSError as error:
            if error.errno in _ABSENT:
                stamps[path] = None
    return stamps


def _stat(path: str) -> os.stat_result:
    """What is at `path`, links followed; a name that no file can have counts as absent."""
    try:
        return Path(path).stat()
    except ValueError as error:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)) from error


def _stamp_from_stat(info: os.stat_result) -> _Stamp:
    return _Stamp(info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns)


def _next_tick_ns() -> int:
    """Wait until nothing written from now on is stamped as early as anything until now.

    Returns:
        The earliest stamp that a file written from now on can bear.
    """
    give_up_at_seconds = time.monotonic() + _STAMPS_SETTLE_NS / 1e9
    # Newer kernels give some files a finer stamp: so the coarse clock has to pass the fine one.
    # Nothing read here is reported as a time: it is only compared with what files bear.
    began_ns = time.time_ns()
    while (tick_ns := _file_clock_ns()) <= began_ns and time.monotonic() < give_up_at_seconds:
        time.sleep(0.0005)
    return tick_ns


def _file_clock_ns() -> int:
    """What a file written now is stamped with, at the least."""
    return time.clock_gettime_ns(_FILE_CLOCK)


def _size_text(size_bytes: int) -> str:
    """`256 MiB`, `16 GiB`: a bound as people say it."""
    gibibytes, rest = divmod(size_bytes, 1024**3)
    return f"{size_bytes // 1024**2} MiB" if rest else f"{gibibytes} GiB"
