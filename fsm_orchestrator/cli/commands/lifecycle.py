"""`lifecycle`: print a built-in lifecycle, to read or to start a new one from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fsm_orchestrator.cli import console
from fsm_orchestrator.cli.formatting import columns
from fsm_orchestrator.constants import DEFAULT_LIFECYCLE
from fsm_orchestrator.lifecycle.reading import shipped
from fsm_orchestrator.lifecycle.source import shipped_names, shipped_text
from fsm_orchestrator.vocabulary import ExitCode


def lifecycle_command(parameters: Mapping[str, Any]) -> int:
    """Print the text of a built-in lifecycle; without a name, list them."""
    name = parameters["name"]
    if name is None:
        rows = []
        for known in shipped_names():
            default = " (the default)" if known == DEFAULT_LIFECYCLE else ""
            rows.append((known, shipped(known).title + default))
        console.stdout().write("\n".join(columns(rows, indent="")) + "\n")
    else:
        shipped(name)  # refuses an unknown name
        console.stdout().write(shipped_text(name).decode())
    return ExitCode.DONE
