"""Values that several sections of the page show: texts cut to a length, facts, commands."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, assert_never

from fsm_orchestrator.explanation.explanation import Fact
from fsm_orchestrator.explanation.facts import FactForm
from fsm_orchestrator.rendering.html.environment import has_hidden

SHOWN_CHARACTERS_MAX: Final = 4_000
"""A longer text is cut: an argument may have a hundred thousand characters."""


class Form(StrEnum):
    """The form in which a fact is shown."""

    TIME = "time"
    PROSE = "prose"
    QUOTE = "quote"
    CODE = "code"


@dataclass(frozen=True, slots=True)
class ShownFact:
    """A piece of evidence as the page shows it."""

    name: str
    form: Form
    text: str


def shown_facts(found: Iterable[Fact]) -> list[ShownFact]:
    """Return evidence as it is shown, name by name."""
    return [ShownFact(fact.name.value, _form(fact), shortened(fact.value)) for fact in found]


def shortened(text: str) -> str:
    """Return a text; a long one cut, with a word about the rest."""
    rest = len(text) - SHOWN_CHARACTERS_MAX
    if rest <= 0:
        return text
    return f"{text[:SHOWN_CHARACTERS_MAX]} \u2026 and {rest} characters more"


def shell_words(words: Iterable[str]) -> list[str]:
    """Return words as a shell reads them; hidden characters in them do no harm there."""
    return [_dollar_quoted(one) if has_hidden(one) else shlex.quote(one) for one in words]


def _form(fact: Fact) -> Form:
    match fact.form:
        case FactForm.TIME:
            return Form.TIME
        case FactForm.PROSE:
            return Form.PROSE
        case FactForm.TEXT | FactForm.COMMAND if "\n" not in fact.value:
            return Form.CODE
        case FactForm.TEXT | FactForm.COMMAND | FactForm.OUTPUT:
            return Form.QUOTE
        case form:
            assert_never(form)


def _dollar_quoted(word: str) -> str:
    """Return `$'...'`, as bash, ksh and zsh read it: each byte that could mislead is a number."""
    data = word.encode(errors="surrogateescape")
    plain = {byte: chr(byte) for byte in range(0x20, 0x7F) if chr(byte) not in "'\\"}
    inside = "".join(plain.get(byte, f"\\x{byte:02x}") for byte in data)
    return f"$'{inside}'"
