"""Phrases that all messages use alike: values, suggestions, counts, spans of time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

from fsm_orchestrator.constants import PRODUCT
from fsm_orchestrator.text import units
from fsm_orchestrator.text.hidden import quoted

_SHOWN_BITS_MAX: Final = 64
LIKENESS: Final = 0.6
FILE_LIKENESS: Final = 0.8
"""The likeness for names of files, whose ends are alike anyway."""


def described(value: object) -> str:
    """Describe a value from a file in a short, printable phrase; text is quoted and escaped."""
    match value:
        case bool():
            return str(value).lower()
        case str():
            return quoted(value)
        case int() if value.bit_length() > _SHOWN_BITS_MAX:
            return "a very large number"  # Python refuses to print the largest ones
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


def suggestion(word: str, known: Iterable[str], *, likeness: float = LIKENESS) -> str:
    """Return `; did you mean 'x'?` for the known word nearest to `word`, or `""`.

    Case makes no difference; `likeness`, from 0 to 1, is how near a word has to be.
    """
    from difflib import get_close_matches  # noqa: PLC0415 - only for typos

    words = list(known)
    near = (get_close_matches(one, words, 1, likeness) for one in (word, word.lower()))
    found = next(filter(None, near), None)
    return f"; did you mean {found[0]!r}?" if found else ""


def counted(count: int, noun: str) -> str:
    """Return `1 state`, `2 states`, `2 processes`."""
    ending = "" if count == 1 else "es" if noun.endswith("s") else "s"
    return f"{count} {noun}{ending}"


def with_details(cause: str, details: Iterable[str]) -> str:
    """Return a cause and its details as one sentence: `timed out; ended on SIGTERM`."""
    return "; ".join((cause, *details))


def option_prefix(stage: str) -> str:
    """Return the prefix of a stage's options: `--manager`; `_` becomes `-`."""
    return "--" + stage.replace("_", "-")


SIGNAL_SUFFIX: Final = "-status"
"""The suffix of the options that give signals."""


def first_of(words: Sequence[str], most: int) -> list[str]:
    """Return the words if there are at most `most`, else the first ones and how many more."""
    more = len(words) - most
    return [*words[:most], f"{more} more"] if more > 0 else [*words]


def signal_option(gate: str) -> str:
    """Return the option that gives a gate's signal: `--ci-status`."""
    return f"{option_prefix(gate)}{SIGNAL_SUFFIX}"


def needs_approval(gate: str, value: str) -> str:
    """Return why a signal meant to pass a gate is refused if only people can approve that gate."""
    return f"the gate {gate} is passed by approvals alone: {value!r} as a signal would not count"


def own_stages(names: Iterable[str]) -> str:
    """Return how to get one's own stages, for a user who named some that the lifecycle lacks."""
    stages = ",".join(name for name in names if name.isidentifier())
    return (
        f"for stages of your own: `{PRODUCT} init . --stages {stages or 'plan,apply'}` writes a"
        " lifecycle that has them, and `--lifecycle ./FILE` runs one"
    )


def own_gate() -> str:
    """Return how to get one's own gate, for a user who named one that does not exist."""
    return (
        "for a gate of your own: declare it in a lifecycle with [[gate]], and name that with"
        f" `--lifecycle ./FILE`; `{PRODUCT} lifecycle` lists those to start from"
    )


DAY_MS: Final = 24 * 60 * 60 * units.SECOND_MS


def span_ms(since: str, until: str) -> int:
    """Return the whole milliseconds between two recorded times; never negative."""
    span = datetime.fromisoformat(until) - datetime.fromisoformat(since)
    return max(0, round(span.total_seconds() * units.SECOND_MS))


def ago(since: str, until: str) -> str:
    """Return how long before `until` a recorded time was: `17 days ago`, `3h05m ago`."""
    milliseconds = span_ms(since, until)
    days = milliseconds // DAY_MS
    return f"{counted(days, 'day') if days > 1 else units.span_words(milliseconds)} ago"


def listed(words: Sequence[str]) -> str:
    """Return `one`, `one and two`, `one, two and three`."""
    return " and ".join(part for part in (", ".join(words[:-1]), *words[-1:]) if part)
