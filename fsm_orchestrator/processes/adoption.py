"""Makes the command adopt the processes of a killed keeper, so that it can end them. Linux.

This makes the process a child subreaper (prctl(2)), which the command may do to its own process,
but a library not to its caller's.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from typing import Final

from fsm_orchestrator.processes.table import child_pids
from fsm_orchestrator.processes.undumpable import prctl

SECONDS_MAX: Final = 5.0
LOOK_SECONDS: Final = 0.01
_PR_SET_CHILD_SUBREAPER: Final = 36  # linux/prctl.h
_adopting: list[bool] = []


def adopt_orphans() -> None:
    """Adopt from now on every process that loses its parent below this one, if that is possible.

    Does nothing if this process already has children: their orphans would look like a stage's.
    """
    if sys.platform.startswith("linux") and child_pids(os.getpid()) == frozenset():
        with contextlib.suppress(ImportError, AttributeError, OSError):
            if prctl(_PR_SET_CHILD_SUBREAPER, 1) == 0:
                _adopting[:] = [True]


def is_adopting() -> bool:
    """Return whether this process adopts what a killed keeper leaves."""
    return bool(_adopting)


def end_adopted() -> tuple[int, ...]:
    """End and reap everything that this process has adopted; return the pids that are still alive.

    Call it only while this process has no children of its own.
    """
    if not is_adopting():
        return ()
    from fsm_orchestrator.processes import freezing  # noqa: PLC0415 - rare

    deadline = time.monotonic() + SECONDS_MAX
    here = os.getpid()
    found, _ = freezing.freeze([lambda: freezing.below(here)], deadline)
    for pid, start in found:
        if freezing.start_of(pid) == start:
            _kill(pid)
    while time.monotonic() < deadline:
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        alive = freezing.below(here)
        if not alive:
            return ()
        for pid, _ in alive:
            _kill(pid)
        time.sleep(LOOK_SECONDS)
    return tuple(pid for pid, _ in freezing.below(here))


def _kill(pid: int) -> None:
    with contextlib.suppress(OSError):
        os.kill(pid, signal.SIGKILL)
