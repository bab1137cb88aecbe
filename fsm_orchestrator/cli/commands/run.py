"""`run`: configuration, signals, the run itself, and its summary."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fsm_orchestrator.api import load_report, run
from fsm_orchestrator.cli import console
from fsm_orchestrator.cli.formatting import shown_path
from fsm_orchestrator.cli.held_code import hold_code
from fsm_orchestrator.cli.progress import listener_for
from fsm_orchestrator.cli.request import request_from
from fsm_orchestrator.cli.summary import summary_of
from fsm_orchestrator.config.run_config import RunConfig
from fsm_orchestrator.errors import OrchestratorError, ReportError
from fsm_orchestrator.processes.interrupts import Interrupts
from fsm_orchestrator.record.report import Report
from fsm_orchestrator.vocabulary import REPORT_FILE, ExitCode

if TYPE_CHECKING:
    from fsm_orchestrator.explanation.next_step import Offer


def run_command(parameters: Mapping[str, Any]) -> int:
    """Run or resume; return the report's exit code. `--print-config` prints and runs nothing."""
    options = dict(parameters)
    prints_config = options.pop("print_config")
    interrupts = Interrupts()
    with interrupts.installed():
        request = request_from(options)
        config = request.config
        if prints_config:
            return _print_config(config)
        out = console.stdout()
        hold_code()
        try:
            listener = listener_for(request.log_format, request.log_level)
            report = run(config, interrupts=interrupts, listener=listener)
        except OrchestratorError as error:
            if request.as_json and error.exit_code is ExitCode.FAILED:
                with contextlib.suppress(ReportError):
                    out.write(load_report(config.output_path).to_json().decode())
            raise
        if request.as_json:
            out.write(report.to_json().decode())
        elif not (request.is_quiet and report.exit_code == ExitCode.DONE):
            out.write(_summary(config, report))
    return ExitCode.INTERNAL if report.exit_code is None else report.exit_code


def _summary(config: RunConfig, report: Report) -> str:
    """Return the summary. A run is what it is where a library that only this needs is gone."""
    try:
        return summary_of(report, config.output_path, _offer(config, report))
    except ImportError as error:
        return f"no summary can be made: {error}\nreport  {config.output_path / REPORT_FILE}\n"


def _offer(config: RunConfig, report: Report) -> Offer | None:
    """Return what to type next. A run that may be closed leaves nothing, and is not looked at."""
    if report.closure_ready:
        return None
    from fsm_orchestrator.explanation.next_step import offer_of
    from fsm_orchestrator.inspection.inspected_run import inspect_ended

    view = inspect_ended(config.output_path, report)
    return offer_of(view, shown_path(config.output_directory))


def _print_config(config: RunConfig) -> int:
    from fsm_orchestrator.config.config_text import config_text

    console.stdout().write(config_text(config))
    return ExitCode.DONE
