"""The files that hold what stages print: their names, opening them, and finding them again."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from fsm_orchestrator.constants import LOGS_DIRECTORY, STATE_NAME_PATTERN
from fsm_orchestrator.disk import files
from fsm_orchestrator.disk.held import HeldDirectory
from fsm_orchestrator.errors import OperationError
from fsm_orchestrator.text.digest import sha256_of
from fsm_orchestrator.text.hidden import copyable
from fsm_orchestrator.text.late_pattern import late_pattern
from fsm_orchestrator.vocabulary import Operation

SEALED_BYTES_MAX: Final = 1024**2
"""The largest log that gets a digest, in bytes: a longer one is known by its times."""
_NAME: Final = late_pattern(rf"({STATE_NAME_PATTERN})\.([1-9][0-9]{{0,8}})\.(stdout|stderr)\.log")
_OF_VERIFICATION: Final = late_pattern(
    rf"({STATE_NAME_PATTERN})\.([1-9][0-9]{{0,8}})\.verify\.([1-9][0-9]{{0,8}})\.(stdout|stderr)\.log"
)


class StageLog(NamedTuple):
    """A log file of one attempt, or of a verification of it, which has a number."""

    attempt: int
    stage: str
    is_stderr: bool
    path: Path
    verification: int = 0


class LatestLog(NamedTuple):
    """A log of the last attempt of a stage, and its status when it was looked at."""

    attempt: int
    stage: str
    is_stderr: bool
    name: str
    status: os.stat_result

    @property
    def log(self) -> StageLog:
        """The log, for reading."""
        return StageLog(self.attempt, self.stage, self.is_stderr, Path(self.name))


def attempt_of(name: str) -> tuple[str, int] | None:
    """Return the stage and number of the attempt that made a file in `logs/`; None for others."""
    stage, number, *rest = f"{name}.".split(".")
    if not number.isdecimal() or "verify" in rest:  # it may be verified again
        return None
    return stage, int(number)


def logs_of(directory: Path) -> tuple[StageLog, ...]:
    """Return the log files in a run's directory, by stage and attempt, stdout before stderr.

    Links and anything else that is not a regular file are left out.
    """
    return tuple(sorted(_found(directory), key=lambda log: (log.stage, log.attempt, log.is_stderr)))


def verification_logs_of(directory: Path) -> tuple[StageLog, ...]:
    """Return the log files of verifications in a run's directory, in the order of `logs_of`."""
    found = (
        StageLog(int(match[2]), match[1], match[4] == "stderr", Path(entry.path), int(match[3]))
        for entry in _entries(directory)
        if (match := _OF_VERIFICATION.fullmatch(entry.name)) is not None
        and entry.is_file(follow_symlinks=False)
    )
    return tuple(
        sorted(found, key=lambda log: (log.stage, log.attempt, log.verification, log.is_stderr))
    )


def _entries(directory: Path) -> list[os.DirEntry[str]]:
    try:
        return list(os.scandir(directory / LOGS_DIRECTORY))
    except OSError:
        return []


def _found(directory: Path) -> Iterator[StageLog]:
    for entry in _entries(directory):
        match = _NAME.fullmatch(entry.name)
        if match is not None and entry.is_file(follow_symlinks=False):
            yield StageLog(int(match[2]), match[1], match[3] == "stderr", Path(entry.path))


def latest_logs(directory: Path) -> list[LatestLog]:
    """Return the logs of the last attempt of each stage; of the others, read only the names."""
    latest: dict[str, list[tuple[int, bool, os.DirEntry[str]]]] = {}
    try:
        with os.scandir(os.path.join(directory, LOGS_DIRECTORY)) as entries:
            for entry in entries:
                match = _NAME.fullmatch(entry.name)
                if match is None or not entry.is_file(follow_symlinks=False):
                    continue
                stage, attempt = match[1], int(match[2])
                found = latest.setdefault(stage, [])
                if found and found[0][0] < attempt:
                    found.clear()
                if not found or found[0][0] == attempt:
                    found.append((attempt, match[3] == "stderr", entry))
    except OSError:
        return []
    logs = []
    for stage, found in latest.items():
        for attempt, is_stderr, entry in found:
            with contextlib.suppress(OSError):
                status = entry.stat(follow_symlinks=False)
                logs.append(LatestLog(attempt, stage, is_stderr, entry.path, status))
    return logs


def log_names(stage: str, attempt: int, verification: int = 0) -> tuple[str, str]:
    """Return the paths of an attempt's stdout and stderr, relative to the output directory.

    `verification` is the number of a verification of it, whose output has its own files.
    """
    base = f"{LOGS_DIRECTORY}/{stage}.{attempt}{(verification and f'.verify.{verification}') or ''}"
    return f"{base}.stdout.log", f"{base}.stderr.log"


