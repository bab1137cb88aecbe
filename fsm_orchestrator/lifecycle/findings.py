"""What is wrong with a lifecycle, in one shape for every layer that looks for it.

Only the shape and its words: what is wrong is decided by the modules that check.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from fsm_orchestrator.lifecycle.labels import state_label, trace, transition_label
from fsm_orchestrator.lifecycle.walks import Walk


class Finding(NamedTuple):
    """A rule or a promise that a lifecycle breaks.

    Attributes:
        reason: what is wrong, in words that follow the name of the part.
        state: the state where it is wrong; for a transition, its source if it has only one.
        part: the state or transition as a refusal names it; "" for the file as a whole.
        walk: a shortest walk that shows it, ending in `state`, where a walk can.
    """

    reason: str
    state: str | None = None
    part: str = ""
    walk: Walk | None = None

    def __str__(self) -> str:
        label = f"{self.part}: " if self.part else ""
        return f"{label}{self.reason}" + (f": {trace(self.walk)}" if self.walk else "")


def of_state(name: str, reason: str, walk: Walk | None = None) -> Finding:
    """A finding about a state."""
    return Finding(reason, state=name, part=state_label(name), walk=walk)


def of_transition(number: int, trigger: str, sources: Sequence[str], reason: str) -> Finding:
    """A finding about a transition; `number` counts the file's `[[transition]]` from 1."""
    state = sources[0] if len(sources) == 1 else None
    return Finding(reason, state=state, part=transition_label(number, trigger, sources))
