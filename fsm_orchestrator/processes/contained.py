"""The interface for waiting for a started process and ending it, however it is contained.

A leader is the first process of a stage, with its own session and group. A `Contained` knows the
other processes of the stage, as far as its kind of containment reaches.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple, Protocol

from fsm_orchestrator.model.endings import Exited, Lost, Signaled
from fsm_orchestrator.model.execution import Resources
from fsm_orchestrator.processes.output_watch import Progress
from fsm_orchestrator.processes.table import ProcessKey

if TYPE_CHECKING:
    from fsm_orchestrator.processes.cage_order import CageHeld


class Collected(NamedTuple):
    """The facts about a stage's processes once they are gone.

    Attributes:
        end: the end of the leader.
        resources: the resources that it used; None if not known.
        killed: the number of other processes that got SIGKILL while they were collected.
        survivors: the pids of processes that could not be ended.
    """

    end: Exited | Signaled | Lost
    resources: Resources | None
    killed: int = 0
    survivors: tuple[int, ...] = ()


class Contained(Protocol):
    """A started leader; until it is collected, no other process can get its pid."""

    @property
    def pid(self) -> int:
        """The leader's pid, also the id of its session and group."""

    @property
    def end_descriptor(self) -> int:
        """A descriptor that is readable once the leader has ended."""

    @property
    def cage(self) -> CageHeld | None:
        """The promises that hold for it in its cage; None if it is in none."""

    @property
    def loss_descriptor(self) -> int | None:
        """A descriptor that is readable once control is lost; None if that cannot happen."""

    def progress(self) -> Progress:
        """Return the state of its output and limits, even after it is collected."""

    def pause(self) -> None:
        """Stop the clocks of its limits."""

    def go_on(self) -> None:
        """Resume the clocks of its limits."""

    def hand_over(self) -> None:
        """Announce that its end has begun, so that nobody else begins it."""

    def everyone(self) -> tuple[ProcessKey, ...]:
        """List the live processes of the stage, the leader included, parents before children."""

    def others(self) -> tuple[ProcessKey, ...]:
        """List the live processes of the stage except the leader."""

    def collect(self) -> Collected:
        """Kill what is still alive, and collect the leader. Call once; bounded in time."""


def end_of(status: int) -> Exited | Signaled:
    """Return how a process ended, from its status from wait(2)."""
    code = os.waitstatus_to_exitcode(status)
    return Exited(code) if code >= 0 else Signaled(-code)
