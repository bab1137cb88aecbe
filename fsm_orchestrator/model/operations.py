"""How the stage executions that ran no process are recorded: skips, interruptions, our failures."""

from __future__ import annotations

import re

from fsm_orchestrator.model.endings import trigger_of
from fsm_orchestrator.model.execution import StageExecution
from fsm_orchestrator.vocabulary import LOGS_DIRECTORY, Ending, Operation, StageStatus, Trigger


def idempotency_key(run_id: str, stage: str, cycle: int) -> str:
    """Names a piece of work over all its attempts: run, stage and loop cycle."""
    return f"{run_id}:{stage}:{cycle}"


def fact_of(execution: StageExecution) -> Trigger:
    """The fact that a stage execution is for the machine."""
    if execution.ending is Ending.REWORK_REQUESTED:
        return Trigger.REWORK_REQUESTED
    return trigger_of(execution.status)


def cycle_in(execution: StageExecution) -> int:
    """The loop cycle that an execution belongs to, as its idempotency key says; 0 if it does not.

    Also of one that was read from a file and not believed yet.
    """
    number = execution.idempotency_key.rpartition(":")[2]
    return int(number) if re.fullmatch(r"[1-9][0-9]{0,8}", number) else 0


def log_names(stage: str, attempt: int) -> tuple[str, str]:
    """Where an attempt's stdout and stderr go, relative to the output directory."""
    base = f"{LOGS_DIRECTORY}/{stage}.{attempt}"
    return f"{base}.stdout.log", f"{base}.stderr.log"


def postmortem_name(stage: str, attempt: int) -> str:
    """Where an attempt's black box is, relative to the output directory."""
    return f"{LOGS_DIRECTORY}/{stage}.{attempt}.postmortem.json"


def skipped(success: StageExecution, *, reason: str, at: str) -> StageExecution:
    """The record of passing over a stage that `success` had completed."""
    return success.model_copy(
        update={
            "status": StageStatus.SKIPPED,
            "reason": reason,
            "started_at": at,
            "duration_ms": 0,
            "exit_code": None,
            "stderr_tail": "",
            "ending": None,
            "flaky": False,
            "postmortem": None,
            "leaked_count": 0,
            "leaked_processes": (),
            "resources": None,
        }
    )


def own_failure(run_id: str, operation: Operation, *, error: str, at: str) -> StageExecution:
    """What the program itself failed to do, told where the runbook says to look."""
    stage = operation.stage
    return blank(stage=stage, attempt=0, key=idempotency_key(run_id, stage, 1), at=at).model_copy(
        update={"reason": "the program's own work", "error": error, "command": operation.value}
    )


def blank(*, stage: str, attempt: int, key: str, at: str) -> StageExecution:
    """A stage execution of which nothing but its place and time is known: it failed."""
    return StageExecution(
        stage=stage,
        attempt=attempt,
        idempotency_key=key,
        status=StageStatus.FAILED,
        ending=None,
        flaky=False,
        reason="",
        error=None,
        command="",
        args=(),
        env_keys=(),
        cwd="",
        started_at=at,
        duration_ms=0,
        exit_code=None,
        signal=None,
        missing_artifacts=(),
        malformed_artifacts=(),
        stale_artifacts=(),
        artifacts=(),
        stdout_log=None,
        stderr_log=None,
        stderr_tail="",
        postmortem=None,
        leaked_count=0,
        leaked_processes=(),
        resources=None,
    )
