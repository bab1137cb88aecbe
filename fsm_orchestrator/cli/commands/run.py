"""`run`: runs or resumes; other processes wait for this command."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fsm_orchestrator.cli import console
from fsm_orchestrator.cli.formatting import shown_path
from fsm_orchestrator.cli.request import Request, request_from
from fsm_orchestrator.cli.running import run_and_show
from fsm_orchestrator.config.run_config import RunConfig
from fsm_orchestrator.errors import OrchestratorError
from fsm_orchestrator.processes.adoption import adopt_orphans
from fsm_orchestrator.processes.interrupts import Interrupts
from fsm_orchestrator.processes.undumpable import close_to_others
from fsm_orchestrator.vocabulary import ExitCode


def run_command(parameters: Mapping[str, Any]) -> int:
    """Run or resume; return the report's exit code. `--print-config` prints and runs nothing."""
    options = dict(parameters)
    wait_ms = options.pop("wait_ms", None)
    is_in_ci = options.pop("ci", False)
    if options.pop("print_config"):
        return _print_config(request_from(options).config)
    interrupts = Interrupts()
    with interrupts.installed():
        if is_in_ci:
            return _run_in_ci(options, interrupts, wait_ms)
        return _run(request_from(options), interrupts, wait_ms)


def _run(request: Request, interrupts: Interrupts, wait_ms: int | None) -> int:
    close_to_others()
    adopt_orphans()
    if wait_ms is None:
        return run_and_show(request, interrupts)
    from fsm_orchestrator.cli.waiting import run_and_wait

    return run_and_wait(request, interrupts, wait_ms)


def _run_in_ci(options: dict[str, Any], interrupts: Interrupts, wait_ms: int | None) -> int:
    """Run, and report the run to the CI system, or why there is none."""
    from fsm_orchestrator.cli.ci import tell_of_refusal, tell_of_run

    try:
        request = request_from(options)
        code = _run(request, interrupts, wait_ms)
    except OrchestratorError as error:
        tell_of_refusal(error)
        raise
    config = request.config
    tell_of_run(config.output_path, shown_path(config.output_directory))
    return code


def _print_config(config: RunConfig) -> int:
    from fsm_orchestrator.config.config_text import config_text

    console.stdout().write(config_text(config))
    return ExitCode.DONE
