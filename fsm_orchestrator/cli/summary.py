"""What the operator is told at the end: what ran, what went wrong, where to look, what to type."""

from __future__ import annotations

from pathlib import Path

from fsm_orchestrator.cli.formatting import columns, command_line, shown_path, stage_option
from fsm_orchestrator.gates.rules import GATE_RULES
from fsm_orchestrator.model.execution import StageExecution
from fsm_orchestrator.record.report import (
    Report,
    failures_of,
    is_nothing_kept,
    name_of,
    was_asked_to_end,
)
from fsm_orchestrator.text.phrases import printable, span_words
from fsm_orchestrator.vocabulary import REPORT_FILE, Ending, Outcome, StageStatus, Standing, Trigger

TAIL_LINES = 5


def summary_of(
    report: Report, output_directory: str, output_path: Path, *, can_resume: bool = True
) -> str:
    """The end of a run as text. `output_directory` is OUT as it was typed."""
    lines = [headline(report), ""]
    if report.terminal_state is Outcome.BLOCKED:
        lines += _gate_lines(report)
    lines += _stage_lines(report)
    lines += _failure_lines(report)
    lines += [f"  warning: {printable(warning)}" for warning in report.warnings]
    lines += _where_lines(report, output_directory, output_path, can_resume=can_resume)
    while "" in lines and lines[-1] == "":
        lines.pop()
    return "\n".join(lines) + "\n"


def headline(report: Report) -> str:
    """One line: the outcome and the run."""
    match report.terminal_state:
        case None:
            standing, remark = Standing.INTERRUPTED, f", in state {report.current_state}"
        case Outcome.DONE if not report.closure_ready:
            standing, remark = Standing.NOT_CLOSABLE, ""
        case Outcome.BLOCKED:
            standing, remark = Standing.BLOCKED, f", by {', '.join(report.blocked_reason_codes)}"
        case Outcome.FAILED if was_asked_to_end(report):
            standing, remark = Standing.FAILED, ", interrupted"
        case outcome:
            standing, remark = Standing(outcome.value), ""
    return f"{standing.words}: run {report.run_id}{remark}"


def next_command(report: Report, output_directory: str) -> str | None:
    """What to type to go on; None when there is nothing to go on with."""
    if report.terminal_state is Outcome.DONE or report.lifecycle is None:
        return None
    if is_nothing_kept(report):
        return None
    words = [shown_path(output_directory), "--resume"]
    for decision in report.gate_decisions:
        if not decision.passed:
            words += [f"--{decision.gate.value}-status", GATE_RULES[decision.gate].passing]
    return command_line(*words)


def _gate_lines(report: Report) -> list[str]:
    from fsm_orchestrator.explanation.gate_table import GATE_COLUMNS, gate_row

    return [*columns([GATE_COLUMNS, *map(gate_row, report.gate_decisions)]), ""]


def _stage_lines(report: Report) -> list[str]:
    if not report.stage_executions:
        return []
    rows = [("stage", "attempt", "status", "took", "")]
    for execution in report.stage_executions:
        ours = execution.attempt == 0
        rows.append(
            (
                execution.command if ours else execution.stage,
                "-" if ours else str(execution.attempt),
                execution.status.value,
                "-" if ours else span_words(execution.duration_ms),
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
    for execution in failures_of(report):
        lines.append(
            f"  {name_of(execution)}: {printable(execution.error or execution.status.value)}"
        )
        lines += _tail_lines(execution)
        lines.append("")
    last = report.transitions[-1] if report.transitions else None
    if last is not None and last.trigger is Trigger.REWORK_REQUESTED:
        lines += [f"  {printable((last.cause, *last.details)[-1])}", ""]
    return lines


def _tail_lines(execution: StageExecution) -> list[str]:
    tail = [line for line in execution.stderr_tail.splitlines() if line.strip()]
    return [f"    | {printable(line)}" for line in tail[-TAIL_LINES:]]


def _where_lines(
    report: Report, output_directory: str, output_path: Path, *, can_resume: bool
) -> list[str]:
    rows = [("report", f"{output_path / REPORT_FILE}{_field_to_inspect(report)}")]
    logs = [
        log
        for execution in failures_of(report)
        for log in (execution.stderr_log, execution.stdout_log, execution.postmortem)
        if log is not None
    ]
    rows += [("log", str(output_path / log)) for log in logs]
    if report.terminal_state is Outcome.TIMEOUT:
        last = report.stage_executions[-1]
        limit = "idle-timeout-ms" if last.ending is Ending.WENT_QUIET else "timeout-ms"
        rows.append(("if justified", f"add {stage_option(last.stage, limit)} N for more time"))
    command = next_command(report, output_directory) if can_resume else None
    if command is not None:
        rows.append(("next", command))
    elif is_nothing_kept(report):
        rows.append(("then", "type the whole command again: nothing could be kept of this run"))
    lines = columns(rows)
    if report.terminal_state is Outcome.BLOCKED:
        lines.append("  give a passing signal only when the real check says so")
    return lines


def _field_to_inspect(report: Report) -> str:
    match report.terminal_state:
        case Outcome.BLOCKED:
            return " (gate_decisions)"
        case Outcome.FAILED | Outcome.TIMEOUT:
            return " (stage_executions[].error)"
        case Outcome.DONE | None:
            return ""
