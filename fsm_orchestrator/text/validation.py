"""Pydantic's findings about a document, as values and as sentences.

They never contain values from the document, which may be secret.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, TypeAlias

from pydantic import ValidationError

from fsm_orchestrator.text.hidden import QUOTED_CHARACTERS_MAX, quoted
from fsm_orchestrator.text.phrases import described, suggestion

Location: TypeAlias = tuple[int | str, ...]


class Problem(NamedTuple):
    """One thing that is wrong with a document.

    Attributes:
        location: the keys and indices that lead to it.
        kind: pydantic's name for it, such as `missing`.
        message: pydantic's sentence about it.
    """

    location: Location
    kind: str
    message: str

    @property
    def is_unknown_key(self) -> bool:
        """True if the document has a key that the model does not have."""
        return self.kind == "extra_forbidden"

    @property
    def text(self) -> str:
        """The problem, its place first: `stages.manager.bin: input should be a valid string`."""
        parts = map(str, self.location)
        where = ".".join(one if len(one) <= QUOTED_CHARACTERS_MAX else quoted(one) for one in parts)
        what = "unknown key" if self.is_unknown_key else _lowered(self.message)
        return f"{where}: {what}" if where else what


def problems(error: ValidationError) -> list[Problem]:
    """Return every problem, in the order of the model's fields.

    The location of a bad key in a mapping ends at the mapping: a bad name of an environment
    variable may contain the variable's value.
    """
    return [
        Problem(
            location=detail["loc"][:-2] if detail["loc"][-1:] == ("[key]",) else detail["loc"],
            kind=detail["type"],
            message=detail["msg"].removeprefix("Value error, "),
        )
        for detail in error.errors(include_url=False, include_input=False, include_context=False)
    ]


def expectation(problem: Problem) -> str:
    """Return what should be there instead, to follow the key: `should be a valid string`."""
    return _lowered(problem.message.removeprefix("Input "))


def unknown_key(location: Location, known: Iterable[str], *, shown: str | None = None) -> str:
    """Return the refusal of the key at the end of `location`, with the nearest known key or all."""
    key, names = str(location[-1]), tuple(known)
    hint = suggestion(key, names) or f"; known keys: {', '.join(names)}"
    return f"unknown key {described(shown or key)}{hint}"


def _lowered(text: str) -> str:
    return text[:1].lower() + text[1:]
