"""`stop`: ends the run at work in a directory, waits, and shows where it stands then."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from fsm_orchestrator.cli import console
from fsm_orchestrator.cli.commands.status import status_command
from fsm_orchestrator.disk.where import run_of
from fsm_orchestrator.errors import UsageError
from fsm_orchestrator.inspection.holder import holder_now
from fsm_orchestrator.inspection.run_directories import is_run_directory, output_directory_of
from fsm_orchestrator.inspection.stopping import stop_run
from fsm_orchestrator.text.hidden import copyable, printable
from fsm_orchestrator.vocabulary import ExitCode, HeldBy

WAIT_MS: Final = 60_000


def stop_command(parameters: Mapping[str, Any]) -> int:
    """Stop the run; return 0 once no run is at work there."""
    typed, as_json = parameters["output_directory"], parameters["as_json"]
    wait_ms = WAIT_MS if parameters["wait_ms"] is None else parameters["wait_ms"]
    output = output_directory_of(typed)
    if not is_run_directory(output) and holder_now(output) is None:
        raise UsageError(
            f"there is no run in {copyable(run_of(output))}",
            remedy="name the output directory of one run",
        )
    holder = stop_run(output, wait_ms=wait_ms, at_once=parameters["now"])
    if not as_json:
        text = f"no run was at work in {copyable(typed)}"
        if holder is not None:
            text = f"stopped: process {holder.pid} released {copyable(typed)}"
            if holder.held_by is not HeldBy.COMMAND:
                text = f"{text}, and continues with its other work"
        console.stdout().write(printable(text) + "\n")
    status_command({"output_directories": (typed,), "run_id": None, "as_json": as_json})
    return ExitCode.DONE
