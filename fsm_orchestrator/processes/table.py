"""Finds and identifies the processes of a stage in /proc. Linux only; elsewhere: none.

A process is identified by its pid and start time together, so that a reused pid is never taken for
it. Signals nothing.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from fsm_orchestrator.model.execution import LeakedProcess
from fsm_orchestrator.processes.freezing import kernel_bytes

PROC = Path("/proc")
_NO_BOOT = "this boot"
# Fields of stat after the name, proc(5).
_STATE, _PARENT, _GROUP, _SESSION, _THREADS, _START, _RSS = 0, 1, 2, 3, 17, 19, 21


class ProcessKey(NamedTuple):
    """A live process: its pid, and its start time in clock ticks since boot."""

    pid: int
    start_ticks: int


def is_there() -> bool:
    """Return whether /proc exists, and is that of this process's pid namespace."""
    try:
        return os.readlink(f"{PROC}/self") == str(os.getpid())
    except OSError:
        return False


def session_members(session: int) -> tuple[ProcessKey, ...]:
    """List the live processes (no zombies) whose session or process group is `session`."""
    wanted = str(session)
    return tuple(
        ProcessKey(pid, int(fields[_START]))
        for pid, fields in _all_stat_fields()
        if wanted in (fields[_SESSION], fields[_GROUP])
    )


def descendants(ancestor: int) -> tuple[ProcessKey, ...]:
    """List the live processes below `ancestor`, excluding itself, parents before children.

    Below a subreaper that is everything that its children started, however detached.
    """
    children: dict[int, list[ProcessKey]] = {}
    for pid, fields in _all_stat_fields():
        key = ProcessKey(pid, int(fields[_START]))
        children.setdefault(int(fields[_PARENT]), []).append(key)
    found: list[ProcessKey] = list(children.get(ancestor, ()))
    for key in found:  # grows during the loop
        found.extend(children.get(key.pid, ()))
    return tuple(found)


def child_pids(parent: int) -> frozenset[int] | None:
    """List the children of a single-threaded process, including zombies; None if not known.

    One read instead of a walk over all processes (proc(5): /proc/PID/task/TID/children).
    """
    try:
        text = kernel_bytes(f"{PROC}/{parent}/task/{parent}/children")
    except OSError:
        return None
    return frozenset(map(int, text.split()))


def parent_of(pid: int) -> int | None:
    """Return the parent of a live process, or None if that cannot be known."""
    fields = _stat_fields(pid)
    return None if fields is None else int(fields[_PARENT])


def _all_stat_fields() -> Iterator[tuple[int, list[str]]]:
    try:
        entries = os.listdir(PROC)
    except OSError:
        return
    for entry in entries:
        if entry.isdigit():
            fields = _stat_fields(int(entry))
            if fields is not None:
                yield int(entry), fields


def group_of(pid: int) -> int | None:
    """Return the process group of a process, or None if it is gone."""
    try:
        return os.getpgid(pid)
    except OSError:
        return None


def is_alive(member: ProcessKey) -> bool:
    """Return whether that very process is still running."""
    fields = _stat_fields(member.pid)
    return fields is not None and int(fields[_START]) == member.start_ticks


def is_stopped(pid: int) -> bool:
    """Return whether a process is stopped, by a signal or a tracer; False if that is unknown."""
    fields = _stat_fields(pid)
    return fields is not None and fields[_STATE] in {"T", "t"}


def is_pending(pid: int, signum: int) -> bool:
    """Return whether a signal waits to be delivered to a process; False if that is unknown."""
    try:
        lines = (PROC / str(pid) / "status").read_text().splitlines()
    except OSError:
        return False
    pending = [int(line[7:], 16) for line in lines if line.startswith(("ShdPnd:", "SigPnd:"))]
    return any(mask & 1 << signum - 1 for mask in pending)


def identity(pid: int) -> str | None:
    """Return what distinguishes a process from a later one with the same pid; None if it is gone.

    On Linux: the boot's id and the start time in clock ticks, which no setting of the clock
    changes. Elsewhere: the time of its creation.
    """
    if not is_there():
        return None if sys.platform.startswith("linux") else _identity_elsewhere(pid)
    fields = _stat_fields(pid)
    if fields is None:
        return None
    return f"{_boot(PROC)}/{fields[_START]}"


def boot() -> str:
    """Return the id of this boot, or "" if none is known."""
    found = _boot(PROC) if sys.platform.startswith("linux") else ""
    return "" if found == _NO_BOOT else found


def _boot(proc: Path) -> str:
    """Return the id of this boot, which no process outlives."""
    try:
        return _boot_id(proc)
    except OSError:  # a /proc with nothing but processes (subset=pid), or no descriptor is free
        return _NO_BOOT


@lru_cache(maxsize=1)
def _boot_id(proc: Path) -> str:
    """Read the id of this boot, once it can be read.

    Raises:
        OSError: it cannot be read.
    """
    return (proc / "sys/kernel/random/boot_id").read_text().strip()


def _identity_elsewhere(pid: int) -> str | None:
    import psutil  # noqa: PLC0415 - not needed on Linux, where every run passes here

    try:
        return f"created/{psutil.Process(pid).create_time()}"
    except psutil.Error:
        return None


def age_seconds(pid: int) -> float | None:
    """Return the age of a process; None if it has ended, or without /proc."""
    fields = _stat_fields(pid)
    return None if fields is None else _age_seconds(int(fields[_START]))


def describe(member: ProcessKey) -> LeakedProcess | None:
    """Describe a process for a report; return None if it is gone."""
    fields = _stat_fields(member.pid)
    if fields is None or int(fields[_START]) != member.start_ticks:
        return None
    try:
        arguments = (PROC / str(member.pid) / "cmdline").read_bytes()
        name = (PROC / str(member.pid) / "comm").read_text(errors="replace").strip()
    except OSError:
        return None
    command = arguments.replace(b"\0", b" ").decode(errors="replace").strip() or f"[{name}]"
    return LeakedProcess(
        pid=member.pid,
        command=command,
        age_seconds=_age_seconds(member.start_ticks),
        rss_bytes=int(fields[_RSS]) * os.sysconf("SC_PAGE_SIZE"),
    )


def _age_seconds(start_ticks: int) -> float:
    now_seconds = time.clock_gettime(time.CLOCK_BOOTTIME)  # the clock of start times
    return round(max(0.0, now_seconds - start_ticks / os.sysconf("SC_CLK_TCK")), 2)


def _stat_fields(pid: int) -> list[str] | None:
    """Read the fields of /proc/PID/stat after the name; None if the process is gone or a zombie."""
    try:
        text = kernel_bytes(f"{PROC}/{pid}/stat")
    except OSError:
        return None
    fields = text[text.rfind(b")") + 2 :].decode("ascii").split()
    # Other threads of a process may still work after its first one has ended.
    has_ended = fields[_STATE] in {"Z", "X"} and int(fields[_THREADS]) <= 1
    return None if has_ended else fields
