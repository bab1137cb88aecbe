"""Modules and functions are no longer than CONTRIBUTING.md says."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import fsm_orchestrator

PACKAGE: Final = Path(fsm_orchestrator.__file__).parent
MODULE_LINES_MAX: Final = 350
FUNCTION_LINES_MAX: Final = 70


def too_long(name: str, text: str) -> Iterator[str]:
    """Yield what is too long in a module, with its number of lines."""
    count = len(text.splitlines())
    if count > MODULE_LINES_MAX:
        yield f"{name}: {count} lines"
    for one in ast.walk(ast.parse(text)):
        if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef):
            count = (one.end_lineno or one.lineno) - one.lineno + 1
            if count > FUNCTION_LINES_MAX:
                yield f"{name}: {one.name} has {count} lines"


def test_no_module_and_no_function_is_too_long() -> None:
    """A module or function over the limit, even by one line, fails the test."""
    assert list(too_long("long", "def f():\n" + "    pass\n" * 70)) == ["long: f has 71 lines"]
    assert list(too_long("long", "\n" * 351)) == ["long: 351 lines"]
    found = [
        line
        for path in sorted(PACKAGE.rglob("*.py"))
        for line in too_long(str(path.relative_to(PACKAGE)), path.read_text(encoding="utf-8"))
    ]
    assert found == []


def test_the_face_of_a_room_is_one_docstring() -> None:
    """The `__init__.py` of a room has no code."""
    with_code = [
        str(path.relative_to(PACKAGE))
        for path in sorted(PACKAGE.rglob("__init__.py"))
        if path.parent != PACKAGE and len(ast.parse(path.read_text(encoding="utf-8")).body) != 1
    ]
    assert with_code == []
