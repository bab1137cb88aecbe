"""The wait of a command for gates: shown, ended by signals, reported by an exit code."""

from __future__ import annotations

import contextlib
import json
import math
import time
from pathlib import Path

from fsm_orchestrator.api import load_report
from fsm_orchestrator.cli import console
from fsm_orchestrator.cli.formatting import command_line, shown_path
from fsm_orchestrator.cli.request import Request
from fsm_orchestrator.cli.running import run_and_show, show_report
from fsm_orchestrator.cli.screen import Line, shown
from fsm_orchestrator.cli.style import Mark
from fsm_orchestrator.cli.waiting_screen import WaitingScreen, names_of
from fsm_orchestrator.config.run_config import RunConfig
from fsm_orchestrator.constants import MILLISECONDS_MAX, SIGNAL_BASE
from fsm_orchestrator.disk.where import current_directory
from fsm_orchestrator.errors import UsageError
from fsm_orchestrator.inspection.waiting import Prospect, Waited, Waiting
from fsm_orchestrator.processes.interrupts import Interrupts
from fsm_orchestrator.text.units import span_words
from fsm_orchestrator.vocabulary import ExitCode, LogFormat, OnChangedStage


def run_and_wait(request: Request, interrupts: Interrupts, wait_ms: int) -> int:
    """Run, and whenever gates that can still be given block the run, wait and continue.

    For --run-timeout all of this is one invocation: once that time is up the run is resumed, to end
    by it.

    Raises:
        UsageError: changes until then are to be kept, which nobody has seen yet.
    """
    if request.config.on_changed_stage is OnChangedStage.KEEP:
        raise UsageError(
            "--on-changed-stage keep is about what has changed now, and --wait continues with what"
            " has changed by then",
            remedy="leave --wait out; once the gates passed, resume with keep again",
        )
    deadline, is_first = time.monotonic() + wait_ms / 1000, True
    while True:
        code = run_and_show(request, interrupts, may_wait=True)
        if code != ExitCode.BLOCKED:
            return code
        config = request.config
        left_ms = max(0, round((deadline - time.monotonic()) * 1000))
        run_ends_at = _end_of_run_time(config.output_path, interrupts.began)
        run_ms = max(0.0, run_ends_at - interrupts.running_seconds()) * 1000
        waited = waited_for(config.output_path, request, interrupts, round(min(left_ms, run_ms)))
        if interrupts.running_seconds() >= run_ends_at and waited.signum is None:
            request, is_first = _resumed(request), False
            continue
        is_news = is_first or waited.has_waited  # if not, the run has just judged it differently
        if waited.outlook.prospect is not Prospect.PASSED or waited.is_over or not is_news:
            if request.as_json:
                show_report(load_report(config.output_path), config, interrupts)
            elif waited.signum is None and (waited.is_over or waited.has_waited):
                typed = shown_path(config.output_directory)
                console.stdout().show(said_of(waited, typed, wait_ms))
            return code_of(waited) if is_news else code
        request, is_first = _resumed(request), False


def _end_of_run_time(output: Path, began: float) -> float:
    """Return the `running_seconds` at which the time of the run is up; infinity without a limit."""
    budget = load_report(output).budget
    run_ms = None if budget is None else budget.run_timeout_ms
    return math.inf if run_ms is None else began + run_ms / 1000


def _resumed(request: Request) -> Request:
    """Return the request that continues the run: everything that the run was given is kept."""
    directory = current_directory()
    config = RunConfig(
        output_directory=request.config.output_directory,
        directory=directory,
        resume=True,
        keep_secrets=request.config.keep_secrets,
        telemetry=request.config.telemetry,
        keep_archived=request.config.keep_archived,
        state_key_file=request.config.state_key_file,
        fixed_clock=request.config.fixed_clock,
    )
    return request._replace(config=config)


def waited_for(
    output: Path, request: Request, interrupts: Interrupts, wait_ms: int | None
) -> Waited:
    """Wait, and show on stderr what for; without `wait_ms` as long as any wait may take."""
    deadline = time.monotonic() + _longest_ms(wait_ms) / 1000
    is_json = request.log_format is LogFormat.JSON
    has_bound = wait_ms is not None
    screen = WaitingScreen(console.stderr(), deadline, is_json=is_json, has_bound=has_bound)
    with contextlib.ExitStack() as stack:
        stack.callback(screen.finish)
        return Waiting(output, interrupts).wait(deadline, screen.on_look)


def _longest_ms(wait_ms: int | None) -> int:
    """Return the time that a wait may take; 0 means that none is left, None no limit."""
    return MILLISECONDS_MAX if wait_ms is None else wait_ms


def code_of(waited: Waited) -> int:
    """Return the exit code of a wait."""
    if waited.signum is not None:
        return SIGNAL_BASE + waited.signum
    if waited.is_over:
        return ExitCode.TIMEOUT
    match waited.outlook.prospect:
        case Prospect.PASSED:
            return ExitCode.DONE
        case Prospect.NOT_BLOCKED:
            code = waited.outlook.view.report.exit_code
            return ExitCode.FAILED if code is None else code
        case _:
            return ExitCode.BLOCKED


def said_of(waited: Waited, typed: str, timeout_ms: int | None) -> str:
    """Return how the wait ended, and what to type next."""
    outlook = waited.outlook
    explain = command_line("explain", typed)
    if waited.is_over:
        took = span_words(_longest_ms(timeout_ms))
        names = names_of(outlook.awaited) or "the run at work"
        lines = [
            Line(f"not decided within {took}: {names}", Mark.WAITING),
            Line("  the run has not changed, and can be waited for again"),
            Line(f"  details  {explain}"),
        ]
    elif outlook.prospect is Prospect.PASSED:
        lines = [
            Line(f"passed: {names_of(outlook.gates)}", Mark.GOOD),
            Line(f"  resume   {command_line(typed, '--resume')}"),
        ]
    elif outlook.prospect is Prospect.NOT_BLOCKED:
        mark = Mark.GOOD if outlook.view.report.exit_code == ExitCode.DONE else Mark.BAD
        lines = [
            Line(f"no gate is waited for: the run is {outlook.view.standing.words}", mark),
            Line(f"  details  {explain}"),
        ]
    else:
        mark = Mark.BAD if outlook.prospect is Prospect.REFUSED else Mark.WAITING
        lines = [
            Line(f"{outlook.prospect.value}: {names_of(outlook.deciding)}", mark),
            Line(f"  details  {explain}"),
        ]
    return shown(lines)


def document_of(waited: Waited, code: int) -> str:
    """Return how the wait ended, as JSON."""
    outlook = waited.outlook
    document = {
        "run_id": outlook.view.report.run_id,
        "prospect": outlook.prospect.value,
        "is_timed_out": waited.is_over,
        "exit_code": code,
        "gates": [
            {"asked": one.asked, **one.decision.model_dump(mode="json")} for one in outlook.gates
        ],
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
