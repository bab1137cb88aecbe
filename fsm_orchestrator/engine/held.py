"""A run under an engine: it ends when its lease runs out, or a later epoch holds it."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from fsm_orchestrator.disk import files
from fsm_orchestrator.errors import LeaseError
from fsm_orchestrator.model.endings import AskedFor
from fsm_orchestrator.processes.table import is_there
from fsm_orchestrator.vocabulary import Operation, StopReason

if TYPE_CHECKING:
    from fsm_orchestrator.disk.epochs import Epoch
    from fsm_orchestrator.engine.surroundings import Surroundings
    from fsm_orchestrator.processes.interrupts import Interrupts
    from fsm_orchestrator.record.report import Report


@contextlib.contextmanager
def held(caller: Surroundings) -> Iterator[Surroundings]:
    """Yield the surroundings of a run that ends when its lease runs out or a later epoch holds it.

    Raises:
        LeaseError: nothing here would obey a lease, or the lease is closed.
    """
    interrupts, fence = caller.interrupts, None
    if caller.epoch is not None:
        fence = Fence(caller.epoch)
        interrupts.look_for(fence.look)
    caller = caller._replace(fence=fence)
    if caller.lease is None:
        yield caller
        return
    _require_keepers()
    lent = caller.lease.lend()
    try:
        interrupts.hold(lent)
        yield caller._replace(lent=lent)
    finally:
        interrupts.let_go()
        os.close(lent)


def confirm_end(epoch: Epoch, report: Report) -> None:
    """Make sure that no later epoch holds a run that has ended, before its end is reported.

    Between the last look before a write and the end of the write, somebody else may have claimed
    the run and be at work: a write to storage takes as long as the storage is away.

    Raises:
        FencedError: a later epoch holds the run, and the report does not say that.
        RecordingError: it cannot be found out which epoch holds the run.
    """
    if report.stop_reason is not None and report.stop_reason.is_lost:
        return
    with files.recording(Operation.CHECKPOINT_PERSIST, epoch.directory):
        epoch.confirm()


class Fence:
    """A fence that asks the run to end, once, when a later epoch holds it."""

    def __init__(self, epoch: Epoch) -> None:
        self._epoch = epoch
        self._is_asked = False

    def look(self) -> Sequence[int]:
        """Return the request to end if a later epoch holds the run; return nothing after that.

        Storage that does not answer now is asked again when something is kept next.
        """
        try:
            return self._requests()
        except OSError:
            return ()

    def confirm(self, interrupts: Interrupts) -> None:
        """Ask the run to end if a later epoch holds it.

        Raises:
            RecordingError: it cannot be found out which epoch holds the run.
        """
        with files.recording(Operation.CHECKPOINT_PERSIST, self._epoch.directory):
            for request in self._requests():
                interrupts.take(self, request)

    def _requests(self) -> Sequence[int]:
        if self._is_asked or self._epoch.is_latest:
            return ()
        self._is_asked = True
        return (AskedFor(signal.SIGTERM, StopReason.FENCED),)


def _require_keepers() -> None:
    """Refuse a lease where there can be no keeper: nothing else ends a stage in time."""
    why = ""
    if not sys.platform.startswith("linux"):
        why = f"there is no child subreaper on {sys.platform}"
    elif not is_there():
        why = "there is no /proc of this program's processes"
    elif not sys.executable:
        why = "the path of the Python interpreter is not known"
    if why:
        raise LeaseError(
            f"the run cannot be held by a lease: no process can keep its stages here: {why}",
            remedy="run it where the processes of stages can be kept together: Linux, with /proc",
        )
