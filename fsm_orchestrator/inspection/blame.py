"""The account of an attempt that is to blame for the end of a run: cause, last words, logs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from fsm_orchestrator.model.execution import StageExecution
from fsm_orchestrator.text.terminal import last_lines


def why_words(execution: StageExecution) -> str:
    """Return the failure, without the output of a verification, which is shown below it."""
    if execution.failed_verification is not None and execution.problem is not None:
        return execution.problem.cause
    return execution.error or execution.status.value


def last_words_of(execution: StageExecution, count: int) -> Sequence[str]:
    """Return the last lines of the stage's stderr, or of the verification that failed."""
    failed = execution.failed_verification
    if failed is None:
        return last_lines(execution.stderr_tail, count)
    tails = (failed.stdout_tail, failed.stderr_tail)
    return [line for text in tails for line in last_lines(text, count)][-count:]


def logs_of(execution: StageExecution) -> tuple[str | None, ...]:
    """Return the logs that may show the failure."""
    failed = execution.failed_verification
    if failed is not None:
        return failed.stdout_log, failed.stderr_log
    return execution.stderr_log, execution.stdout_log


def log_words(failures: Sequence[StageExecution], output_path: Path) -> tuple[str, ...]:
    """Return the arguments for `logs`: of the first failure with a log there; empty without one."""
    for one in failures:
        if any(log is not None and os.path.isfile(output_path / log) for log in logs_of(one)):
            if one.failed_verification is None:
                return (one.stage,)
            return (one.stage, "--verify", str(len(one.verifications)))
    return ()
