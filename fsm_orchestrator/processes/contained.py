"""The face of a started process for those who wait for it and end it, however it is contained.

A leader is the first process of a stage, of a session and group of its own. A `Contained` knows
what else belongs to the stage, each kind as far as it reaches.
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
    """The facts about a stage's processes when they are gone.

    Attributes:
        end: how the leader ended.
        resources: what it used; None if that is not known.
        killed: how many processes beside the leader got SIGKILL while they were collected.
        survivors: pids that could not be ended.
    """

    end: Exited | Signaled | Lost
    resources: Resources | None
    killed: int = 0
    survivors: tuple[int, ...] = ()


class Contained(Protocol):
    """A started leader that has not been collected: its pid is its own until then."""

    @property
    def pid(self) -> int:
        """The leader's pid, also the id of its session and group."""

    @property
    def end_descriptor(self) -> int:
        """Readable once the leader has ended."""

    @property
    def cage(self) -> CageHeld | None:
        """What holds of its cage; None where it is in none."""

    @property
    def loss_descriptor(self) -> int | None:
        """Readable once control over the processes is lost; None where that cannot happen."""

    def progress(self) -> Progress:
        """Return what came of its output and limits, also once it is collected."""

    def pause(self) -> None:
        """Stop the clocks of its limits."""

    def go_on(self) -> None:
        """Let the clocks of its limits go on."""

    def hand_over(self) -> None:
        """Say that its end has begun: nobody else needs to begin it."""

    def everyone(self) -> tuple[ProcessKey, ...]:
        """List the live processes of the stage, the leader included, parents before children."""

    def others(self) -> tuple[ProcessKey, ...]:
        """List the live processes of the stage except the leader."""

    def collect(self) -> Collected:
        """Kill what is alive, and collect the leader. Call once; bounded in time."""


def end_of(status: int) -> Exited | Signaled:
    """Return how a process ended, by its status from wait(2)."""
    code = os.waitstatus_to_exitcode(status)
    return Exited(code) if code >= 0 else Signaled(-code)
