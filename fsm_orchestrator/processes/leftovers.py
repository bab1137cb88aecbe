"""Finds and ends what is left of an attempt whose orchestrator died, before anything else.

Waits for the attempt's keeper, which is already ending everything. Then ends the processes that
have the attempt's token in their environment, or are in the session of the recorded process. A pid
counts only with the identity that was recorded with it: another process that now has it is left
alone.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Collection, Iterator

import psutil

from fsm_orchestrator.errors import OperationError
from fsm_orchestrator.model.open_attempt import AttemptRecord
from fsm_orchestrator.processes import table
from fsm_orchestrator.processes.command import TOKEN_VARIABLE
from fsm_orchestrator.processes.freezing import Key, below, freeze, start_of
from fsm_orchestrator.processes.survivors import survivors_text
from fsm_orchestrator.vocabulary import Operation

KEEPER_SECONDS_MAX = 5.0
KILL_SECONDS_MAX = 5.0
KILL_WAIT_SECONDS = 0.1
LOOK_SECONDS = 0.005


def end_leftovers(attempt: AttemptRecord, kill_grace_ms: int) -> tuple[int, ...]:
    """End every live process of the attempt (SIGTERM, grace, SIGKILL); return their pids.

    Raises:
        OperationError: one of them is still alive.
    """
    if sys.platform.startswith("linux") and not table.is_there():
        raise OperationError(
            Operation.ATTEMPT_END,
            f"there is no /proc by which to find what is left of an attempt of stage"
            f" {attempt.stage!r}",
            remedy="mount /proc, then try again",
        )
    keeper = _recorded(attempt.keeper_pid, attempt.keeper_identity)
    if keeper is not None:
        # SIGKILL would release what it keeps. If it was stopped, it has to continue.
        _signal(keeper.resume)
        psutil.wait_procs([keeper], timeout=KEEPER_SECONDS_MAX)
    found = list(_processes_of(attempt, keeper))
    for process in found:
        _signal(process.terminate)
        _signal(process.resume)  # a stopped process cannot act on SIGTERM
    _wait(found, kill_grace_ms / 1000)
    if any(map(_is_alive, found)):
        freeze([lambda: _keys(attempt, keeper)], time.monotonic() + KILL_SECONDS_MAX)
    give_up_at = time.monotonic() + KILL_SECONDS_MAX
    while alive := {*filter(_is_alive, found), *_processes_of(attempt, keeper)}:
        if time.monotonic() >= give_up_at:
            left = survivors_text([process.pid for process in alive])
            raise OperationError(
                Operation.ATTEMPT_END,
                f"cannot end {left} of an interrupted attempt of stage {attempt.stage!r}",
                remedy="end what is left by hand, then try again",
            )
        for process in alive:
            _signal(process.kill)
        _wait(alive, KILL_WAIT_SECONDS)  # then look again: they may have started others
    return tuple(process.pid for process in found)


def live_processes(attempt: AttemptRecord) -> tuple[int, ...]:
    """Return the pids of the attempt's live processes, including its keeper."""
    keeper = _recorded(attempt.keeper_pid, attempt.keeper_identity)
    found = tuple(process.pid for process in _processes_of(attempt, keeper))
    return found if keeper is None else (*found, keeper.pid)


def _wait(processes: Collection[psutil.Process], seconds: float) -> None:
    """Wait until all have ended. They are not children of this process, so it can only poll."""
    deadline = time.monotonic() + seconds
    while any(map(_is_alive, processes)) and time.monotonic() < deadline:
        time.sleep(LOOK_SECONDS)


def _is_alive(process: psutil.Process) -> bool:
    """Return whether it runs. A zombie does not, unless only its first thread has ended."""
    try:
        if not process.is_running():
            return False
        if process.status() != psutil.STATUS_ZOMBIE:
            return True
    except psutil.Error:
        return False
    return sys.platform.startswith("linux") and table.identity(process.pid) is not None


def _keys(attempt: AttemptRecord, keeper: psutil.Process | None) -> Iterator[Key]:
    """Yield the attempt's processes, and those below them, by pid and start time."""
    pids = [process.pid for process in _processes_of(attempt, keeper)]
    yield from ((pid, start_of(pid)) for pid in pids)
    if pids:
        yield from below(*pids)


def _processes_of(
    attempt: AttemptRecord, keeper: psutil.Process | None
) -> Iterator[psutil.Process]:
    session = None if _recorded(attempt.pid, attempt.pid_identity) is None else attempt.pid
    kept = set() if keeper is None else _below(keeper)
    for process in psutil.process_iter():
        if process.pid == os.getpid():
            continue
        # Ended processes stay there while the orchestrator of their keeper is stopped.
        is_kept = process in kept and _is_alive(process)
        if is_kept or _belongs(process, attempt, session):
            yield process


def _recorded(pid: int | None, identity: str | None) -> psutil.Process | None:
    """Return the recorded process if it is alive and the pid is still its own."""
    if pid is None or identity is None or table.identity(pid) != identity:
        return None
    try:
        return psutil.Process(pid)
    except psutil.NoSuchProcess:
        return None


def _below(keeper: psutil.Process) -> set[psutil.Process]:
    try:
        return set(keeper.children(recursive=True))
    except psutil.Error:
        return set()


def _belongs(process: psutil.Process, attempt: AttemptRecord, session: int | None) -> bool:
    try:
        if not _is_alive(process):
            return False
        with contextlib.suppress(psutil.Error):
            if process.environ().get(TOKEN_VARIABLE) == attempt.token:
                return True
        return session is not None and os.getsid(process.pid) == session
    except (psutil.Error, OSError):
        return False


def _signal(send: Callable[[], None]) -> None:
    with contextlib.suppress(psutil.Error):
        send()
