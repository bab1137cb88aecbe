"""The hands of a stage: what runs its attempts, and the way to the one who keeps the record."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol, TypeVar

from fsm_orchestrator.processes.interrupts import Interrupts
from fsm_orchestrator.processes.runner import ProcessRunner

Answer = TypeVar("Answer")


class Ask(Protocol):
    """Has something done by the thread that keeps the record, and returns what it returned."""

    def __call__(self, do: Callable[[], Answer], /) -> Answer:
        """Have `do` done."""


def _now(do: Callable[[], Answer]) -> Answer:
    """Do something: this is the thread that keeps the record."""
    return do()


class Hands(NamedTuple):
    """What runs the attempts of a stage, and who asks it to end.

    Attributes:
        ask: has something done by the thread that keeps the record.
        is_in_group: whether other stages run meanwhile, so that the end of each is kept by itself.
    """

    runner: ProcessRunner
    interrupts: Interrupts
    ask: Ask = _now
    is_in_group: bool = False
