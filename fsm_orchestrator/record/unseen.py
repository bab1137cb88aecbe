"""The record of an attempt whose end is unknown, or does not count."""

from __future__ import annotations

from typing import Final

from fsm_orchestrator.config.stage_record import StageRecord
from fsm_orchestrator.model.endings import PostmortemGap
from fsm_orchestrator.model.execution import StageExecution
from fsm_orchestrator.model.open_attempt import AttemptRecord, idempotency_key
from fsm_orchestrator.model.problem import Problem, gone_wrong
from fsm_orchestrator.model.unmeasured import blank
from fsm_orchestrator.record.checkpoint import Checkpoint
from fsm_orchestrator.stages.output_files import log_names
from fsm_orchestrator.vocabulary import StageStatus

UNSEEN: Final = "interrupted: its orchestrator ended without recording how it ended"
"""The error of an attempt whose end nobody saw."""


def attempts_unseen(record: Checkpoint) -> Checkpoint:
    """End the open attempts as attempts whose orchestrator died."""
    gap = PostmortemGap.ORCHESTRATOR_DIED
    return attempts_interrupted(record, error=UNSEEN, no_postmortem=gap)


def attempts_interrupted(
    record: Checkpoint, *, error: str, no_postmortem: PostmortemGap | None = None
) -> Checkpoint:
    """End the open attempts as attempts whose end nobody saw."""
    draft, gap = record, {"no_postmortem": no_postmortem}
    for attempt in record.open_attempts:
        settings = record.stages.get(attempt.stage)
        execution = interrupted(record.run_id, attempt, settings, error)
        draft = draft.attempt_ended(execution.model_copy(update=gap))
    return draft


def interrupted(
    run_id: str, attempt: AttemptRecord, settings: StageRecord | None, error: str
) -> StageExecution:
    """Return the record of an interrupted attempt; the settings are those of its stage.

    If its work was being verified, the record says what it had done.
    """
    if attempt.work is not None and settings is not None:
        from fsm_orchestrator.record.unverified import cut_short  # noqa: PLC0415 - rare

        return cut_short(attempt.work, settings, error, at=attempt.started_at)
    stdout_log, stderr_log = log_names(attempt.stage, attempt.attempt)
    return blank(
        stage=attempt.stage,
        attempt=attempt.attempt,
        key=idempotency_key(run_id, attempt.stage, attempt.cycle),
        at=attempt.started_at,
    ).model_copy(
        update={
            "status": StageStatus.INTERRUPTED,
            "reason": attempt.reason,
            **gone_wrong(Problem(cause=error, details=())),
            "command": "" if settings is None else settings.command,
            "args": () if settings is None else settings.args,
            "env_keys": () if settings is None else settings.variable_names,
            "cwd": "" if settings is None else settings.cwd,
            "stdout_log": stdout_log,
            "stderr_log": stderr_log,
            "protection": attempt.protection,
        }
    )
