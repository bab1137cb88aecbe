"""Work that was done and is not verified: the record of it, and what can be verified again."""

from __future__ import annotations

from fsm_orchestrator.config.stage_record import StageRecord
from fsm_orchestrator.model.execution import StageExecution, cycle_in, gone_wrong
from fsm_orchestrator.model.problem import Problem
from fsm_orchestrator.model.verification import without_end
from fsm_orchestrator.record.checkpoint import Checkpoint
from fsm_orchestrator.stages.output_files import log_names
from fsm_orchestrator.vocabulary import Ending, StageStatus


def cut_short(
    work: StageExecution, settings: StageRecord, error: str, *, at: str
) -> StageExecution:
    """Return the record of an attempt whose verification nobody saw the end of."""
    made = work.verifications
    number = 1 + len(made)
    problem = Problem(cause=error, details=("its process had ended, and was being verified",))
    words = settings.verify[number - 1] if number <= len(settings.verify) else ("",)
    logs = log_names(work.stage, work.attempt, number)
    unseen = without_end(words, None, Problem(cause=error, details=()), logs, at=at)
    return work.model_copy(
        update={
            "status": StageStatus.INTERRUPTED,
            "ending": Ending.INTERRUPTED,
            "flaky": False,
            **gone_wrong(problem),
            "verifications": (*made, unseen),
        }
    )


def unverified(checkpoint: Checkpoint, stage: str) -> StageExecution | None:
    """Return the attempt whose work can be verified again: the last, if it lacks that alone."""
    last = checkpoint.attempts_of(stage)[-1:]
    return next(
        (
            one
            for one in last
            if one.lacks_verification_only
            and cycle_in(one) == checkpoint.cycle_of(stage)
            and checkpoint.completion_of(stage) is None
        ),
        None,
    )
