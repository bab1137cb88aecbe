"""Attempts recorded as interrupted because their own end is not known, or does not count."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fsm_orchestrator.model.ending_words import problem_of
from fsm_orchestrator.model.endings import Exited, Interrupted, interrupted_ending
from fsm_orchestrator.model.execution import StageExecution
from fsm_orchestrator.model.open_attempt import AttemptRecord
from fsm_orchestrator.model.problem import Problem, gone_wrong
from fsm_orchestrator.record.unseen import attempts_interrupted
from fsm_orchestrator.record.unsettled import success_taken_back, unsettled_success
from fsm_orchestrator.vocabulary import Ending, EventName, StageStatus

if TYPE_CHECKING:
    from fsm_orchestrator.engine.context import Ended, RunContext


def log_leftovers(context: RunContext, ended: Ended) -> None:
    """Log the attempts that were open when the invocation began, of this run or another."""
    draft, leftovers = context.recorder.draft, context.preparation.leftovers
    if draft.invocation.number == 1:
        for one in leftovers:
            _log(context, one, ended.get(one.token, ()), None, None)
        return
    before = draft.invocations[-2]  # preparation/resume.py put the attempts there
    settled = before.stage_executions[-len(leftovers) :]
    for one, execution in zip(leftovers, settled, strict=True):
        _log(context, one, ended.get(one.token, ()), before.number, execution)


def settle_open_attempts(context: RunContext, error: str) -> None:
    """Record as interrupted the attempts whose own end will not be recorded."""
    draft = context.recorder.draft
    attempts = draft.open_attempts
    if attempts:
        settled = attempts_interrupted(draft, error=error)
        context.recorder.draft = settled
        executions = settled.invocation.stage_executions[-len(attempts) :]
        for attempt, execution in zip(attempts, executions, strict=True):
            _log(context, attempt, (), draft.invocation.number, execution)


def take_back_success(
    context: RunContext, problem: Problem, ending: Ending = Ending.INTERRUPTED
) -> None:
    """Record as interrupted an attempt whose success was just about to become durable."""
    draft = context.recorder.draft
    success = unsettled_success(draft)
    if success is None:
        return
    execution = _taken_back(success, problem, ending)
    context.recorder.draft = success_taken_back(draft, success, execution)
    _log(context, success, (), draft.invocation.number, execution)


def take_back_by_request(context: RunContext, signum: int) -> None:
    """Record as interrupted by a request an attempt whose success was about to become durable."""
    take_back_success(context, _problem_by(signum), interrupted_ending(signum))


def taken_back(success: StageExecution, signum: int) -> StageExecution:
    """Return a success as interrupted by a request to end: it was not durable in time."""
    return _taken_back(success, _problem_by(signum), interrupted_ending(signum))


def _taken_back(success: StageExecution, problem: Problem, ending: Ending) -> StageExecution:
    interrupted = {"status": StageStatus.INTERRUPTED, "ending": ending}
    return success.model_copy(update={**interrupted, "flaky": False, **gone_wrong(problem)})


def _problem_by(signum: int) -> Problem:
    problem = problem_of(Interrupted(signum, by_then=Exited(0)))
    assert problem is not None  # noqa: S101 - that is no success
    return problem


def _log(
    context: RunContext,
    attempt: AttemptRecord | StageExecution,
    ended_pids: tuple[int, ...],
    invocation: int | None,
    execution: StageExecution | None,
) -> None:
    """Log an attempt whose end nobody saw; `execution` is None for an attempt of another run."""
    of_this_run = {"invocation": invocation, "execution": execution}
    context.log.emit(
        EventName.ATTEMPT_INTERRUPTED,
        level="warning",
        stage=attempt.stage,
        attempt=attempt.attempt,
        ended_pids=ended_pids,
        **({} if execution is None else of_this_run),
    )
