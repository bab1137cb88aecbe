"""The interface of a started process, however it is contained: to wait for it and to end it.

A leader is the first process of a stage: of a session and a group of its own. What else belongs
to the stage, a `Contained` knows, each kind as far as it reaches.
"""

from __future__ import annotations

import os
from typing import NamedTuple, Protocol

from fsm_orchestrator.model.endings import Exited, Lost, Signaled
from fsm_orchestrator.model.execution import Resources
from fsm_orchestrator.processes.table import ProcessKey


class Collected(NamedTuple):
    """The end of a stage's processes.

    Attributes:
        end: how the leader ended.
        resources: what it used; None when that is not known.
        killed: how many processes beside the leader got SIGKILL while they were collected.
        survivors: pids that could not be ended.
    """

    end: Exited | Signaled | Lost
    resources: Resources | None
    killed: int = 0
    survivors: tuple[int, ...] = ()


class Contained(Protocol):
    """A started leader that has not been collected: its pid is nobody else's till then."""

    @property
    def pid(self) -> int:
        """The leader's pid, also the id of its session and group."""

    @property
    def end_descriptor(self) -> int:
        """Readable once the leader has ended."""

    @property
    def loss_descriptor(self) -> int | None:
        """Readable once control over the processes is lost; None where that cannot happen."""

    def everyone(self) -> tuple[ProcessKey, ...]:
        """Find the live processes of the stage, the leader included, parents before children."""

    def others(self) -> tuple[ProcessKey, ...]:
        """Find the live processes of the stage beside the leader."""

    def collect(self) -> Collected:
        """SIGKILL whatever is alive, and collect the leader. Once, and bounded in time."""


def end_of(status: int) -> Exited | Signaled:
    """Return how a process ended, from its status as wait(2) has it."""
    code = os.waitstatus_to_exitcode(status)
    return Exited(code) if code >= 0 else Signaled(-code)
