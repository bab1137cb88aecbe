"""The closed sets are all used: by the built-in lifecycles, the help, the log and the errors."""

from __future__ import annotations

import ast
import inspect
import re
import tomllib
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import pytest

import fsm_orchestrator
from fsm_orchestrator import errors
from fsm_orchestrator.lifecycle.findings import FindingKind
from fsm_orchestrator.lifecycle.reading import shipped_names
from fsm_orchestrator.lifecycle.source import shipped_text
from fsm_orchestrator.vocabulary import EventName, ExitCode, Guard, Outcome, StateKind, Trigger
from tests.support.command import orchestrate

SOURCES: Final = tuple(sorted(Path(fsm_orchestrator.__file__).parent.rglob("*.py")))
ERRORS: Final[dict[str, type[errors.OrchestratorError]]] = {
    name: one
    for name, one in vars(errors).items()
    if inspect.isclass(one) and issubclass(one, errors.OrchestratorError)
}
DRAWN: Final = re.compile(r"^(?P<lines>[ │├└─]*)(?P<name>\w+Error)(?: +exit (?P<code>\d+) .*)?$")


def values_of(table: Any, *keys: str) -> set[str]:
    """Return every value under one of `keys`, at any depth."""
    if isinstance(table, list):
        return set().union(*(values_of(one, *keys) for one in table))
    if not isinstance(table, dict):
        return set()
    here = {value for key, value in table.items() if key in keys and isinstance(value, str)}
    return here.union(*(values_of(value, *keys) for value in table.values()))


def nodes(*mentioned: str) -> Iterator[ast.AST]:
    """Yield every syntax node of the modules that have one of these words."""
    for text in (source.read_text() for source in SOURCES):
        if any(word in text for word in mentioned):
            yield from ast.walk(ast.parse(text))


def made_names() -> set[str]:
    """Return the names that are called: a class among them is made, and an error raised."""
    return {
        node.func.id
        for node in nodes("Error(")
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }


def emitted_names() -> set[str]:
    """Return the members of EventName that are the first argument of `emit`, now or later."""
    found = nodes(EventName.__name__)
    calls = [[node.func, *node.args] for node in found if isinstance(node, ast.Call)]
    calls += [one[1:] for one in calls if is_named(one[0], "partial")]
    return {
        called[1].attr
        for called in calls
        if isinstance(called[0], ast.Attribute)
        and called[0].attr == "emit"
        and isinstance(called[1], ast.Attribute)
        and is_named(called[1].value, "EventName")
    }


def is_named(node: ast.expr, name: str) -> bool:
    """Return whether a node is exactly that name."""
    return isinstance(node, ast.Name) and node.id == name


OF_EXIT_CODES: Final = frozenset({"stage_declined", "stage_blocked", "nothing_owed"})
"""The members that come with a user's own exit codes: no built-in lifecycle has them."""


@pytest.mark.parametrize(
    ("vocabulary", "keys"),
    [
        (StateKind, ["kind"]),
        (Trigger, ["trigger"]),
        (Guard, ["guard", "unless"]),
        (Outcome, ["outcome"]),
    ],
)
def test_lifecycles_that_ship_use_each_member(vocabulary: type[StrEnum], keys: list[str]) -> None:
    """Every kind, trigger, guard and outcome is used by a built-in lifecycle, and none is missing.

    No lifecycle declares the end of a run's time: every one has the edges.
    """
    tables = [tomllib.loads(shipped_text(name).decode()) for name in shipped_names()]
    declared = {member.value for member in vocabulary} - {Trigger.RUN_TIMED_OUT.value}
    assert values_of(tables, *keys) == declared - OF_EXIT_CODES


def test_help_tells_every_exit_code(tmp_path: Path) -> None:
    """The exit codes in `run --help` are exactly those that the command can exit with."""
    ended = orchestrate("run", "--help", cwd=tmp_path)
    assert ended.code == 0
    listed = re.split(r"\n\s*\n", ended.stdout.partition("Exit codes:")[2].lstrip("\n"))[0]
    assert {int(number) for number in re.findall(r"\b\d+\b", listed)} == {*map(int, ExitCode)}


def test_every_event_is_emitted() -> None:
    """Each event of the log's closed set is emitted somewhere in the package."""
    assert emitted_names() == set(EventName.__members__)


def test_every_error_is_raised() -> None:
    """Each class of errors.py is made somewhere, to be raised; their common base never is."""
    assert made_names() & set(ERRORS) == set(ERRORS) - {"OrchestratorError"}


def test_every_error_is_drawn_where_it_belongs() -> None:
    """The tree in the docstring of errors.py shows each class, below its base, with its code."""
    found = [match for line in str(errors.__doc__).splitlines() if (match := DRAWN.match(line))]
    branch: list[str] = []
    drawn: dict[str, tuple[str, int | None]] = {}
    root_column = len(found[0]["lines"])
    for match in found:
        depth = (len(match["lines"]) - root_column) // 3
        branch[depth:] = [match["name"]]
        code = None if match["code"] is None else int(match["code"])
        drawn[match["name"]] = (branch[depth - 1] if depth else "Exception", code)
    assert drawn.pop("OrchestratorError") == ("Exception", None)
    assert drawn == {
        name: (one.__bases__[0].__name__, int(one.exit_code))
        for name, one in ERRORS.items()
        if name != "OrchestratorError"
    }


def test_every_kind_of_finding_is_found() -> None:
    """Each rule and promise that has a sentence is found somewhere in the package."""
    found = {
        node.attr
        for node in nodes(FindingKind.__name__)
        if isinstance(node, ast.Attribute) and is_named(node.value, "FindingKind")
    }
    assert found == set(FindingKind.__members__)
