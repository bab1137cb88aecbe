"""Attempts recorded as interrupted because their own end is not known, or does not count."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fsm_orchestrator.model.execution import AttemptRecord, StageExecution, gone_wrong
from fsm_orchestrator.model.problem import Problem
from fsm_orchestrator.record.unsettled import success_taken_back, unsettled_success
from fsm_orchestrator.vocabulary import Ending, EventName, StageStatus

if TYPE_CHECKING:
    from fsm_orchestrator.engine.context import RunContext


def log_leftover(context: RunContext, leftover: AttemptRecord, ended_pids: tuple[int, ...]) -> None:
    """Log the attempt that was open when the invocation began, of this run or another."""
    draft = context.recorder.draft
    if draft.invocation.number == 1:
        _log(context, leftover, ended_pids, None, None)
        return
    settled = draft.invocations[-2]  # preparation/resume.py put the attempt there
    _log(context, leftover, ended_pids, settled.number, settled.stage_executions[-1])


def settle_open_attempt(context: RunContext, error: str) -> None:
    """Record as interrupted an attempt whose own end will not be recorded."""
    draft = context.recorder.draft
    attempt = draft.open_attempt
    if attempt is not None:
        settled = draft.attempt_interrupted(error=error)
        context.recorder.draft = settled
        execution = settled.invocation.stage_executions[-1]
        _log(context, attempt, (), draft.invocation.number, execution)


def take_back_success(context: RunContext, problem: Problem) -> None:
    """Record an attempt as interrupted whose success was to become durable just now."""
    draft = context.recorder.draft
    success = unsettled_success(draft)
    if success is None:
        return
    interrupted = {"status": StageStatus.INTERRUPTED, "ending": Ending.INTERRUPTED}
    changes = {**interrupted, "flaky": False, **gone_wrong(problem)}
    execution = success.model_copy(update=changes)
    context.recorder.draft = success_taken_back(draft, success, execution)
    _log(context, success, (), draft.invocation.number, execution)


def _log(
    context: RunContext,
    attempt: AttemptRecord | StageExecution,
    ended_pids: tuple[int, ...],
    invocation: int | None,
    execution: StageExecution | None,
) -> None:
    """Log an attempt whose end nobody saw; None where it is another run's."""
    of_this_run = {"invocation": invocation, "execution": execution}
    context.log.emit(
        EventName.ATTEMPT_INTERRUPTED,
        level="warning",
        stage=attempt.stage,
        attempt=attempt.attempt,
        ended_pids=ended_pids,
        **({} if execution is None else of_this_run),
    )
