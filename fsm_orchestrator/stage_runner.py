"""One attempt of one stage: environment, logs, process, artifacts, and the record of it."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fsm_orchestrator import files
from fsm_orchestrator.artifacts import (
    ArtifactProblem,
    ArtifactsVerdict,
    judge,
    take_snapshot,
)
from fsm_orchestrator.clock import Clock
from fsm_orchestrator.errors import RecordingError
from fsm_orchestrator.executions import idempotency_key, log_names
from fsm_orchestrator.masking import Masker
from fsm_orchestrator.process import Command, Limits, ProcessReport, ProcessRunner
from fsm_orchestrator.records import Artifact, AttemptRecord, StageExecution
from fsm_orchestrator.results import (
    ArtifactsWrong,
    Exited,
    Signaled,
    StageResult,
    error_of,
    signal_name,
    stage_result,
    status_of,
)
from fsm_orchestrator.settings import StageSettings
from fsm_orchestrator.vocabulary import LOGS_DIRECTORY

TAIL_BYTES_MAX: Final = 4096
COMMAND_CHARACTERS_MAX: Final = 300
TAIL_LINES_MAX: Final = 20
TOKEN_VARIABLE: Final = "ORCHESTRATOR_ATTEMPT_TOKEN"  # noqa: S105 - a variable's name


@dataclass(frozen=True, slots=True)
class StageContext:
    """What is the same for every stage of a run."""

    run_id: str
    output_directory: Path
    clock: Clock
    masker: Masker
    runner: ProcessRunner


@dataclass(frozen=True, slots=True)
class _Ended:
    """What is known of an attempt once its process has ended."""

    report: ProcessReport
    verdict: ArtifactsVerdict
    duration_ms: int
    stderr_tail: str


def run_attempt(
    context: StageContext,
    attempt: AttemptRecord,
    settings: StageSettings,
    limits: Limits,
    on_started: Callable[[int], None],
) -> StageExecution:
    """Run an attempt that is already durable, and say how it ended.

    Raises:
        RecordingError: its log files cannot be opened, or `on_started` raised it; the process,
            if any, has been ended.
    """
    snapshot = take_snapshot(settings.expected_artifacts)
    began = time.monotonic()
    with _open_logs(context.output_directory, attempt) as (stdout, stderr):
        tail_start = os.fstat(stderr).st_size
        command = Command(
            program=settings.command,
            args=settings.args,
            cwd=settings.cwd,
            env=_environment(context, attempt, settings),
            search_path=os.environ.get("PATH"),
            stdout=stdout,
            stderr=stderr,
        )
        report = context.runner.run(command, limits, on_started)
        duration_ms = context.clock.elapsed_ms(began)
        tail = _tail(stderr, tail_start, context.masker)
    # What a process left that was ended in mid-work, or never ran, is nobody's claim.
    to_judge = settings.expected_artifacts if isinstance(report.end, Exited | Signaled) else ()
    verdict = judge(to_judge, snapshot, allow_stale=settings.allow_stale)
    return _execution(context, attempt, settings, _Ended(report, verdict, duration_ms, tail))


def _execution(
    context: StageContext,
    attempt: AttemptRecord,
    settings: StageSettings,
    ended: _Ended,
) -> StageExecution:
    verdict = ended.verdict
    result = stage_result(ended.report.end, "" if verdict.is_good else verdict.summary())
    stdout_log, stderr_log = log_names(attempt.stage, attempt.attempt)
    masker = context.masker
    return StageExecution(
        stage=attempt.stage,
        attempt=attempt.attempt,
        idempotency_key=idempotency_key(context.run_id, attempt.stage, attempt.cycle),
        status=status_of(result),
        reason=attempt.reason,
        error=_error(result, verdict, masker),
        command=masker.mask_path(settings.command),
        args=masker.mask_all(settings.args),
        env_keys=tuple(settings.env),
        cwd=masker.mask_path(settings.cwd),
        started_at=attempt.started_at,
        duration_ms=ended.duration_ms,
        exit_code=ended.report.end.code if isinstance(ended.report.end, Exited) else None,
        signal=(
            signal_name(ended.report.end.signum) if isinstance(ended.report.end, Signaled) else None
        ),
        missing_artifacts=_paths(verdict.missing, masker),
        malformed_artifacts=_paths(verdict.malformed, masker),
        stale_artifacts=_paths(verdict.stale, masker),
        artifacts=masked_artifacts(verdict, masker),
        stdout_log=stdout_log,
        stderr_log=stderr_log,
        stderr_tail=ended.stderr_tail,
        leaked_processes=tuple(
            process.model_copy(
                update={"command": masker.mask(process.command)[:COMMAND_CHARACTERS_MAX]}
            )
            for process in ended.report.leaked
        ),
        resources=None if context.clock.is_fixed else ended.report.resources,
    )


def _error(result: StageResult, verdict: ArtifactsVerdict, masker: Masker) -> str | None:
    """The cause first; wrong artifacts are named after it when they are not the cause."""
    error = error_of(result)
    if error is None:
        return None
    if not verdict.is_good and not isinstance(result, ArtifactsWrong):
        error = f"{error}; its expected artifacts are wrong too: {verdict.summary()}"
    return masker.mask_path(error)


def _environment(
    context: StageContext, attempt: AttemptRecord, settings: StageSettings
) -> dict[str, str]:
    """The operator's environment, the stage's pairs over it, and ours over both."""
    given = {key: value for key, value in settings.env.items() if value is not None}
    return {
        **os.environ,
        **given,
        "ORCHESTRATOR_RUN_ID": context.run_id,
        "ORCHESTRATOR_STAGE": attempt.stage,
        "ORCHESTRATOR_ATTEMPT": str(attempt.attempt),
        "ORCHESTRATOR_OUTPUT_DIR": str(context.output_directory),
        "ORCHESTRATOR_IDEMPOTENCY_KEY": idempotency_key(
            context.run_id, attempt.stage, attempt.cycle
        ),
        TOKEN_VARIABLE: attempt.token,
    }


@contextlib.contextmanager
def _open_logs(output_directory: Path, attempt: AttemptRecord) -> Iterator[tuple[int, int]]:
    """The attempt's two log files, open for appending; private, for a stage prints anything."""
    names = log_names(attempt.stage, attempt.attempt)
    descriptors: list[int] = []
    try:
        path = output_directory / LOGS_DIRECTORY
        try:
            files.make_directory(path)
            for name in names:
                path = output_directory / name
                descriptors.append(files.open_append(path, mode=0o600))
        except OSError as error:
            raise RecordingError("logs.persist", str(path), files.reason(error)) from error
        yield descriptors[0], descriptors[1]
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def _tail(descriptor: int, start: int, masker: Masker) -> str:
    """The last lines of a log from `start` on, masked, as text whatever the bytes.

    Masked before anything is cut: more is read than is kept, so that no piece of a value stays.
    """
    size_bytes = os.fstat(descriptor).st_size
    to_read = TAIL_BYTES_MAX + masker.longest_bytes
    begin = max(start, size_bytes - to_read)
    text = os.pread(descriptor, to_read, begin).decode(errors="replace")
    tail = masker.masked_tail(text, TAIL_BYTES_MAX)
    return "\n".join(tail.splitlines()[-TAIL_LINES_MAX:])


def _paths(problems: tuple[ArtifactProblem, ...], masker: Masker) -> tuple[str, ...]:
    return masker.mask_paths(problem.path for problem in problems)


def masked_artifacts(verdict: ArtifactsVerdict, masker: Masker) -> tuple[Artifact, ...]:
    """The good artifacts as a record may name them."""
    return tuple(
        artifact.model_copy(update={"path": masker.mask_path(artifact.path)})
        for artifact in verdict.good
    )
