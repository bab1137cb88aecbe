"""How a lifecycle's parts are named in a refusal, so that every layer says it the same way.

Only words: what is wrong is decided by the modules that check.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from fsm_orchestrator.lifecycle.model import Edge

_SHOWN_NAMES_MAX: Final = 6


def listed(names: Sequence[str]) -> str:
    """`a, b, c`; a long list is cut and says how many names were left out."""
    shown = ", ".join(names[:_SHOWN_NAMES_MAX])
    left_out = len(names) - _SHOWN_NAMES_MAX
    return f"{shown} and {left_out} more" if left_out > 0 else shown


def state_label(name: str) -> str:
    """A state as refusals name it."""
    return f"state {name!r}"


def transition_label(number: int, trigger: str, sources: Sequence[str]) -> str:
    """A transition as refusals name it; `number` counts the file's `[[transition]]` from 1."""
    return f"transition {number} ({trigger} from {listed(sources) or 'nowhere'})"


def trace(walk: Sequence[Edge]) -> str:
    """A walk as a line: `pending --start--> gating --gates_passed--> manager`."""
    return walk[0].source + "".join(f" --{edge.trigger}--> {edge.dest}" for edge in walk)


def walk_lines(walk: Sequence[Edge]) -> list[str]:
    """A walk for people to read: where it begins, then a line for each step, with its reason."""
    if not walk:
        return []
    steps = [f"--{edge.trigger}--> {edge.dest}" for edge in walk]
    width = max(map(len, steps))
    lines = [f"  {step.ljust(width)}  {edge.why}" for step, edge in zip(steps, walk, strict=True)]
    return [walk[0].source, *lines]
