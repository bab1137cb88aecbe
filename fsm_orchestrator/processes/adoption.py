"""Has the command adopt what a killed keeper leaves, so that it can be ended. Linux.

A process becomes a child subreaper by that (prctl(2)), which the command may do with its own
process, and a library not with its caller's.
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
    """Adopt from now on whatever loses its parent below this process, if that can be had.

    Not with children that were there before: theirs could not be told from a stage's.
    """
    if sys.platform.startswith("linux") and child_pids(os.getpid()) == frozenset():
        with contextlib.suppress(ImportError, AttributeError, OSError):
            if prctl(_PR_SET_CHILD_SUBREAPER, 1) == 0:
                _adopting[:] = [True]


def is_adopting() -> bool:
    """Answer whether what a killed keeper leaves comes to this process."""
    return bool(_adopting)


def end_adopted() -> tuple[int, ...]:
    """End and reap all that has come to this process; return the pids of what is alive still.

    For a moment at which it has no children of its own.
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
