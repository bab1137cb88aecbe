"""Carries out a run, shows its progress, and prints on stdout how it ended."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fsm_orchestrator.api import load_report, run_as_command
from fsm_orchestrator.cli import console
from fsm_orchestrator.cli.formatting import shown_path
from fsm_orchestrator.cli.progress import Progress, progress_of
from fsm_orchestrator.cli.refusal import for_a_second, naming_next_command
from fsm_orchestrator.cli.request import Request
from fsm_orchestrator.cli.summary import UNBOUNDED, WORDS_MAX, Shape, summary_of
from fsm_orchestrator.config.run_config import RunConfig
from fsm_orchestrator.constants import REPORT_FILE
from fsm_orchestrator.errors import OrchestratorError, OutputError, ReportError
from fsm_orchestrator.processes.held_code import COMMAND
from fsm_orchestrator.processes.interrupts import Interrupts
from fsm_orchestrator.record.report import Report
from fsm_orchestrator.text.hidden import copyable
from fsm_orchestrator.text.units import span_words
from fsm_orchestrator.vocabulary import ExitCode, LogFormat, Outcome

if TYPE_CHECKING:
    from fsm_orchestrator.explanation.next_step import Offer
    from fsm_orchestrator.stages.judging import SlowArtifact


def run_and_show(request: Request, interrupts: Interrupts, *, may_wait: bool = False) -> int:
    """Run or resume, and show how that ended; return the exit code of the report.

    `may_wait` means that the report of a blocked run is not the last one.
    """
    config = request.config
    untold: list[str] = []
    progress = progress_of(request.log_format, request.log_level, config.output_path, interrupts)
    try:
        with contextlib.closing(progress), naming_next_command(config, interrupts):
            report = run_as_command(
                config,
                interrupts,
                progress,
                progress.on_words,
                None if request.log_format is LogFormat.JSON else _say_slow_artifact,
                COMMAND,
                progress.on_metered,
                on_untold=untold.append,
            )
    except OrchestratorError as error:
        if request.as_json and error.exit_code is ExitCode.FAILED:
            with contextlib.suppress(ReportError):
                show_report(load_report(config.output_path), config, interrupts)
        raise
    if request.as_json:
        if not (may_wait and report.terminal_state is Outcome.BLOCKED):
            show_report(report, config, interrupts)
    elif not (request.is_quiet and report.closure_ready):
        said = _summary(config, report, progress, interrupts)
        _show(said, config, interrupts, is_painted=True)
    if untold:
        _say_untold(untold, is_json=request.log_format is LogFormat.JSON)
    return ExitCode.INTERNAL if report.exit_code is None else report.exit_code


def show_report(report: Report, config: RunConfig, interrupts: Interrupts) -> None:
    """Write a report as JSON."""
    _show(report.to_json().decode(), config, interrupts)


def _say_slow_artifact(slow: SlowArtifact) -> None:
    """Explain why nothing is shown yet. The path is left out: it may hold an unknown secret."""
    took = span_words(slow.elapsed_ms)
    console.stderr().write(f"still judging the artifacts of completed stages after {took}\n")


def _say_untold(sentences: Sequence[str], *, is_json: bool) -> None:
    """Print who could not be notified of the end of the run."""
    from fsm_orchestrator.cli.untold import untold_text

    console.stderr().show(untold_text(sentences, is_json=is_json))


def _summary(config: RunConfig, report: Report, progress: Progress, interrupts: Interrupts) -> str:
    """Return the summary. It is short, and the run unaffected, if a library it needs is missing."""
    out = console.stdout()
    shape = Shape(
        typed=shown_path(config.output_directory),
        width=out.width if out.is_terminal else UNBOUNDED,
        has_stages=progress.is_live and out.is_same_as(console.stderr()),
    )
    try:
        offer, words = _offer(config, report, interrupts)
        return summary_of(report, config.output_path, offer, shape._replace(words=words))
    except ImportError as error:
        return (
            f"no summary can be made: {error}\nreport "
            f" {copyable(config.output_path / REPORT_FILE)}\n"
        )


def _show(
    text: str, config: RunConfig, interrupts: Interrupts, *, is_painted: bool = False
) -> None:
    """Write how the run ended. Its product is the report on disk: the exit code stays the run's."""
    out = console.stdout_of_run(interrupts)
    try:
        if is_painted:
            out.show(text)
        else:
            out.write(text)
    except OutputError as error:
        there = config.output_path / REPORT_FILE
        remedy = (
            f"the run is as its report says: {copyable(str(there))}"
            if os.path.exists(there)
            else ""
        )
        console.complain(str(error), remedy)


def _offer(
    config: RunConfig, report: Report, interrupts: Interrupts
) -> tuple[Offer | None, Sequence[str]]:
    """Return what to type next, and what the stage to blame printed to stdout alone.

    A run that may be closed has nothing left to do, and is not examined.
    """
    if report.closure_ready:
        return None, ()
    from fsm_orchestrator.explanation.next_step import offer_of
    from fsm_orchestrator.inspection.inspected_run import inspect_ended
    from fsm_orchestrator.inspection.quoting import words_in_stdout

    view = inspect_ended(config.output_path, report)
    if view.saved is not None and view.saved.checkpoint.run_id != report.run_id:
        return None, ()  # another run has taken its place
    shown = shown_path(config.output_directory)
    offer = offer_of(view, shown, may_go_on=for_a_second(interrupts))
    return offer, words_in_stdout(view, WORDS_MAX)
