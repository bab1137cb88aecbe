"""`wait`: waits until the gates that block a run are decided, and resumes the run on request."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from fsm_orchestrator.cli import console
from fsm_orchestrator.cli.formatting import command_line, shown_path
from fsm_orchestrator.cli.request import request_from
from fsm_orchestrator.cli.running import run_and_show
from fsm_orchestrator.cli.waiting import code_of, document_of, said_of, waited_for
from fsm_orchestrator.disk.where import run_of
from fsm_orchestrator.errors import UsageError
from fsm_orchestrator.inspection.run_directories import output_directory_of
from fsm_orchestrator.inspection.waiting import Prospect, Waiting
from fsm_orchestrator.processes.adoption import adopt_orphans
from fsm_orchestrator.processes.interrupts import Interrupts
from fsm_orchestrator.processes.undumpable import close_to_others
from fsm_orchestrator.text.hidden import copyable
from fsm_orchestrator.vocabulary import Standing

_WAITS: Final = frozenset(
    {Standing.WAITING, Standing.BLOCKED, Standing.WORKING, Standing.SUSPENDED}
)


def wait_command(parameters: Mapping[str, Any]) -> int:
    """Wait; return 0 once the gates passed, 3 once one is refused, 124 when the time is over.

    With `--resume`, return the exit code of the resume. A run that no longer waits has its own
    code.
    """
    typed, timeout_ms = parameters["output_directory"], parameters["wait_ms"]
    goes_on, as_json = parameters["resume"], parameters["as_json"]
    output = output_directory_of(typed)
    interrupts = Interrupts()
    with interrupts.installed():
        request = request_from({"output_directory": typed, "resume": True, "as_json": as_json})
        close_to_others()
        adopt_orphans()
        _refuse_to_wait(output, interrupts)
        waited = waited_for(output, request, interrupts, timeout_ms)
        if goes_on and waited.outlook.prospect is Prospect.PASSED:
            return run_and_show(request, interrupts)
        code = code_of(waited)
        if as_json:
            console.stdout().write(document_of(waited, code))
        elif waited.signum is None:
            console.stdout().show(said_of(waited, shown_path(typed), timeout_ms))
    return code


def _refuse_to_wait(output: Path, interrupts: Interrupts) -> None:
    """Refuse to wait for a run that waits for nothing.

    Raises:
        UsageError: it has failed, timed out, or was interrupted.
    """
    standing = Waiting(output, interrupts).standing
    if standing not in {*_WAITS, Standing.DONE, Standing.NOT_CLOSABLE}:
        raise UsageError(
            f"the run in {copyable(run_of(output))} waits for no gate: it is {standing.words}",
            remedy=f"see why: {command_line('explain', str(run_of(output)))}",
        )
