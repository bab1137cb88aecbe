"""Checks that the promises hold here: on this machine, file system and directory.

Each check does the real thing in a scratch directory and reports the outcome. The sweep of kills
and resumes is in sweep.py. Nothing outside the scratch directory is written, and nothing harmful is
started.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Final

import psutil

from fsm_orchestrator.disk import files
from fsm_orchestrator.disk.lock import OutputLock
from fsm_orchestrator.errors import BusyError, OperationError
from fsm_orchestrator.model.base import StrictModel
from fsm_orchestrator.model.declared import Field
from fsm_orchestrator.model.endings import TimedOut, WentQuiet
from fsm_orchestrator.model.limits import Limits
from fsm_orchestrator.processes.command import Command
from fsm_orchestrator.processes.interrupts import Interrupts
from fsm_orchestrator.processes.runner import ProcessRunner
from fsm_orchestrator.processes.table import identity
from fsm_orchestrator.selftest.freshness import freshness
from fsm_orchestrator.selftest.sweep import PYTHON, SweepError, sweep
from fsm_orchestrator.vocabulary import Containment

PATIENCE_SECONDS: Final = 20.0
FSYNC_COUNT: Final = 20
FSYNC_INSTANT_SECONDS: Final = 20e-6
"""A time shorter than any device takes to answer: no device was asked."""
REPLACEMENTS: Final = 200
CONTENT_BYTES: Final = 64 * 1024
VOLATILE_FILE_SYSTEMS: Final = frozenset({"tmpfs", "ramfs"})

_HOLD_LOCK = f"""\
import sys, time
from pathlib import Path
from {OutputLock.__module__} import OutputLock
lock = OutputLock.acquire(Path(sys.argv[1]))
lock.write_holder(since="now", run_id="selftest")
print("held", flush=True)
time.sleep(60)
"""
_REPLACE = f"""\
import itertools, sys
from pathlib import Path
from {files.__name__} import replace_file
path = Path(sys.argv[1])
for letter in itertools.cycle("ab"):
    replace_file(path, letter.encode() * int(sys.argv[2]))
