"""Notifies the observer that a process is about to be ended."""

from __future__ import annotations

import time

from fsm_orchestrator.model.endings import TimedOut, WentQuiet
from fsm_orchestrator.processes.contained import Contained
from fsm_orchestrator.processes.observing import Observer


def announce_end(child: Contained, stopped: TimedOut | WentQuiet, observer: Observer) -> None:
    """Let the observer look at all processes for the last time, the leader first."""
    pids = tuple(key.pid for key in child.everyone())
    if not pids:  # all ended since the last look
        return
    leader_first = sorted(pids, key=lambda pid: pid != child.pid)
    observer.ending(stopped, tuple(leader_first), time.monotonic() - child.progress().printed_at)
