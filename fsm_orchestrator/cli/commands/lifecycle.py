"""`lifecycle`: print a built-in lifecycle, to read or to start a new one from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fsm_orchestrator.cli import console
from fsm_orchestrator.cli.formatting import columns, command_line, sentences
from fsm_orchestrator.cli.screen import prose_width
from fsm_orchestrator.cli.summary import UNBOUNDED
from fsm_orchestrator.constants import DEFAULT_LIFECYCLE
from fsm_orchestrator.lifecycle.reading import shipped
from fsm_orchestrator.lifecycle.source import shipped_names, shipped_text
from fsm_orchestrator.vocabulary import ExitCode


def lifecycle_command(parameters: Mapping[str, Any]) -> int:
    """Print the text of a built-in lifecycle; without a name, list them."""
    name, out = parameters["name"], console.stdout()
    if name is not None:
        shipped(name)  # refuses an unknown name
        out.write(shipped_text(name).decode())
        return ExitCode.DONE
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
