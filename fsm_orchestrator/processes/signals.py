"""Signals exactly the intended processes, never one that has reused a pid.

Decides nothing: termination.py decides which processes to signal, and when. The keeper, and the
modules that stop processes or end leftovers, also signal processes that they hold themselves.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterable, Sequence
from typing import Final

from fsm_orchestrator.processes import pidfds
from fsm_orchestrator.processes.freezing import freeze
from fsm_orchestrator.processes.polling import readable
from fsm_orchestrator.processes.table import ProcessKey, is_alive, session_members

KILL_ROUNDS_MAX: Final = 50
KILL_WAIT_SECONDS: Final = 0.2
FREEZE_SECONDS_MAX: Final = 4.0
WATCHED_MAX: Final = 200
"""The most processes to wait for at once: descriptors are limited."""


def signal_each(processes: Iterable[ProcessKey], signum: signal.Signals) -> None:
    """Signal each of `processes` that is alive; leave those of other users alone."""
    for process in processes:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            descriptor = _pidfd(process)
            try:
                if descriptor >= 0:
                    signal.pidfd_send_signal(descriptor, signum)
                else:
                    os.kill(process.pid, signum)
            finally:
                if descriptor >= 0:
                    os.close(descriptor)


def signal_group(leader: int, signum: signal.Signals) -> None:
    """Signal the group of an uncollected leader, so that the id is still its own.

    macOS answers EPERM if only the zombie is left.
    """
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signum)


def wait_for_end_of(
    processes: Sequence[ProcessKey], others: Sequence[int], deadline: float
) -> set[int]:
    """Wait until one of `processes` ends, a descriptor of `others` is readable, or the deadline.

    Returns at once if a process has already ended; after a moment if processes cannot be waited
    for.

    Returns:
        Those of `others` that are readable.
    """
    descriptors = []
    try:
        for process in processes[:WATCHED_MAX]:
            try:
                descriptor = _pidfd(process)
            except ProcessLookupError:
                deadline = 0.0
                break
            if descriptor < 0:
                break
            descriptors.append(descriptor)
        if len(descriptors) < len(processes):  # the end of the others would go unnoticed
            deadline = min(deadline, time.monotonic() + KILL_WAIT_SECONDS)
        return readable([*descriptors, *others], deadline) & set(others)
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def kill_session(leader: int, end_descriptor: int) -> tuple[int, ...]:
    """Freeze the group and session of an uncollected leader, and kill them until all are gone.

    Bounded in time, because a process may be stuck in the kernel.

    Returns:
        The pids that are still alive.
    """
    freeze([lambda: session_members(leader)], time.monotonic() + FREEZE_SECONDS_MAX)
    for _ in range(KILL_ROUNDS_MAX):
        others = tuple(key for key in session_members(leader) if key.pid != leader)
        signal_group(leader, signal.SIGKILL)
        signal_each(others, signal.SIGKILL)
        has_ended = bool(readable([end_descriptor], 0.0))
        if has_ended and not others:
            return ()
        deadline = time.monotonic() + KILL_WAIT_SECONDS
        wait_for_end_of(others, [] if has_ended else [end_descriptor], deadline)
    alive = tuple(key.pid for key in session_members(leader))
    return alive or (leader,)


def _pidfd(process: ProcessKey) -> int:
    """Open a pidfd of a live process; return -1 if none is available.

    Raises:
        ProcessLookupError: it is gone.
    """
    descriptor = pidfds.open_of(process.pid)
    if is_alive(process):
        return descriptor
    if descriptor >= 0:
        os.close(descriptor)
    raise ProcessLookupError(process.pid)
