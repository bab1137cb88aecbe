"""Labels for the parts of a lifecycle, and the joining of values into sentences.

Decides nothing: it keeps the wording of all layers alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from string import Formatter
from typing import Any, Final

from fsm_orchestrator.lifecycle.model import Edge
from fsm_orchestrator.vocabulary import Outcome

_SHOWN_NAMES_MAX: Final = 6


class _Sentences(Formatter):
    """A formatter with the format specs of `sentence`."""

    def format_field(self, value: Any, format_spec: str) -> str:
        match format_spec:
            case "and" | "or":  # `a`, `a or b`, `a, b or c`
                *most, last = map(str, value)
                return f"{', '.join(most)} {format_spec} {last}" if most else last
            case "gate":
                return f"{'gate' if len(value) == 1 else 'gates'} {', '.join(value)}"
            case "state":
                is_outcome = isinstance(value, Outcome)
                return (
                    f"a {'terminal state with outcome' if is_outcome else 'state of kind'} {value}"
                )
            case _:
                return str(value)


def sentence(template: str, values: Mapping[str, Any]) -> str:
    """Return a sentence with its fields filled in.

    `{x!r}` quotes; `{x:and}` and `{x:or}` join several; `{x:gate}` is `gate ci` or `gates ci,
    review`; `{x:state}` is `a state of kind KIND` or `a terminal state with outcome OUTCOME`.
    """
    return _Sentences().vformat(template, (), values)


def listed(names: Sequence[str]) -> str:
    """Join names as `a, b, c`; shorten a long list, and add how many names were left out."""
    shown = ", ".join(names[:_SHOWN_NAMES_MAX])
    left_out = len(names) - _SHOWN_NAMES_MAX
    return f"{shown} and {left_out} more" if left_out > 0 else shown


def state_label(name: str) -> str:
    """Return the label of a state."""
    return f"state {name!r}"


def gate_label(name: str) -> str:
    """Return the label of a gate that a lifecycle declares."""
    return f"gate {name!r}"


def stage_label(name: str) -> str:
    """Return the label of a stage of a lifecycle in the short form."""
    return f"stage {name!r}"


def transition_label(number: int, trigger: str, sources: Sequence[str]) -> str:
    """Return the label of a transition; `number` counts the `[[transition]]` tables from 1."""
    return f"transition {number} ({trigger} from {listed(sources) or 'nowhere'})"


def trace(walk: Sequence[Edge]) -> str:
    """Write a walk on one line: `pending --start--> gating --gates_passed--> manager`."""
    return walk[0].source + "".join(f" --{edge.trigger}--> {edge.dest}" for edge in walk)


def walk_lines(walk: Sequence[Edge]) -> list[str]:
    """Write a walk as lines: its first state, then each step with its reason."""
    if not walk:
        return []
    steps = [f"--{edge.trigger}--> {edge.dest}" for edge in walk]
    width = max(map(len, steps))
    lines = [f"  {step.ljust(width)}  {edge.why}" for step, edge in zip(steps, walk, strict=True)]
    return [walk[0].source, *lines]
