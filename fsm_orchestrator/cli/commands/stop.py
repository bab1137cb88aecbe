"""`stop`: ends the run at work in a directory, waits, says how it ended."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from fsm_orchestrator.cli import console
from fsm_orchestrator.cli.commands.status import status_command
from fsm_orchestrator.disk.lock import holder_of
from fsm_orchestrator.errors import UsageError
from fsm_orchestrator.inspection.inspected_run import output_directory_of
from fsm_orchestrator.inspection.overview import is_run_directory
from fsm_orchestrator.inspection.stopping import stop_run
from fsm_orchestrator.text.phrases import printable
from fsm_orchestrator.vocabulary import ExitCode

WAIT_MS: Final = 60_000


def stop_command(parameters: Mapping[str, Any]) -> int:
    """Stop the run: 0 when no run is at work there now."""
    typed, as_json = parameters["output_directory"], parameters["as_json"]
    wait_ms = WAIT_MS if parameters["wait_ms"] is None else parameters["wait_ms"]
    output = output_directory_of(typed)
    if not is_run_directory(output) and holder_of(output) is None:
        raise UsageError(
            f"there is no run in {output}", remedy="name the output directory of one run"
        )
    holder = stop_run(output, wait_ms=wait_ms, at_once=parameters["now"])
    if not as_json:
        what = "no run was at work" if holder is None else f"process {holder.pid} let go"
        console.stdout().write(printable(f"{what} in {typed}") + "\n")
    status_command({"output_directories": (typed,), "run_id": None, "as_json": as_json})
    return ExitCode.DONE
