"""`lifecycle`: prints a lifecycle, to read or to start a new one from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fsm_orchestrator.cli import console
from fsm_orchestrator.cli.formatting import columns, command_line, sentences
from fsm_orchestrator.cli.screen import prose_width
from fsm_orchestrator.cli.summary import UNBOUNDED
from fsm_orchestrator.constants import DEFAULT_LIFECYCLE
from fsm_orchestrator.errors import UsageError
from fsm_orchestrator.lifecycle.reading import read, shipped
from fsm_orchestrator.lifecycle.source import is_name, shipped_names, shipped_text, text_of
from fsm_orchestrator.lifecycle.writing import lifecycle_text
from fsm_orchestrator.text.hidden import printable
from fsm_orchestrator.vocabulary import ExitCode


def lifecycle_command(parameters: Mapping[str, Any]) -> int:
    """Print the text of a lifecycle, or its expansion; without a name, list the built-in ones."""
    name, out = parameters["lifecycle"], console.stdout()
    if name is not None:
        out.write(_expanded(name) if parameters["expand"] else _written(name))
        return ExitCode.DONE
    if parameters["expand"]:
        raise UsageError("--expand needs a lifecycle", remedy="name one, or the path of a file")
    titles = {known: shipped(known).title for known in shipped_names()}
    titles[DEFAULT_LIFECYCLE] += " (the default)"
    column = max(map(len, titles)) + 2
    width = prose_width(out) if out.is_terminal else UNBOUNDED
    lines = [
        line
        for known, title in titles.items()
        for line in sentences(title, width, indent=f"{known:<{column}}", hanging=" " * column)
    ]
    if out.is_terminal:
        copied = f"{command_line('lifecycle', DEFAULT_LIFECYCLE)} > own.toml"
        of_own = command_line("init", ".", "--stages", "plan,apply")
        commands = [("look", command_line("diagram", DEFAULT_LIFECYCLE)), ("copy", copied)]
        lines += ["", *columns([*commands, ("own", of_own)])]
    out.write("\n".join([*lines, ""]))
    return ExitCode.DONE


def _written(name: str) -> str:
    """Return the text of a lifecycle; that of a file is made safe for a terminal."""
    read(name, Path())  # refuses an invalid one
    if is_name(name):
        return shipped_text(name).decode()
    return printable(text_of(name, Path()).decode())


def _expanded(name: str) -> str:
    """Return every state and every edge of a lifecycle, as a file would list them."""
    lifecycle = read(name, Path())
    about = "# Every state and edge, including those that a file may leave out.\n"
    return about + lifecycle_text(lifecycle)
