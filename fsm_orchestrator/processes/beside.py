"""Runs one of several concurrent stages, each of which has a thread that waits for it.

The thread that drives them all passes on the requests to the run, and stops them when it is stopped
(Ctrl-Z).
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable

from fsm_orchestrator.processes.adoption import end_adopted
from fsm_orchestrator.processes.interrupts import Interrupts
from fsm_orchestrator.processes.runner import ProcessRunner


class InterruptsBeside(Interrupts):
    """The requests to one of several concurrent stages."""

    def __init__(self) -> None:
        super().__init__()
        self.is_parked = False
        self.on_parked: Callable[[], None] = lambda: None
        """The function to call in its thread once its stage is stopped: this process can be stopped
        then."""
        self._may_go_on = threading.Event()
        self._may_go_on.set()

    @property
    def is_at_work(self) -> bool:
        """True while it waits for a process, which has to be stopped before this one is."""
        return self._defers_stop

    def end_for(self, sibling: str) -> None:
        """Ask it to end because another stage did not succeed, unless it has already been asked."""
        if self.first is None:
            self.sibling = sibling
            self.deliver(signal.SIGTERM)

    def stop_soon(self) -> None:
        """Ask it to stop its stage."""
        self._may_go_on.clear()
        self.is_stop_due = True
        self.wake()

    def stop_here(self) -> None:
        """Wait, in its thread, until the driving thread has been stopped and continued.

        Returns at once if that has already happened because stopping the stage took too long.
        """
        self.is_stop_due = False
        self.is_parked = True
        self.on_parked()
        self._may_go_on.wait()
        self.is_parked = False

    def go_on(self) -> None:
        """Let it continue if it is parked; otherwise cancel the request to stop."""
        self.is_stop_due = False
        self._may_go_on.set()


class RunnerBeside(ProcessRunner):
    """A runner of one process, below its own keeper, while others of the same run are at work."""

    may_adopt = False  # orphans of other stages would look the same: see `end_strays`


def end_strays(run: ProcessRunner) -> tuple[int, ...]:
    """End what lost keepers left to this process, once nothing runs; return the pids still alive.

    `run` is the run's own runner; those of its concurrent stages are already closed.
    """
    run.close()  # it takes another keeper when it needs one
    return end_adopted()
