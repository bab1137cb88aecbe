"""The summary at the end of a run: what ran, what went wrong, where to look, what to type."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from fsm_orchestrator.cli.formatting import columns
from fsm_orchestrator.constants import REPORT_FILE
from fsm_orchestrator.model.execution import StageExecution
from fsm_orchestrator.record.report import Report
from fsm_orchestrator.text.hidden import copyable, shell_line
from fsm_orchestrator.text.phrases import printable, span_words
from fsm_orchestrator.text.terminal import last_lines, shown_line
from fsm_orchestrator.vocabulary import Ending, Outcome, StageStatus, Standing, Trigger

if TYPE_CHECKING:
    from fsm_orchestrator.explanation.next_step import Offer

TAIL_LINES: Final = 5
_CAUTION: Final[Mapping[Outcome | None, tuple[str]]] = {
    Outcome.BLOCKED: ("  give a passing signal only when the real check says so",),
    Outcome.TIMEOUT: ("  give it more time only if that is justified",),
}


def summary_of(report: Report, output_path: Path, offer: Offer | None) -> str:
    """Return the end of a run as text, with what can be typed next, if anything can."""
    lines = [headline(report), ""]
    if report.terminal_state is Outcome.BLOCKED:
        from fsm_orchestrator.explanation.gate_table import (
            GATE_COLUMNS,
            gate_row,
            kept_signal_lines,
        )

        lines += columns([GATE_COLUMNS, *map(gate_row, report.gate_decisions)])
        until = report.finished_at or report.started_at
        lines += [f"  {one}" for one in kept_signal_lines(report.gate_decisions, until)]
        lines.append("")
    lines += _stage_lines(report)
    lines += _failure_lines(report)
    lines += [f"  warning: {printable(warning)}" for warning in report.warnings]
    lines += columns([*_where_rows(report, output_path), *next_rows(offer)])
    lines += refusal_lines(offer)
    lines += _CAUTION.get(report.terminal_state, ())
    while "" in lines and lines[-1] == "":
        lines.pop()
    return "\n".join(lines) + "\n"


def headline(report: Report) -> str:
    """Return one line with the outcome and the run."""
    match report.terminal_state:
        case None:
            standing, remark = Standing.INTERRUPTED, f", in state {report.current_state}"
        case Outcome.DONE if not report.closure_ready:
            standing, remark = Standing.NOT_CLOSABLE, ""
        case Outcome.BLOCKED:
            standing, remark = Standing.BLOCKED, f", by {', '.join(report.blocked_reason_codes)}"
        case Outcome.FAILED if report.was_asked_to_end:
            standing, remark = Standing.FAILED, ", interrupted"
        case outcome:
            standing, remark = Standing(outcome.value), ""
    return f"{standing.words}: run {report.run_id}{remark}"


def next_rows(offer: Offer | None) -> list[tuple[str, str]]:
    """Return the command to type next; where there is none, what else to do."""
    if offer is None:
        return []
    if offer.words is not None:
        first = [("first", one) for one in offer.before]
        return [*first, ("next", shell_line(offer.words))]
    return [("then", "; ".join(offer.would))] if offer.would else []


def refusal_lines(offer: Offer | None) -> list[str]:
    """Return why no command is offered, with the line breaks of the refusal."""
    if offer is None or offer.words is not None or offer.refusal is None:
        return []
    return [f"  {printable(line)}" for line in offer.refusal.splitlines()]


def _stage_lines(report: Report) -> list[str]:
    if not report.stage_executions:
        return []
    rows = [("stage", "attempt", "status", "took", "")]
    for execution in report.stage_executions:
        is_stage = execution.attempt > 0
        rows.append(
            (
                execution.stage if is_stage else execution.command,
                str(execution.attempt) if is_stage else "-",
                execution.status.value,
                span_words(execution.duration_ms) if is_stage else "-",
                _remark(execution),
            )
        )
    return [*columns(rows), ""]


def _remark(execution: StageExecution) -> str:
    if execution.status is StageStatus.SKIPPED:
        return execution.reason
    if execution.ending is Ending.REWORK_REQUESTED:
        return "asked for rework"
    return "flaky: it had failed before" if execution.flaky else ""


def _failure_lines(report: Report) -> list[str]:
    lines: list[str] = []
    for execution in report.failures:
        lines.append(f"  {execution.name}: {printable(execution.error or execution.status.value)}")
        lines += _tail_lines(execution)
        lines.append("")
    last = report.transitions[-1] if report.transitions else None
    if last is not None and last.trigger is Trigger.REWORK_REQUESTED:
        lines += [f"  {printable((last.cause, *last.details)[-1])}", ""]
    return lines


def _tail_lines(execution: StageExecution) -> list[str]:
    tail = last_lines(execution.stderr_tail, TAIL_LINES)
    return [f"    | {shown_line(line)}" for line in tail]


def _where_rows(report: Report, output_path: Path) -> list[tuple[str, str]]:
    written = output_path / REPORT_FILE
    rows = []
    if written.is_file():  # else it could not be written, which is said above
        rows.append(("report", f"{copyable(str(written))}{_field_to_inspect(report)}"))
    logs = [
        log
        for execution in report.failures
        for log in (execution.stderr_log, execution.stdout_log, execution.postmortem)
        if log is not None and (output_path / log).is_file()
    ]
    return [*rows, *(("log", copyable(str(output_path / log))) for log in logs)]


def _field_to_inspect(report: Report) -> str:
    match report.terminal_state:
        case Outcome.BLOCKED:
            return " (gate_decisions)"
        case Outcome.FAILED | Outcome.TIMEOUT:
            return " (stage_executions[].error)"
        case Outcome.DONE | None:
            return ""