def postmortem_name(stage: str, attempt: int) -> str:
    """Return the path of an attempt's black box, relative to the output directory."""
    return f"{LOGS_DIRECTORY}/{stage}.{attempt}.postmortem.json"


def meter_name(stage: str, attempt: int) -> str:
    """Return the path of an attempt's meter, relative to the output directory."""
    return f"{LOGS_DIRECTORY}/{stage}.{attempt}.meter.jsonl"


def protected_name(stage: str, attempt: int) -> str:
    """Return the path of the state of protected paths before an attempt, relative likewise."""
    return f"{LOGS_DIRECTORY}/{stage}.{attempt}.protected.json"


def _is_at(path: str, found: os.stat_result) -> bool:
    """Return whether the file that was `found` by its descriptor is at `path` now."""
    try:
        here = os.lstat(path)
    except OSError:
        return False
    return os.path.samestat(here, found)


@contextlib.contextmanager
def open_logs(
    home: HeldDirectory, stage: str, attempt: int, verification: int = 0
) -> Iterator[tuple[int, int]]:
    """Open an attempt's two logs for appending; private, because a stage can print anything.

    `verification` is as in `log_names`.

    Raises:
        RecordingError: they cannot be opened.
    """
    descriptors: list[int] = []
    try:
        with (
            files.recording(Operation.LOGS_PERSIST, home.path / LOGS_DIRECTORY),
            files.below(home, LOGS_DIRECTORY) as logs,  # the next checkpoint makes it durable
        ):
            for path in (home.path / name for name in log_names(stage, attempt, verification)):
                with files.recording(Operation.LOGS_PERSIST, path):
                    descriptors.append(files.open_append(path, mode=0o600, within=logs))
        yield descriptors[0], descriptors[1]
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def check_logs(
    home: HeldDirectory,
    names: tuple[str, int] | tuple[str, int, int],
    logs: tuple[int, int],
    sizes: Sequence[int],
) -> None:
    """Make sure that an attempt's logs hold everything written to them, and are in place.

    Args:
        home: the output directory.
        names: the stage and the number of the attempt, and of a verification.
        logs: the descriptors of its two logs.
        sizes: the bytes that each of them must hold at least.

    Raises:
        OperationError: one was cut, removed or replaced, by the stage or somebody else.
    """
    try:
        home.confirm()
    except OSError:  # the directory itself: the next write there reports that
        return
    for descriptor, name, size in zip(logs, log_names(*names), sizes, strict=True):
        path, found = f"{home.path}/{name}", os.fstat(descriptor)
        if found.st_size < size or not _is_at(path, found):
            raise OperationError(
                Operation.LOGS_PERSIST,
                f"{copyable(path)} was cut, moved or removed while stage {names[0]!r} was at"
                " work: what it"
                " printed is lost",
                remedy="find out who did that, the stage itself perhaps, then resume",
            )


class _Seal(NamedTuple):
    """A log as it was when its attempt had ended; without a digest if it is long."""

    status: os.stat_result
    sha256: str | None


class LogSeals:
    """The logs of attempts that have ended, to notice what a later stage does to them."""

    def __init__(self, output: Path) -> None:
        self._before = os.path.join(output, "")
        self._sealed: dict[str, _Seal] = {}

    def seal(self, stage: str, attempt: int) -> None:
        """Note the logs of an attempt whose processes are gone."""
        for name in log_names(stage, attempt):
            with contextlib.suppress(OSError):
                status = os.lstat(self._before + name)
                self._sealed[name] = _Seal(status, self._digest(name, status))

    def confirm(self) -> None:
        """Make sure that none of them has changed.

        Raises:
            OperationError: one has. Raised once for each.
        """
        for name, seal in list(self._sealed.items()):
            if not self._is_unchanged(name, seal):
                del self._sealed[name]
                raise OperationError(
                    Operation.CONTROL_VERIFY,
                    f"{copyable(self._before + name)} was changed, moved or removed after its"
                    " attempt had ended",
                    remedy="find out who did that, a later stage perhaps, then resume",
                )

    def _is_unchanged(self, name: str, seal: _Seal) -> bool:
        try:
            now = os.lstat(self._before + name)
            is_same = _stamp(now) == _stamp(seal.status)
            if is_same and (seal.sha256 is None or now.st_ctime_ns == seal.status.st_ctime_ns):
                return True
            # Another link or other permissions do not change its content.
            return seal.sha256 is not None and seal.sha256 == self._digest(name, now)
        except OSError:
            return False

    def _digest(self, name: str, status: os.stat_result) -> str | None:
        if status.st_size > SEALED_BYTES_MAX:
            return None
        data = b""
        if status.st_size:
            data = files.read_bounded(Path(self._before + name), SEALED_BYTES_MAX)
        return sha256_of(data)


def _stamp(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
