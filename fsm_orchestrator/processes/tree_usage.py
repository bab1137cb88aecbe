"""The resources that all processes of a stage use together, sampled while it runs. Linux.

It runs in the keeper's process, whose interpreter cannot import this package. Sampled: what comes
and goes between two looks is not seen. Memory is the processes' own (resident, not shared);
processor time includes that of processes that have ended.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False  # as in keeper.py
if TYPE_CHECKING:
    import resource

    from fsm_orchestrator.processes.tree_cgroup import TreeCgroup
if TYPE_CHECKING or __package__:
    from fsm_orchestrator.processes.freezing import fields_of, kernel_bytes
else:  # in the keeper's own process
    import stage_start
    from freezing import fields_of, kernel_bytes

SAMPLE_SECONDS = 0.2
MEMORY, PROCESSES, PROCESSOR = 4, 5, 6
"""The limits, numbered after those of stage_watch.py."""
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_TICKS = os.sysconf("SC_CLK_TCK")


class TreeUsage:
    """The limits of everything below this process; None stands for no limit."""

    def __init__(
        self, memory_bytes: int | None, processes: int | None, cpu_seconds: int | None
    ) -> None:
        self._limits = {MEMORY: memory_bytes, PROCESSES: processes, PROCESSOR: cpu_seconds}
        self._reaped_before = _reaped_seconds()
        self.next_at = 0.0
        self.cgroup: TreeCgroup | None = None
        """The cgroup in which the kernel counts the memory and bounds the processes."""
        if memory_bytes is not None or processes is not None:
            self.cgroup = _cgroup(memory_bytes, processes)

    @property
    def is_limited(self) -> bool:
        """True if there is anything to look for."""
        return any(limit is not None for limit in self._limits.values())

    def exceeded(self, now: float) -> tuple[int, int] | None:
        """Look; return the first limit that is exceeded, and the amount used."""
        self.next_at = now + SAMPLE_SECONDS
        by_kernel = self.killed_for_memory()
        if by_kernel is not None:
            return by_kernel
        alive = _below(os.getpid())
        memory = sum(map(_own_bytes, alive))
        processor = sum(map(_seconds, alive.values()), _reaped_seconds() - self._reaped_before)
        used = {MEMORY: memory, PROCESSES: len(alive), PROCESSOR: int(processor)}
        for one, limit in self._limits.items():
            is_counted = one != MEMORY or self.cgroup is None
            if is_counted and limit is not None and used[one] > limit:
                return one, used[one]
        return None

    def killed_for_memory(self) -> tuple[int, int] | None:
        """Return the limit of memory and the amount used, if the kernel ended the stage for it."""
        used = None if self.cgroup is None else self.cgroup.memory_used()
        return None if used is None else (MEMORY, used)


def _cgroup(memory_bytes: int | None, processes: int | None) -> TreeCgroup | None:
    if TYPE_CHECKING or __package__:
        from fsm_orchestrator.processes import tree_cgroup  # noqa: PLC0415 - rare
    else:
        tree_cgroup = stage_start.loaded(("tree_cgroup",))
    try:
        return tree_cgroup.TreeCgroup(memory_bytes, processes)
    except (OSError, ValueError):
        return None


def _below(ancestor: int) -> dict[int, list[bytes]]:
    """Return the processes below one with their fields, except those that wait to be reaped."""
    found = [ancestor]
    for pid in found:  # grows during the loop
        found.extend(_children(pid))
    fields = {pid: fields_of(pid) for pid in found[1:]}
    return {pid: one for pid, one in fields.items() if one and one[0] not in {b"Z", b"X"}}


def _children(pid: int) -> list[int]:
    children: list[int] = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            children += map(int, kernel_bytes(f"/proc/{pid}/task/{thread}/children").split())
    except OSError:
        return children
    return children


def _own_bytes(pid: int) -> int:
    try:
        resident, shared = kernel_bytes(f"/proc/{pid}/statm").split()[1:3]
    except (OSError, ValueError):
        return 0
    return max(0, int(resident) - int(shared)) * _PAGE_BYTES


def _seconds(fields: list[bytes]) -> float:
    """Return the processor time of a process and of the children that it has waited for."""
    return sum(map(int, fields[11:15])) / _TICKS


def _reaped_seconds() -> float:
    times = os.times()
    return times.children_user + times.children_system


def own_rss_kib(usage: resource.struct_rusage | None) -> int:
    """Return the peak memory of a process, or 0 if it may be that of this one.

    The kernel also counts what it was before execve(2): a copy of the keeper.
    """
    if usage is None:
        return 0
    words = kernel_bytes("/proc/self/status").split()
    peak_kib = int(words[words.index(b"VmHWM:") + 1])
    return usage.ru_maxrss if usage.ru_maxrss > peak_kib else 0
