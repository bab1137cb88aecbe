"""Ends the processes that interrupted attempts left alive, before anything else begins."""

from __future__ import annotations

from fsm_orchestrator.disk import files
from fsm_orchestrator.disk.lock import OutputLock
from fsm_orchestrator.errors import OperationError
from fsm_orchestrator.preparation.preparation import Preparation
from fsm_orchestrator.processes.leftovers import end_leftovers
from fsm_orchestrator.stages.confining import clear_temporary
from fsm_orchestrator.vocabulary import Operation


def end_left_alive(
    preparation: Preparation, lock: OutputLock
) -> tuple[dict[str, tuple[int, ...]], OperationError | None]:
    """End the processes that interrupted attempts left alive; return the pids, and any error.

    The record that names them was read by its path.

    Raises:
        RecordingError: another directory has taken that path since this one was locked.
    """
    with files.recording(Operation.LOCK_ACQUIRE, lock.path):
        lock.confirm()
    ended: dict[str, tuple[int, ...]] = {}
    failure: OperationError | None = None
    for attempt in preparation.leftovers:
        try:
            ended[attempt.token] = end_leftovers(attempt, preparation.kill_grace_ms)
        except OperationError as error:
            failure = failure or error
        else:
            clear_temporary(attempt.token)
    return ended, failure
