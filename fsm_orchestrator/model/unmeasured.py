"""The records of what was not run, or not measured: skipped stages, the program's own work."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from fsm_orchestrator.model.execution import StageExecution
from fsm_orchestrator.model.open_attempt import idempotency_key
from fsm_orchestrator.model.problem import Problem, gone_wrong
from fsm_orchestrator.vocabulary import Ending, Operation, StageStatus

_UNMEASURED: Final[Mapping[str, Any]] = {
    "ending": None,
    "start_problem": None,
    "flaky": False,
    "duration_ms": 0,
    "artifacts_judged_ms": 0,
    "exit_code": None,
    "stderr_tail": "",
    "postmortem": None,
    "no_postmortem": None,
    "leaked_count": 0,
    "leaked_processes": (),
    "resources": None,
    "metering": None,
    "verifications": (),
    "verified_attempt": None,
}
"""The fields that describe a process, with their values if none was run."""

_ENDINGS = {
    Operation.CONTROL_VERIFY: Ending.CONTROL_TAMPERED,
    Operation.RECORD_VERIFY: Ending.CONTROL_TAMPERED,
    Operation.BUDGET_VERIFY: Ending.BUDGET_EXHAUSTED,
    Operation.RUN_TIMEOUT: Ending.TIMED_OUT,
}
"""The endings of the program's own failures, where they have one."""


def skipped(success: StageExecution, *, reason: str, at: str) -> StageExecution:
    """Return the record of skipping a stage that `success` had completed."""
    now = {"status": StageStatus.SKIPPED, "reason": reason, "started_at": at}
    return success.model_copy(update={**_UNMEASURED, **now})


def blank(*, stage: str, attempt: int, key: str, at: str) -> StageExecution:
    """Return a failed stage execution about which only its place and time are known."""
    return StageExecution(
        stage=stage,
        attempt=attempt,
        idempotency_key=key,
        status=StageStatus.FAILED,
        reason="",
        error=None,
        problem=None,
        command="",
        args=(),
        env_keys=(),
        cwd="",
        limit_exceeded=None,
        confinement=None,
        started_at=at,
        **_UNMEASURED,
        signal=None,
        missing_artifacts=(),
        malformed_artifacts=(),
        stale_artifacts=(),
        artifacts=(),
        stdout_log=None,
        stderr_log=None,
    )


def own_failure(run_id: str, operation: Operation, *, error: str, at: str) -> StageExecution:
    """Return the record of a failure of the program itself."""
    stage = operation.stage
    is_late = operation is Operation.RUN_TIMEOUT
    return blank(stage=stage, attempt=0, key=idempotency_key(run_id, stage, 1), at=at).model_copy(
        update={
            "reason": "the program's own work",
            "command": operation.value,
            "status": StageStatus.TIMEOUT if is_late else StageStatus.FAILED,
            "ending": _ENDINGS.get(operation),
            **gone_wrong(Problem(cause=error, details=())),
        }
    )
