"""The record of work that was done, and of whose verification nobody saw the end."""

from __future__ import annotations

from fsm_orchestrator.config.stage_record import StageRecord
from fsm_orchestrator.model.execution import StageExecution
from fsm_orchestrator.model.problem import Problem, gone_wrong
from fsm_orchestrator.model.verification import without_end
from fsm_orchestrator.stages.output_files import log_names
from fsm_orchestrator.vocabulary import Ending, StageStatus


def cut_short(
    work: StageExecution, settings: StageRecord, error: str, *, at: str
) -> StageExecution:
    """Return the record of an attempt whose verification nobody saw the end of."""
    made = work.verifications
    number = 1 + len(made)
    problem = Problem(
        cause=error, details=("its process had ended, and its work was being verified",)
    )
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
