"""Finds out whether a stage started this process: by a variable, and on Linux by its ancestors.

A stage can remove the variable from what it starts, and detach it, but the keeper stays above it.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator

from fsm_orchestrator.processes import table
from fsm_orchestrator.processes.command import TOKEN_VARIABLE


def is_below_stage(orchestrator_pid: int | None, keeper_pid: int | None) -> bool:
    """Return whether this process was started by a stage of any run, or by the run at work.

    `orchestrator_pid` is the process that holds the output directory, `keeper_pid` the one that
    keeps its stage; None if there is none.
    """
    if TOKEN_VARIABLE in os.environ:
        return True
    above = {orchestrator_pid, keeper_pid} - {None}
    return any(pid in above or _has_token(pid) for pid in _ancestors(os.getpid()))


def is_of_a_stage(pid: int, orchestrator_pid: int, keeper_pids: Collection[int] = ()) -> bool:
    """Return whether a process descends from an orchestrator's stage; `keeper_pids` keep those.

    Other processes that the orchestrator started do not count, even if a stage started the
    orchestrator.
    """
    below = [pid]
    for above in _ancestors(pid):
        if above == orchestrator_pid:
            return any(one in keeper_pids or _has_token(one) for one in below)
        below.append(above)
    return False


def _ancestors(pid: int | None) -> Iterator[int]:
    if not table.is_there():
        return
    while pid is not None and pid > 1:
        pid = table.parent_of(pid)
        if pid is not None:
            yield pid


def _has_token(pid: int) -> bool:
    try:
        given = (table.PROC / str(pid) / "environ").read_bytes()
    except OSError:
        return False
    return any(one.startswith(f"{TOKEN_VARIABLE}=".encode()) for one in given.split(b"\0"))
