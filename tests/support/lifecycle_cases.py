"""Lifecycles that are each wrong in one way: the default one, edited, and the messages."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from fsm_orchestrator.errors import LifecycleError
from fsm_orchestrator.lifecycle.reading import parse
from fsm_orchestrator.lifecycle.source import shipped_text
from fsm_orchestrator.vocabulary import ExitCode

DEFAULT = shipped_text("governed_run").decode()


def edited(*edits: tuple[str, str]) -> str:
    """Return the default lifecycle, each pair's first text, found once, replaced by the second."""
    text = DEFAULT
    for old, new in edits:
        assert text.count(old) == 1, f"{old!r} is there {text.count(old)} times"
        text = text.replace(old, new)
    return text


def edge(trigger: str, source: str, dest: str, condition: str = "") -> str:
    """Return a `[[transition]]` to put at the end of a lifecycle."""
    return (
        f'\n[[transition]]\ntrigger = "{trigger}"\nsource = {source}\ndest = "{dest}"\n'
        f'{condition}\nwhy = "for the test"\n'
    )


class Case(NamedTuple):
    """A lifecycle that is refused, and all messages about it, line by line."""

    name: str
    text: str
    problems: tuple[str, ...]


def refused(name: str, text: str, *problems: str) -> Case:
    """Return a case, as the tables below write it."""
    return Case(name, text, problems)


def assert_refused(case: Case) -> None:
    """Assert that the lifecycle is a usage error with the lines of the case and a remedy."""
    with pytest.raises(LifecycleError) as refusal:
        parse(case.text.encode(), "run.toml")
    assert str(refusal.value).splitlines() == [f"run.toml: {line}" for line in case.problems]
    assert refusal.value.exit_code is ExitCode.USAGE
    assert refusal.value.remedy
