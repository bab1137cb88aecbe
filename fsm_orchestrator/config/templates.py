"""The templates in a text of a config file: `{out}`, `{run_id}`, `{env:NAME}`; `{{` is a brace.

Only an opening brace is special. A text is taken apart once, and filled in when the run is known.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator
from enum import StrEnum
from typing import Final, NamedTuple, TypeAlias, assert_never

from fsm_orchestrator.secrets.declared import asked, looks_secret
from fsm_orchestrator.text.hidden import copyable
from fsm_orchestrator.text.late_pattern import late_pattern
from fsm_orchestrator.text.phrases import described

KNOWN: Final = "{out}, {run_id} and {env:NAME}; a brace itself is written {{"
FILLED_CHARACTERS_MAX: Final = 131_071
"""The longest argument that Linux passes on: MAX_ARG_STRLEN, without the terminating byte."""

_BRACE: Final = late_pattern(r"\{(?:\{|([^{}]*)\})?")
_VARIABLE: Final = late_pattern(r"env:([^=]+)")


class Fact(StrEnum):
    """A fact of the run that a template stands for, by its name."""

    OUT = "out"
    RUN_ID = "run_id"


class Literal(NamedTuple):
    """A literal text."""

    text: str


class Variable(NamedTuple):
    """A variable of the operator's environment."""

    name: str


Piece: TypeAlias = Literal | Variable | Fact


class Facts(NamedTuple):
    """The values that fill in templates.

    Attributes:
        out: the absolute path of OUT.
        run_id: the id of the run.
        secrets: the names of the variables that are declared secrets.
    """

    out: str
    run_id: str
    secrets: Collection[str]


class TemplateError(ValueError):
    """An error about a template in a text that is unknown, or that cannot be filled in."""


def pieces_of(text: str) -> tuple[Piece, ...]:
    """Split a text into its pieces.

    Raises:
        TemplateError: it has an unknown template.
    """
    return tuple(_pieces(text))


def _pieces(text: str) -> Iterator[Piece]:
    end = 0
    for found in _BRACE.finditer(text):
        if found.start() > end:
            yield Literal(text[end : found.start()])
        end = found.end()
        if found[0] == "{{":
            yield Literal("{")
        elif found[1] is None:
            raise TemplateError(f"a brace that nothing closes; the templates are {KNOWN}")
        elif found[1] in list(Fact):
            yield Fact(found[1])
        elif (variable := _VARIABLE.fullmatch(found[1])) is not None:
            yield Variable(variable[1])
        else:
            raise TemplateError(
                f"there is no template {described(found[0])}; the templates are {KNOWN}"
            )
    if end < len(text):
        yield Literal(text[end:])


def filled(text: str, facts: Facts, written: Callable[[str], str] = str) -> str:
    """Return a text with its templates filled in; `written` writes a value in the text.

    Raises:
        TemplateError: one cannot be: its variable is not set, or is a secret.
    """
    parts = []
    room = FILLED_CHARACTERS_MAX
    for piece in pieces_of(text):
        part = _filled_piece(piece, facts)
        if not isinstance(piece, Literal):
            part = written(part)
            room -= len(part)
        if room < 0:
            raise TemplateError(
                f"its templates come to more than {FILLED_CHARACTERS_MAX} characters"
            )
        parts.append(part)
    return "".join(parts)


def _filled_piece(piece: Piece, facts: Facts) -> str:
    match piece:
        case Literal(text):
            return text
        case Variable(name):
            return _value(name, facts.secrets)
        case Fact.OUT:
            return facts.out
        case Fact.RUN_ID:
            return facts.run_id
        case _:
            assert_never(piece)


def _value(name: str, secrets: Collection[str]) -> str:
    shown = copyable(name)
    if name in secrets or looks_secret(name):
        raise TemplateError(
            f"{{env:{shown}}} would put a secret where the record and every user of the machine"
            " can see it; declare it with `secrets` and let the stage read its environment"
        )
    value = asked(name)
    if value is None:
        raise TemplateError(f"the variable {shown} is not set in the environment")
    return value


def is_absolute(text: str) -> bool:
    """Return whether a text will be an absolute path once it is filled in."""
    first = next(iter(pieces_of(text)), None)
    match first:
        case Literal(literal):
            return os.path.isabs(literal)
        case Variable(name):
            return os.path.isabs(os.environ.get(name, ""))
        case Fact.OUT:
            return True
        case Fact.RUN_ID | None:
            return False
        case _:
            assert_never(first)


def escaped(text: str) -> str:
    """Return the text that stands for `text` in a config file."""
    return text.replace("{", "{{")
