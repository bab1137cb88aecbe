"""Finds the commands and the paths that a screen prints, as a reader would."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from typing import Any

from fsm_orchestrator.text.hidden import shell_line
from tests.support.command import Ended

PRODUCT = "fsm-orchestrator"
_ABSENT = re.compile(
    "does not exist|not found|no such|is missing|is gone|no longer|cannot be made|not a directory"
    "|link to nothing|is not there|has no |nothing is archived|is an? |is held|unchanged since"
    "|were removed"
)
"""A line that says what is wrong with the path in it."""
_ROW = re.compile(
    r"^(?: +(?:report|log|postmortem) {2,}| {2}in (?=/|\$'))"
    r"((?:\$')?\.?/.*?)(?: \([a-z_\[\].]+\))?$"
)
"""A row of a table that names a file to look at."""
_RECORDED = re.compile(r"^ +(?:command|in|expects|artifact|missing|stale) {2,}")
"""A row that shows a setting, or what should exist."""
_LOOSE = re.compile(r"(?<![\w.~:/'\"$*<=-])(/[^\s,;:'\"()`]+)")
"""An absolute path in a sentence, where it has no space."""
_DOLLAR_QUOTED = re.compile(r"\$'((?:[^'\\]|\\.)*)'")


def commands_in(text: str) -> Iterator[tuple[str, ...]]:
    """Yield the words of each of this program's commands, without the program; each once."""
    joined = text.replace("\\\n", " ")
    found = re.findall(rf"^ +(?:[a-z]+ +)?({PRODUCT} .*)$", joined, re.MULTILINE)
    found += re.findall(rf"`({PRODUCT} [^`]*)`", joined)
    found += re.findall(rf"\bsee ({PRODUCT} [a-z -]*--help)$", joined, re.MULTILINE)
    for line in dict.fromkeys(found):
        yield tuple(_words(line)[1:])


def paths_in(text: str) -> Iterator[tuple[str, str]]:
    """Yield each path that a screen reports as existing, of a row whole, and its line."""
    lines = text.replace("\\\n", " ").splitlines()  # a command may be broken anywhere
    for number, line in enumerate(lines):
        row = _ROW.match(line)
        around = " ".join(lines[max(0, number - 1) : number + 2])  # a sentence may be wrapped
        if row is None and _ABSENT.search(around):
            continue
        if row is not None:
            yield _words(row[1])[0] if row[1].startswith("$'") else row[1], line
        elif PRODUCT not in line and not _RECORDED.match(line):
            yield from ((path.rstrip("."), line) for path in _LOOSE.findall(line))


def texts_of(ended: Ended) -> Iterator[str]:
    """Yield what a command printed; of JSON, the commands in it.

    Events are no screen.
    """
    yield "\n".join(line for line in ended.stderr.splitlines() if not line.startswith("{"))
    try:
        document = json.loads(ended.stdout)
    except ValueError:
        yield ended.stdout
    else:
        yield from (text for text in _texts(document) if PRODUCT in text)
        for words in _words_of_next_steps(document):
            yield f"  {shell_line(words)}\n"


def _words_of_next_steps(document: Any) -> Iterator[list[str]]:
    if isinstance(document, dict):
        step = document.get("next_step")
        if step and step["words"]:
            yield step["words"]


def _texts(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield value
        case list():
            for one in value:
                yield from _texts(one)
        case dict():
            for one in value.values():
                yield from _texts(one)
        case _:
            pass


def _words(line: str) -> list[str]:
    """Split a command line as a shell does, `$'...'` too."""
    plain = _DOLLAR_QUOTED.sub(lambda match: shlex.quote(_unescaped(match[1])), line)
    return shlex.split(plain)


def _unescaped(inside: str) -> str:
    data = re.sub(rb"\\x([0-9a-f]{2})", lambda match: bytes([int(match[1], 16)]), inside.encode())
    return data.decode()