"""
_DAEMON = "(setsid sleep 60 </dev/null >/dev/null 2>&1 &) ; exit 0"


class Verdict(StrEnum):
    """The outcome of a check: the promise holds, holds with a restriction, or is broken."""

    HOLDS = "holds"
    LIMITED = "limited"
    BROKEN = "broken"


class Check(StrictModel):
    """One check and its outcome."""

    name: str = Field(description="What was checked.")
    verdict: Verdict = Field(description="Whether the promise holds here.")
    detail: str = Field(description="What was seen.")


def selftest(output_directory: Path, *, kills: int) -> Iterator[Check]:
    """Run the checks in a scratch directory below `output_directory`, one after the other.

    The scratch directory is removed, unless a check found something broken: then its name is in the
    detail.

    Args:
        output_directory: where runs would be; it must exist.
        kills: how many runs to kill and resume.

    Raises:
        OSError: no scratch directory can be made.
    """
    scratch = Path(tempfile.mkdtemp(prefix=".selftest-", dir=output_directory))
    is_broken = False
    checks: tuple[tuple[str, Callable[[Path], tuple[Verdict, str]]], ...] = (
        ("lock", _check_lock),
        ("atomic replacement", _check_replacement),
        ("fsync", _check_fsync),
        ("fresh artifacts", _check_freshness),
        ("containment", _check_containment),
        ("kill and resume", lambda directory: _check_sweep(directory, kills)),
    )
    try:
        for name, check in checks:
            directory = scratch / name.replace(" ", "-")
            directory.mkdir()
            try:
                verdict, detail = check(directory)
            except (OSError, OperationError, subprocess.SubprocessError) as error:
                verdict, detail = Verdict.BROKEN, f"{type(error).__name__}: {error}"
            if verdict is Verdict.BROKEN:
                is_broken = True
                detail = f"{detail} (left in {directory})"
            yield Check(name=name, verdict=verdict, detail=detail)
    finally:  # also if the caller stops early
        if not is_broken:
            shutil.rmtree(scratch, ignore_errors=True)


def _check_lock(directory: Path) -> tuple[Verdict, str]:
    """Check that a held lock keeps another process out, and dies with its holder."""
    with _python(_HOLD_LOCK, str(directory)) as holder:
        try:
            if holder.stdout is None or holder.stdout.readline() != b"held\n":
                return Verdict.BROKEN, "the lock could not be taken"
            try:
                OutputLock.acquire(directory).release()
            except BusyError:
                is_kept_out = True
            else:
                is_kept_out = False
        finally:
            holder.kill()
    if not is_kept_out:
        return Verdict.BROKEN, "two processes had the lock at once: flock(2) does nothing here"
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        try:
            OutputLock.acquire(directory).release()
        except BusyError:
            time.sleep(0.01)
            continue
        return Verdict.HOLDS, "one holder at a time; freed when its holder is killed"
    return Verdict.BROKEN, "the lock of a process that was killed stays held"


def _check_replacement(directory: Path) -> tuple[Verdict, str]:
    """Check that a reader sees one content or the other, even if the writer is killed."""
    path = directory / "content"
    files.replace_file(path, b"a" * CONTENT_BYTES)
    seen: set[bytes] = set()
    with _python(_REPLACE, str(path), str(CONTENT_BYTES)) as writer:
        deadline = time.monotonic() + PATIENCE_SECONDS
        count = 0
        while time.monotonic() < deadline and (count < REPLACEMENTS or len(seen) == 1):
            seen.add(_digest(path))
            count += 1
        writer.kill()
    seen.add(_digest(path))
    if seen <= {b"a", b"b"}:
        return Verdict.HOLDS, f"{count} looks at a file being replaced, each whole"
    return Verdict.BROKEN, "a reader saw a file that was half replaced"


def _check_fsync(directory: Path) -> tuple[Verdict, str]:
    """Check that fsync is accepted for files and directories, and reaches a device."""
    file_system, options = _mount_of(directory)
    path = directory / "synced"
    began = time.monotonic()
    for number in range(FSYNC_COUNT):
        files.replace_file(path, b"%d" % number)
    each_ms = (time.monotonic() - began) / FSYNC_COUNT * 1000
    seen = f"{each_ms:.2f} ms for a file replaced durably on {file_system}"
    if file_system in VOLATILE_FILE_SYSTEMS:
        return Verdict.LIMITED, f"{seen}, which is memory: kept through a kill, not a power cut"
    if "volatile" in options:
        return Verdict.LIMITED, f"{seen}, mounted volatile: kept through a kill, not a power cut"
    if each_ms / 1000 < FSYNC_INSTANT_SECONDS:
        return Verdict.LIMITED, f"{seen}: too fast for any device, so it may keep nothing"
    return Verdict.HOLDS, seen


def _check_freshness(directory: Path) -> tuple[Verdict, str]:
    """Check that artifacts that an attempt wrote are distinguished from those it found."""
    seen, is_right = freshness(directory)
    return Verdict.HOLDS if is_right else Verdict.BROKEN, seen


class _Silent:
    """An observer that ignores the process."""

    def started(self, pid: int) -> None:
        """Ignore it."""

    def slow(self, elapsed_ms: int) -> None:
        """Ignore it."""

    def suspended(self, paused_ms: int) -> None:
        """Ignore it."""

    def ending(
        self, stopped: TimedOut | WentQuiet, processes: tuple[int, ...], silent_seconds: float
    ) -> None:
        """Ignore it."""


def _check_containment(directory: Path) -> tuple[Verdict, str]:
    """Check that a daemon is found and ended when the stage that started it has ended."""
    interrupts = Interrupts()
    runner = ProcessRunner(interrupts)
    output = files.open_append(directory / "log")
    try:
        if runner.reach() is Containment.PROCESS_GROUP:
            return Verdict.LIMITED, f"process group only: {runner.unable}"
        command = Command(
            "/bin/sh", ("-c", _DAEMON), str(directory), dict(os.environ), None, output, output
        )
        limits = Limits(timeout_ms=10_000, kill_grace_ms=1_000)
        report = runner.run(command, limits, _Silent())
    finally:
        os.close(output)
        runner.close()
        interrupts.close()
    alive = [one.pid for one in report.leaked if identity(one.pid) is not None]
    if len(report.leaked) == 1 and not alive:
        return Verdict.HOLDS, "a daemon in a session of its own was found and ended"
    return Verdict.BROKEN, f"a daemon got away: {len(report.leaked)} found, {len(alive)} alive"


def _check_sweep(directory: Path, kills: int) -> tuple[Verdict, str]:
    try:
        return Verdict.HOLDS, sweep(directory, kills)
    except SweepError as error:
        return Verdict.BROKEN, str(error)


def _python(code: str, *arguments: str) -> subprocess.Popen[bytes]:
    """Start Python on `code`, with the module path of this process."""
    prepared = f"import sys\nsys.path[:] = {sys.path!r}\n{code}"
    return subprocess.Popen(
        [*PYTHON, "-c", prepared, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )


def _digest(path: Path) -> bytes:
    """Return `a` or `b` for a file that is whole, else something else."""
    data = path.read_bytes()
    return data[:1] if data == data[:1] * CONTENT_BYTES else b"torn"


def _mount_of(directory: Path) -> tuple[str, str]:
    """Return the type and options of the file system that a directory is on."""
    real = os.path.realpath(directory)
    mounts = [
        mount
        for mount in psutil.disk_partitions(all=True)
        if real == mount.mountpoint or real.startswith(mount.mountpoint.rstrip("/") + "/")
    ]
    if not mounts:
        return "an unknown file system", ""
    nearest = max(mounts, key=lambda mount: len(mount.mountpoint))
    return nearest.fstype, nearest.opts
