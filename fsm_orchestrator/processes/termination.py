"""Ends a stage's processes, gently first: SIGTERM, the grace, and only then SIGKILL.

The leader and its session get SIGTERM first, as from a terminal: a leader that cleans up its own
workers gets the chance. Once it has ended, whatever else is left gets SIGTERM too. Collecting
(SIGKILL, and the proof that nothing is left) is the next step, and is not done here.
"""

from __future__ import annotations

import signal
import time

from fsm_orchestrator.processes.contained import Contained
from fsm_orchestrator.processes.interrupts import Interrupts
from fsm_orchestrator.processes.polling import readable
from fsm_orchestrator.processes.signals import signal_each, signal_group, wait_for_end_of
from fsm_orchestrator.processes.table import ProcessKey, group_of, session_members


def terminate(
    child: Contained, kill_grace_ms: int, interrupts: Interrupts, *, requests_heard: int
) -> bool:
    """Ask all processes of `child` to end; return whether they all did within the grace.

    A request beyond the first `requests_heard` (the operator's second Ctrl-C) ends the grace.
    """
    deadline = time.monotonic() + kill_grace_ms / 1000
    asked = _ask_session(child)
    while True:
        is_last = time.monotonic() >= deadline
        # Checked once, before what is left is listed: an ended leader starts nothing more.
        has_ended = bool(readable([child.end_descriptor], 0.0))
        others = child.others()
        if has_ended:
            if not others:
                return True
            asked |= _ask([key for key in others if key not in asked])
        if is_last or interrupts.count > requests_heard:
            return False
        ends = () if has_ended else (child.end_descriptor,)
        if _is_lost(child, others, ends, deadline, interrupts):
            return False


def _ask_session(child: Contained) -> set[ProcessKey]:
    """Ask the leader's group to end, and what left the group but not the session."""
    members = session_members(child.pid)
    signal_group(child.pid, signal.SIGTERM)
    signal_group(child.pid, signal.SIGCONT)
    _ask([key for key in members if group_of(key.pid) != child.pid])
    return set(members)


def _ask(processes: list[ProcessKey]) -> set[ProcessKey]:
    """Send SIGTERM, and SIGCONT, because a stopped process cannot act on SIGTERM."""
    signal_each(processes, signal.SIGTERM)
    signal_each(processes, signal.SIGCONT)
    return set(processes)


def _is_lost(
    child: Contained,
    others: tuple[ProcessKey, ...],
    ends: tuple[int, ...],
    deadline: float,
    interrupts: Interrupts,
) -> bool:
    """Wait for a change; return whether it was that the processes are no longer kept.

    `ends` holds the descriptor of the leader's end, or nothing if the caller has acted on that. It
    is not checked again here: nobody would wait for an end that came since.
    """
    watched = [interrupts.fileno(), *ends]
    if child.loss_descriptor is not None:
        watched.append(child.loss_descriptor)
    ready = wait_for_end_of(others, watched, interrupts.until(deadline))
    if interrupts.fileno() in ready:
        interrupts.drain()
    return child.loss_descriptor in ready
