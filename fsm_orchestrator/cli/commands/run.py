"""`run`: run or resume; the command that others wait for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fsm_orchestrator.cli import console
from fsm_orchestrator.cli.request import request_from
from fsm_orchestrator.cli.running import run_and_show
from fsm_orchestrator.config.run_config import RunConfig
from fsm_orchestrator.processes.adoption import adopt_orphans
from fsm_orchestrator.processes.interrupts import Interrupts
from fsm_orchestrator.processes.undumpable import close_to_others
from fsm_orchestrator.vocabulary import ExitCode


def run_command(parameters: Mapping[str, Any]) -> int:
    """Run or resume; return the report's exit code. `--print-config` prints and runs nothing."""
    options = dict(parameters)
    wait_ms = options.pop("wait_ms", None)
    if options.pop("print_config"):
        return _print_config(request_from(options).config)
    interrupts = Interrupts()
    began = interrupts.running_seconds()
    with interrupts.installed():
        request = request_from(options)
        close_to_others()
        adopt_orphans()
        if wait_ms is None:
            return run_and_show(request, interrupts, began=began)
        from fsm_orchestrator.cli.waiting import run_and_wait

        return run_and_wait(request, interrupts, wait_ms, began)


def _print_config(config: RunConfig) -> int:
    from fsm_orchestrator.config.config_text import config_text

    console.stdout().write(config_text(config))
    return ExitCode.DONE
