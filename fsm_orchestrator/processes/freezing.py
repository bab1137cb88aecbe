"""Freezes processes before they are killed: SIGSTOP in rounds, until no new one appears.

Killed one by one, processes that start others faster than they are found outlive the killing, and
those that watch each other restart each other. Frozen, they do neither. They are found in /proc,
file by file.

Imports nothing from the package: the keeper uses it too, in its own interpreter.
"""

from __future__ import annotations

import os
import signal
import time

TYPE_CHECKING = False  # as in keeper.py
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import TypeAlias

    Look: TypeAlias = Callable[[], Iterable["Key"]]

_BLOCK_BYTES = 16 * 1024
Key = tuple[int, int]
"""A process: its pid and its start time in clock ticks; 0 for a child, whose pid is its own."""


def freeze(looks: Sequence[Look], deadline: float) -> tuple[set[Key], bool]:
    """Stop every process that the looks find, until none of them finds another.

    A later look, which may be slower, is taken only when those before it find nothing new.

    Returns:
        The processes found, and whether those are all.
    """
    found: set[Key] = set()
    while True:
        for look in looks:
            new = [key for key in look() if key not in found]
            if new:
                break
        else:
            return found, True
        found.update(new)
        _stop(new)
        if time.monotonic() >= deadline:
            return found, False


def _stop(keys: Iterable[Key]) -> None:
    """Stop processes with all of their groups: a group stops at once, which no fork escapes.

    A leader is started in its own session, so no group is a stranger's.
    """
    groups: set[int] = set()
    for pid, start in keys:
        try:
            if start and start_of(pid) != start:
                continue
            group = os.getpgid(pid)
            if group not in groups and group not in {0, 1, os.getpgrp()}:
                groups.add(group)
                os.killpg(group, signal.SIGSTOP)
            os.kill(pid, signal.SIGSTOP)
        except OSError:  # gone, or of another user
            continue


def below(*ancestors: int) -> list[Key]:
    """List the live processes below the given ones, parents before children."""
    children: dict[int, list[Key]] = {}
    for entry in os.listdir("/proc"):
        fields = fields_of(entry) if entry.isdigit() else []
        if fields and fields[0] not in {b"Z", b"X"}:
            children.setdefault(int(fields[1]), []).append((int(entry), int(fields[19])))
    found = [key for ancestor in ancestors for key in children.get(ancestor, ())]
    for pid, _ in found:  # grows during the loop
        found.extend(children.get(pid, ()))
    return found


def start_of(pid: int) -> int:
    """Return the start time of a process in clock ticks, or 0 if it is gone."""
    fields = fields_of(pid)
    return int(fields[19]) if fields else 0


def kernel_bytes(path: str) -> bytes:
    """Return the content of a small file of the kernel's, read directly, without a stream.

    Raises:
        OSError: it does not exist, or cannot be read.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        blocks = []
        while block := os.read(descriptor, _BLOCK_BYTES):
            blocks.append(block)
    finally:
        os.close(descriptor)
    return b"".join(blocks)


def fields_of(pid: int | str) -> list[bytes]:
    """Return the fields of proc_pid_stat(5) from the state on; none if the process is gone."""
    try:
        text = kernel_bytes(f"/proc/{pid}/stat")
    except OSError:
        return []
    return text[text.rfind(b")") + 2 :].split()


def children_of(parent: int) -> list[int]:
    """List the children of a process, including ended ones that are not reaped."""
    children = []
    for entry in os.listdir("/proc"):
        fields = fields_of(entry) if entry.isdigit() else []
        if fields and int(fields[1]) == parent:
            children.append(int(entry))
    return children
