"""What is left of an attempt whose orchestrator died: found by pid and token, and ended.

A pid counts only with the identity that was recorded with it; the token in the environment finds
what the pid does not. A stranger that has the pid now is left alone.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator

import psutil

from fsm_orchestrator import process_table
from fsm_orchestrator.records import AttemptRecord
from fsm_orchestrator.stage_runner import TOKEN_VARIABLE

KILL_WAIT_SECONDS = 5.0


def end_leftovers(attempt: AttemptRecord, kill_grace_ms: int) -> tuple[int, ...]:
    """End every live process of the attempt: SIGTERM, grace, SIGKILL. The pids that were ended.

    Raises:
        OSError: one of them is alive still.
    """
    found = list(_processes_of(attempt))
    for process in found:
        _signal(process.terminate)
        _signal(process.resume)  # a stopped process cannot act on SIGTERM
    _, alive = psutil.wait_procs(found, timeout=kill_grace_ms / 1000)
    to_kill = list({*alive, *_processes_of(attempt)})
    for process in to_kill:
        _signal(process.kill)
    _, alive = psutil.wait_procs(to_kill, timeout=KILL_WAIT_SECONDS)
    if alive:
        pids = ", ".join(str(process.pid) for process in alive)
        raise OSError(16, f"cannot end process {pids} of an interrupted attempt")
    return tuple(process.pid for process in found)


def _processes_of(attempt: AttemptRecord) -> Iterator[psutil.Process]:
    session = _recorded_session(attempt)
    for process in psutil.process_iter():
        if process.pid != os.getpid() and _belongs(process, attempt, session):
            yield process


def _recorded_session(attempt: AttemptRecord) -> int | None:
    """The session that the recorded pid leads, if that pid is still that process."""
    if attempt.pid is None or attempt.pid_identity is None:
        return None
    is_same = process_table.identity(attempt.pid) == attempt.pid_identity
    return attempt.pid if is_same else None


def _belongs(process: psutil.Process, attempt: AttemptRecord, session: int | None) -> bool:
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        if process.environ().get(TOKEN_VARIABLE) == attempt.token:
            return True
        return session is not None and os.getsid(process.pid) == session
    except (psutil.Error, OSError):
        return False


def _signal(send: Callable[[], None]) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        send()
