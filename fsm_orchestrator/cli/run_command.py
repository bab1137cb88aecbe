"""`run`: configuration, signals, the run itself, and what the operator is told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fsm_orchestrator.cli import console
from fsm_orchestrator.cli.progress import listener_for
from fsm_orchestrator.cli.run_config import run_config_from
from fsm_orchestrator.cli.summary import summary_of
from fsm_orchestrator.interrupts import Interrupts
from fsm_orchestrator.run import run
from fsm_orchestrator.vocabulary import LogFormat


def run_command(parameters: Mapping[str, Any]) -> int:
    """Run or resume; the exit code is the report's."""
    options = dict(parameters)
    as_json = options.pop("as_json")
    log_format = LogFormat(options.pop("log_format") or LogFormat.AUTO)
    interrupts = Interrupts()
    with interrupts.installed():
        config = run_config_from(options)
        report = run(config, interrupts=interrupts, listener=listener_for(log_format))
        out = console.stdout()
        if as_json:
            out.write(report.to_json().decode())
        else:
            out.write(summary_of(report, config.output_directory, config.output_path))
    return report.exit_code or 0
