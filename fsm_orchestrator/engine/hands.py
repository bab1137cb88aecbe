"""The hands of a stage: what runs its attempts, and the way to the thread that keeps the record."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol, TypeVar

from fsm_orchestrator.processes.interrupts import Interrupts
from fsm_orchestrator.processes.runner import ProcessRunner

Answer = TypeVar("Answer")


class Ask(Protocol):
    """A function that has the thread that keeps the record call another, and returns its result."""

    def __call__(self, do: Callable[[], Answer], /) -> Answer:
        """Have `do` called; return its result."""


def _now(do: Callable[[], Answer]) -> Answer:
    """Call `do` here: this is the thread that keeps the record."""
    return do()


class Hands(NamedTuple):
    """The runner of a stage's attempts, and what asks the stage to end.

    Attributes:
        ask: has the thread that keeps the record call a function.
        is_in_group: True if other stages run at the same time, so that each end is kept separately.
    """

    runner: ProcessRunner
    interrupts: Interrupts
    ask: Ask = _now
    is_in_group: bool = False
