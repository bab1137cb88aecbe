"""How a lifecycle's parts are named in a refusal, so that every layer says it the same way.

Only words: what is wrong is decided by the modules that check.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Final

from fsm_orchestrator.lifecycle_model import Edge

_SHOWN_CHARACTERS_MAX: Final = 60
_SHOWN_NAMES_MAX: Final = 6
_SHOWN_BITS_MAX: Final = 64


def described(value: object) -> str:
    """A value of the file in one short, printable phrase; text is quoted and escaped."""
    match value:
        case bool():
            return str(value).lower()
        case str():
            return _shortened(repr(value))
        case int() if value.bit_length() > _SHOWN_BITS_MAX:
            return "a very large number"  # Python refuses to write out the largest ones
        case int() | float():
            return str(value)
        case []:
            return "an empty list"
        case list():
            return "a list"
        case dict():
            return "a table"
        case _:
            return "a date or time"


def listed(names: Sequence[str]) -> str:
    """`a, b, c`; a long list is cut and says how many names were left out."""
    shown = ", ".join(names[:_SHOWN_NAMES_MAX])
    left_out = len(names) - _SHOWN_NAMES_MAX
    return f"{shown} and {left_out} more" if left_out > 0 else shown


def suggestion(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` for the known word nearest to `word`, or `""`."""
    nearest = get_close_matches(word, list(known), n=1)
    return f"; did you mean {nearest[0]!r}?" if nearest else ""


def state_label(name: str) -> str:
    """A state as refusals name it."""
    return f"state {name!r}"


def transition_label(number: int, trigger: str, sources: Sequence[str]) -> str:
    """A transition as refusals name it; `number` counts the file's `[[transition]]` from 1."""
    return f"transition {number} ({trigger} from {listed(sources) or 'nowhere'})"


def trace(walk: Sequence[Edge]) -> str:
    """A walk as a line: `pending --start--> gating --gates_passed--> manager`."""
    return walk[0].source + "".join(f" --{edge.trigger}--> {edge.dest}" for edge in walk)


def _shortened(text: str) -> str:
    if len(text) <= _SHOWN_CHARACTERS_MAX:
        return text
    return text[: _SHOWN_CHARACTERS_MAX - 3] + "..."
