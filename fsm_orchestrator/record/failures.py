"""What went wrong in an invocation and was not made good: the cause comes first."""

from __future__ import annotations

from typing import Final

from fsm_orchestrator.model.execution import StageExecution
from fsm_orchestrator.record.report import Report
from fsm_orchestrator.vocabulary import ExitCode, Outcome, StageStatus

GOOD: Final = (StageStatus.SUCCESS, StageStatus.SKIPPED)


def failures_of(report: Report) -> tuple[StageExecution, ...]:
    """What the latest invocation failed to do, less the attempts that a later one made good."""
    last = {execution.stage: execution for execution in report.stage_executions}
    return tuple(
        execution
        for execution in report.stage_executions
        if execution.status not in GOOD
        and (execution.attempt == 0 or execution is last[execution.stage])
    )


def name_of(execution: StageExecution) -> str:
    """`executor`, or the operation where it is the program's own work: `report.persist`."""
    return execution.command if execution.attempt == 0 else execution.stage


def was_asked_to_end(report: Report) -> bool:
    """Whether a signal ended the invocation: the exit code is 128 and its number."""
    return (report.exit_code or 0) > ExitCode.TIMEOUT


def is_nothing_kept(report: Report) -> bool:
    """Whether the run has no checkpoint: not even its first transition could be made durable."""
    is_first = not report.transitions and not report.earlier_invocations
    return report.terminal_state is Outcome.FAILED and report.lifecycle is not None and is_first
