"""An attempt that runs no stage: it verifies what an earlier one did."""

from __future__ import annotations

import time
from typing import Any

from fsm_orchestrator.model.endings import ArtifactsWrong, StageResult, kind_of, problem_of
from fsm_orchestrator.model.execution import StageExecution, gone_wrong
from fsm_orchestrator.model.problem import Problem
from fsm_orchestrator.model.unmeasured import skipped
from fsm_orchestrator.processes.runner import ProcessRunner
from fsm_orchestrator.stages.artifacts import judge, masked_artifacts, masked_paths
from fsm_orchestrator.stages.asked import Asked
from fsm_orchestrator.stages.verifying import verify
from fsm_orchestrator.vocabulary import Ending, StageStatus


def verify_again(asked: Asked, runner: ProcessRunner, work: StageExecution) -> StageExecution:
    """Verify what an earlier attempt did, if its artifacts are what it left; return the record.

    Raises:
        RecordingError: files of it cannot be written; no process is alive.
        OperationError: a process of it could not be ended.
    """
    began = time.monotonic()
    verdict = judge(asked.settings.expected_artifacts, None, allow_stale=True, known=work.artifacts)
    found = masked_artifacts(verdict, asked.masker)
    begun = _begun(asked, work)
    if not verdict.is_good:
        paths: dict[str, Any] = {
            "missing_artifacts": masked_paths(verdict.missing, asked.masker),
            "malformed_artifacts": masked_paths(verdict.malformed, asked.masker),
            "artifacts": found,
        }
        wrong = ArtifactsWrong(verdict.summary())
        return _ended(asked, begun.model_copy(update=paths), wrong)
    if [(one.path, one.sha256) for one in found] != [
        (one.path, one.sha256) for one in work.artifacts
    ]:
        changed = ArtifactsWrong(f"not those that attempt {work.attempt} left")
        return _ended(asked, begun.model_copy(update={"artifacts": found}), changed)
    verified = verify(asked, runner, asked.verifying(), begun)
    took = {"duration_ms": asked.clock.elapsed_ms(began)}
    made = begun.model_copy(update={"verifications": verified.verifications, **took})
    return made if verified.failure is None else _ended(asked, made, verified.failure)


def _begun(asked: Asked, work: StageExecution) -> StageExecution:
    """Return the record of the attempt if all goes well: of the stage, what was known before."""
    blank = skipped(work, reason=asked.record.reason, at=asked.record.started_at)
    return blank.model_copy(
        update={
            "status": StageStatus.SUCCESS,
            "ending": Ending.EXITED,
            "exit_code": 0,
            "attempt": asked.record.attempt,
            **gone_wrong(None),
            "stdout_log": None,
            "stderr_log": None,
            "verified_attempt": work.verified_attempt or work.attempt,
        }
    )


def _ended(asked: Asked, made: StageExecution, result: StageResult) -> StageExecution:
    ending, status = kind_of(result)
    problem, mask = problem_of(result), asked.masker.mask
    if problem is not None:
        details = tuple(map(mask, problem.details))
        problem = Problem(cause=mask(problem.cause), details=details)
    return made.model_copy(update={"ending": ending, "status": status, **gone_wrong(problem)})
