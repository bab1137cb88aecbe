"""Stops a stage together with this process (Ctrl-Z), and continues both.

The clocks of the stage's limits stand still while they are stopped. Processes that had stopped
before stay stopped.
"""

from __future__ import annotations

import signal
import time
from typing import Final

from fsm_orchestrator.processes.contained import Contained
from fsm_orchestrator.processes.interrupts import Interrupts
from fsm_orchestrator.processes.signals import signal_each, signal_group
from fsm_orchestrator.processes.table import ProcessKey, is_stopped

ROUNDS_MAX: Final = 20
"""The number of looks for processes that were started while the others were stopped."""


def suspend(child: Contained, interrupts: Interrupts) -> float:
    """Stop the stage and this process until SIGCONT comes; return the number of seconds."""
    began = time.monotonic()
    child.pause()
    stopped = _stop(child)
    interrupts.stop_here()
    _go_on(child, stopped)
    child.go_on()
    return time.monotonic() - began


def _stop(child: Contained) -> set[ProcessKey]:
    """Stop the running processes of the stage; return them."""
    stopped: set[ProcessKey] = set()
    if not child.everyone():  # they cannot be listed here
        signal_group(child.pid, signal.SIGSTOP)
        return stopped
    for _ in range(ROUNDS_MAX):
        running = [
            key for key in child.everyone() if key not in stopped and not is_stopped(key.pid)
        ]
        if not running:
            break
        signal_each(running, signal.SIGSTOP)
        stopped.update(running)
    return stopped


def _go_on(child: Contained, stopped: set[ProcessKey]) -> None:
    if stopped:
        signal_each(stopped, signal.SIGCONT)
    else:
        signal_group(child.pid, signal.SIGCONT)
