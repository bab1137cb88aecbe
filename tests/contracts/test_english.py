"""The prose of the package and of the documents follows the rules of CONTRIBUTING.md."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import pytest

import fsm_orchestrator

PACKAGE: Final = Path(fsm_orchestrator.__file__).parent
ROOT: Final = PACKAGE.parent
CLAUSE: Final = re.compile(r"\s*(?:What|Whether|How|Who|Whose|Whoever|Where|Why|When|Which|That)\b")
"""The beginning of a docstring that is a clause where a verb or a noun is due."""
AVOIDED: Final = re.compile(
    r"\b(?:whoever|mend(?:s|ed|ing)?|(?:that|which) ships?|in words|of ours|anew|held against"
    r"|gone on with|go(?:es)? on with|lets? go|heard no more|for want of)\b",
    re.IGNORECASE,
)
"""Words for which CONTRIBUTING.md has plainer ones."""
FIELD: Final = re.compile(r"\{[^{}\n]*\}")
"""Code in a text that is filled in."""
QUOTED: Final = re.compile(r"```.*?```|`[^`\n]*`|\"[^\"\n]*\"", re.DOTALL)
"""Code and quotations in a document."""
DOCUMENTS: Final = tuple(
    path
    for pattern in ("*.md", "docs/**/*.md", "states/*.md", "diagrams/*.md", "examples/**/*.md")
    for path in sorted(ROOT.glob(pattern))
)


class Prose(NamedTuple):
    """A docstring, a comment or a text of a module."""

    line: int
    text: str
    is_docstring: bool


def docstrings(text: str) -> Iterator[Prose]:
    """Yield the docstrings of modules, classes, functions and attributes."""
    owners = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    for node in ast.walk(ast.parse(text)):
        for one in node.body if isinstance(node, owners) else ():
            said = one.value if isinstance(one, ast.Expr) else None
            if isinstance(said, ast.Constant) and isinstance(said.value, str):
                yield Prose(one.lineno, said.value, is_docstring=True)


def prose(text: str) -> Iterator[Prose]:
    """Yield all that people read in a module: its docstrings, comments and texts."""
    yield from docstrings(text)
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT or (
            token.type == tokenize.STRING and " " in token.string
        ):
            yield Prose(token.start[0], FIELD.sub("", token.string), is_docstring=False)


def faults(name: str, text: str) -> list[str]:
    """Return what breaks the rules in a module, each with its line."""
    return sorted(
        {
            f"{name}:{one.line}: {found.group().strip()}"
            for one in prose(text)
            for found in (*AVOIDED.finditer(one.text), *clause(one))
        }
    )


def clause(one: Prose) -> Iterator[re.Match[str]]:
    """Yield the clause with which a docstring begins, if it does."""
    found = CLAUSE.match(one.text) if one.is_docstring else None
    if found:
        yield found


def test_faults_are_found() -> None:
    """In each kind of prose, and nowhere else."""
    module = (
        '"""What it does."""\nx = 1  # for whoever asks\n"""How many."""\nprint(f"mended {x}")\n'
    )
    assert faults("m", module) == ["m:1: What", "m:2: whoever", "m:3: How", "m:4: mended"]
    assert faults("m", '"""The whole."""\nwhoever = f"{[x for x in words]}, a"  # Whats\n') == []


@pytest.mark.parametrize(
    "room",
    [*sorted({path.parent for path in PACKAGE.rglob("*.py")})],
    ids=lambda room: str(room.relative_to(ROOT)),
)
def test_prose_of_the_package(room: Path) -> None:
    """Docstrings begin with a verb or a noun; plain words are used everywhere."""
    found = [
        fault
        for path in sorted(room.glob("*.py"))
        for fault in faults(path.name, path.read_text(encoding="utf-8"))
    ]
    assert found == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_words_of_documents(path: Path) -> None:
    """Documents use the same plain words, apart from code and quotations."""
    text = QUOTED.sub(lambda found: "\n" * found[0].count("\n"), path.read_text(encoding="utf-8"))
    found = [
        f"{number}: {match.group()}"
        for number, line in enumerate(text.splitlines(), 1)
        for match in AVOIDED.finditer(line)
    ]
    assert found == []
