"""Counts the kernel's out-of-memory kills, in this control group or on the machine.

Linux. A process killed this way got SIGKILL, which nothing distinguishes from any other SIGKILL.
"""

from __future__ import annotations

import contextlib
import functools
import signal
from enum import StrEnum
from typing import Final, NamedTuple

from fsm_orchestrator.constants import SIGNAL_BASE
from fsm_orchestrator.model.endings import Exited, ProcessEnd, Signaled
from fsm_orchestrator.processes.freezing import kernel_bytes

_KEY: Final = b"oom_kill"
_MACHINE: Final = "/proc/vmstat"
_UNIFIED: Final = ("/sys/fs/cgroup{}/memory.events", "/sys/fs/cgroup/unified{}/memory.events")
_LEGACY: Final = "/sys/fs/cgroup/memory{}/memory.oom_control"


class MemoryKill(StrEnum):
    """A finding about the time between two readings of the counts, as text for people."""

    OURS = "while it ran, the kernel killed a process of its control group to free memory"
    SOMEBODY = "while it ran, the kernel killed a process of this machine to free memory"
    NOBODY = "not sent by this program, and nothing was killed to free memory in the meantime"
    UNKNOWN = "not sent by this program; memory may have run out: the kernel's log would show it"


class MemoryKills(NamedTuple):
    """A reading of the counts; None for a count that does not exist."""

    group: int | None
    machine: int | None

    @classmethod
    def now(cls) -> MemoryKills:
        """Read the counts; that of the machine only if the group has none."""
        with contextlib.suppress(OSError):
            path = _group_file()
            group = None if path is None else _count(path)
            if group is not None:
                return cls(group, None)
        with contextlib.suppress(OSError):
            return cls(None, _count(_MACHINE))
        return cls(None, None)

    def until(self, later: MemoryKills) -> MemoryKill:
        """Return what happened between this reading and a later one."""
        if self.group is not None and later.group is not None:
            return MemoryKill.OURS if later.group > self.group else MemoryKill.NOBODY
        if self.machine is not None and later.machine is not None:
            return MemoryKill.SOMEBODY if later.machine > self.machine else MemoryKill.NOBODY
        return MemoryKill.UNKNOWN


@functools.cache
def _group_file() -> str | None:
    """Find the file with the count of this process's control group.

    Raises:
        OSError: its groups, or the file, cannot be read at this moment.
    """
    with open("/proc/self/cgroup", encoding="utf-8", errors="surrogateescape") as file:
        lines = [line.rstrip("\n").split(":", 2) for line in file]
    for words in lines:
        if len(words) != 3:  # noqa: PLR2004 - number, controllers, path
            continue
        path = "" if words[2] == "/" else words[2]
        patterns = _UNIFIED if words[0] == "0" else (_LEGACY,) if words[1] == "memory" else ()
        for name in (pattern.format(path) for pattern in patterns):
            if _count(name) is not None:
                return name
    return None


def _count(path: str) -> int | None:
    """Return the count in a file, or None if there is no such file or no such count.

    Raises:
        OSError: the file exists and cannot be read at this moment.
    """
    try:
        lines = kernel_bytes(path).splitlines()
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return None
    for words in map(bytes.split, lines):
        if len(words) == 2 and words[0] == _KEY and words[1].isdigit():  # noqa: PLR2004 - name, number
            return int(words[1])
    return None


def is_kill(end: ProcessEnd) -> bool:
    """Return whether a process got SIGKILL; a shell's exit code reports that of its last child."""
    killed = signal.SIGKILL
    if isinstance(end, Signaled):
        return end.signum == killed
    return end == Exited(SIGNAL_BASE + killed)
