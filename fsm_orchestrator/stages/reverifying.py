"""An attempt that runs no stage: it verifies the work of an earlier one."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from fsm_orchestrator.model.ending_words import problem_of
from fsm_orchestrator.model.endings import (
    ArtifactsWrong,
    ContractViolated,
    NotSpawned,
    ProtectedChanged,
    StageResult,
    kind_of,
)
from fsm_orchestrator.model.execution import StageExecution
from fsm_orchestrator.model.problem import Problem, gone_wrong
from fsm_orchestrator.model.unmeasured import skipped
from fsm_orchestrator.processes.runner import ProcessRunner
from fsm_orchestrator.stages.artifacts import judge, masked_artifacts, masked_paths
from fsm_orchestrator.stages.asked import Asked
from fsm_orchestrator.stages.verifying import verify
from fsm_orchestrator.vocabulary import Ending, StageStatus

if TYPE_CHECKING:
    from fsm_orchestrator.stages.earning import Earning
    from fsm_orchestrator.stages.protected import Changed


def verify_again(asked: Asked, runner: ProcessRunner, work: StageExecution) -> StageExecution:
    """Verify an earlier attempt's work if its artifacts are unchanged; return the record.

    Raises:
        RecordingError: its files cannot be written; no process is left alive.
        OperationError: one of its processes could not be ended.
    """
    began = time.monotonic()
    begun, earning = _begun(asked, work), _earning(asked)
    if earning is not None and earning.refusal is not None:
        return _refused(asked, begun, earning)
    verdict = judge(
        asked.settings.artifact_paths,
        None,
        allow_stale=True,
        known=work.artifacts,
        contracts=None if earning is None else earning.contracted,
    )
    found = masked_artifacts(verdict, asked.masker)
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
    if earning is not None:
        from fsm_orchestrator.stages.earning import earned_record  # noqa: PLC0415 - rare

        told = earned_record(asked, verdict, None)
        if told.contracts:
            begun = begun.model_copy(update={"contract_violations": told.violations})
            return _ended(asked, begun, ContractViolated(told.contracts))
        begun = begun.model_copy(update={"protection": earning.protection})
    verified = verify(asked, runner, asked.verifying(), begun)
    took = {"duration_ms": asked.clock.elapsed_ms(began)}
    made = begun.model_copy(update={"verifications": verified.verifications, **took})
    if verified.changes:
        return _changed(asked, made, verified.changes)
    if verified.failure is not None:
        return _ended(asked, made, verified.failure)
    if earning is None:
        return made
    # The inputs that the work used, not the present ones; for those declared since, the present
    # ones.
    known = {one.path: one for one in work.inputs}
    inputs = tuple(known.get(one.path, one) for one in earning.all_inputs())
    return made.model_copy(update={"inputs": inputs})


def _earning(asked: Asked) -> Earning | None:
    if not asked.settings.must_earn:
        return None
    from fsm_orchestrator.stages.earning import Earning  # noqa: PLC0415 - rare

    return Earning(asked, is_done=True)


def _refused(asked: Asked, begun: StageExecution, earning: Earning) -> StageExecution:
    """Return the record if nothing is verified because what would be read has changed."""
    refusal, changes = earning.refusal, () if asked.guard is None else asked.guard.changes
    if changes or refusal is None:
        return _changed(asked, begun, changes)
    told: dict[str, Any] = {
        "exit_code": None,
        "start_problem": refusal.failure if isinstance(refusal, NotSpawned) else None,
    }
    return _ended(asked, begun.model_copy(update=told), refusal)


def _changed(asked: Asked, made: StageExecution, changes: tuple[Changed, ...]) -> StageExecution:
    """Return the record of an attempt that fails because protected paths have changed."""
    from fsm_orchestrator.stages.protected import CHANGES_MAX, summary_of  # noqa: PLC0415 - rare

    recorded = tuple(one.recorded(asked.masker) for one in changes[:CHANGES_MAX])
    return _ended(
        asked,
        made.model_copy(update={"protected_changes": recorded}),
        ProtectedChanged(summary_of(changes)),
    )


def _begun(asked: Asked, work: StageExecution) -> StageExecution:
    """Return the record of the attempt if all goes well; of the stage, what was known before."""
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
