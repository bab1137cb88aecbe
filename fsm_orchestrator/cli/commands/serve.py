"""`serve`: shows the runs of a directory in a browser, until asked to end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fsm_orchestrator.cli import console
from fsm_orchestrator.inspection.run_directories import output_directory_of
from fsm_orchestrator.vocabulary import ExitCode


def serve_command(parameters: Mapping[str, Any]) -> int:
    """Serve until a signal asks to end; return the exit code for that signal."""
    from fsm_orchestrator.web.serving import serve

    directory = output_directory_of(parameters["directory"])
    port, out = parameters["port"] or 0, console.stdout()

    def on_address(address: str) -> None:
        out.write(f"{address}\n")
        console.stderr().write(
            "anyone who has this address can read what it shows; Ctrl-C ends it\n"
        )

    return ExitCode(128 + serve(directory, port, on_address, console.stderr().write))
