"""`lifecycle`: print a built-in lifecycle, to read or to start a new one from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fsm_orchestrator.cli import console
from fsm_orchestrator.cli.formatting import columns
from fsm_orchestrator.lifecycle import reading
from fsm_orchestrator.lifecycle import source as lifecycle_names
from fsm_orchestrator.vocabulary import DEFAULT_LIFECYCLE, ExitCode


def lifecycle_command(parameters: Mapping[str, Any]) -> int:
    """Print the text of a built-in lifecycle; without a name, list them."""
    name = parameters["name"]
    if name is None:
        rows = []
        for shipped in lifecycle_names.shipped_names():
            default = " (the default)" if shipped == DEFAULT_LIFECYCLE else ""
            rows.append((shipped, reading.shipped(shipped).title + default))
        console.stdout().write("\n".join(columns(rows, indent="")) + "\n")
    else:
        reading.shipped(name)  # refuses an unknown name with a suggestion
        console.stdout().write(lifecycle_names.shipped_text(name).decode())
    return ExitCode.DONE
