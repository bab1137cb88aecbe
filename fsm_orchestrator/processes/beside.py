"""Running one of several stages at once, each waited for by a thread of its own.

The thread that drives them all passes on what the run is asked, and stops them with it (Ctrl-Z).
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable

from fsm_orchestrator.processes.adoption import end_adopted
from fsm_orchestrator.processes.interrupts import Interrupts
from fsm_orchestrator.processes.runner import ProcessRunner


class InterruptsBeside(Interrupts):
    """What one of them is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.is_parked = False
        self.on_parked: Callable[[], None] = lambda: None
        """Called in its thread once its stage stands still, so that this process can be stopped."""
        self._may_go_on = threading.Event()
        self._may_go_on.set()

    @property
    def is_at_work(self) -> bool:
        """Whether a process is waited for, which has to be stopped before this one is."""
        return self._defers_stop

    def end_for(self, sibling: str) -> None:
        """Ask it to end because another stage did not succeed, unless it is asked to already."""
        if self.first is None:
            self.sibling = sibling
            self.deliver(signal.SIGTERM)

    def stop_soon(self) -> None:
        """Ask for its stage to be stopped."""
        self._may_go_on.clear()
        self.is_stop_due = True
        self.wake()

    def stop_here(self) -> None:
        """Wait, in its thread, until the one that drives has been stopped and continued.

        Where it has been already, because this took too long, it goes on at once.
        """
        self.is_stop_due = False
        self.is_parked = True
        self.on_parked()
        self._may_go_on.wait()
        self.is_parked = False

    def go_on(self) -> None:
        """Let it go on, if it was parked; else forget that it was to stop."""
        self.is_stop_due = False
        self._may_go_on.set()


class RunnerBeside(ProcessRunner):
    """Runs one process while others of the same run do, below a keeper of its own."""

    may_adopt = False  # it could not be told from what works beside it: see `end_strays`


def end_strays(run: ProcessRunner) -> tuple[int, ...]:
    """End what lost keepers left to this process, once nothing runs; return what is alive still.

    `run` is the run's own runner; those beside it have been closed.
    """
    run.close()  # it takes another keeper when it needs one
    return end_adopted()
