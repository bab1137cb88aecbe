"""One attempt of one stage: environment, logs, process, artifacts, and the record of it."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from fsm_orchestrator.clock import Clock, timestamp
from fsm_orchestrator.config.stage_settings import StageSettings
from fsm_orchestrator.disk import files
from fsm_orchestrator.errors import OperationError, RecordingError
from fsm_orchestrator.model.endings import (
    ArtifactsWrong,
    Exited,
    Signaled,
    StageResult,
    TimedOut,
    WentQuiet,
    ending_of,
    error_of,
    signal_name,
    stage_result,
    status_of,
)
from fsm_orchestrator.model.execution import (
    Artifact,
    AttemptRecord,
    StageExecution,
    idempotency_key,
)
from fsm_orchestrator.model.limits import Limits
from fsm_orchestrator.processes.command import TOKEN_VARIABLE, Command
from fsm_orchestrator.processes.output_watch import cut_off
from fsm_orchestrator.processes.runner import OutputReader, ProcessReport, ProcessRunner
from fsm_orchestrator.secrets.masking import Masker
from fsm_orchestrator.stages.artifact_snapshot import take_snapshot
from fsm_orchestrator.stages.artifacts import (
    ArtifactProblem,
    ArtifactsVerdict,
    judge,
)
from fsm_orchestrator.stages.output_files import log_names, postmortem_name
from fsm_orchestrator.text.json_output import escaped
from fsm_orchestrator.vocabulary import LOGS_DIRECTORY, OnLeak, Operation, StageStatus

TAIL_BYTES_MAX: Final = 4096
COMMAND_CHARACTERS_MAX: Final = 300
TAIL_LINES_MAX: Final = 20


class StageContext(NamedTuple):
    """What is the same for every stage of a run."""

    run_id: str
    output_directory: Path
    clock: Clock
    masker: Masker
    runner: ProcessRunner
    on_leak: OnLeak


class AttemptHooks(NamedTuple):
    """Who is told of an attempt while it runs: its pid, and (elapsed_ms, stdout, stderr tails).

    `read_output` is given the descriptors of its outputs; who reads them, None for nobody.
    """

    on_started: Callable[[int], None]
    on_slow: Callable[[int, str, str], None]
    read_output: Callable[[tuple[int, int]], OutputReader | None]


class AttemptPlan(NamedTuple):
    """What is particular to one attempt, beside the stage's settings.

    Attributes:
        environment: variables of ours that it gets beside those that every attempt gets.
        rework_exit_code: the exit code by which it asks for rework; None where it cannot.
        is_retry: whether an attempt of this invocation has failed before it.
    """

    limits: Limits
    hooks: AttemptHooks
    environment: Mapping[str, str]
    rework_exit_code: int | None
    is_retry: bool


class _Ended(NamedTuple):
    """What is known of an attempt once its process has ended; `postmortem` is one line or empty."""

    report: ProcessReport
    verdict: ArtifactsVerdict
    duration_ms: int
    stderr_tail: str
    postmortem: str
    has_postmortem: bool


def run_attempt(
    context: StageContext,
    attempt: AttemptRecord,
    settings: StageSettings,
    plan: AttemptPlan,
) -> StageExecution:
    """Run an attempt that is already durable, and say how it ended.

    Raises:
        RecordingError: its files cannot be written, or a hook raised it; the process, if any, has
            been ended.
        OperationError: a process of it could not be ended.
    """
    snapshot = take_snapshot(settings.expected_artifacts)
    began = time.monotonic()
    with _open_logs(context.output_directory, attempt) as (stdout, stderr):
        observer = _Observer(context, attempt, plan.hooks, (stdout, stderr))
        command = Command(
            program=settings.command,
            args=settings.args,
            cwd=settings.cwd,
            env={**_environment(context, attempt, settings), **plan.environment},
            search_path=os.environ.get("PATH"),
            stdout=stdout,
            stderr=stderr,
        )
        reader = context.runner.reader = plan.hooks.read_output((stdout, stderr))
        report = context.runner.run(command, plan.limits, observer)
        duration_ms = context.clock.elapsed_ms(began)
        if reader is not None:
            reader.finish()
        tail = observer.tail(1)
        if plan.limits.output_limit_bytes is not None:  # also what was printed while it was ended
            cut_off(stdout, stderr, plan.limits.output_limit_bytes)
    if report.survivors:
        raise _not_ended(attempt, report.survivors)
    # What a process left that was ended in mid-work, or never ran, is nobody's claim.
    to_judge = settings.expected_artifacts if isinstance(report.end, Exited | Signaled) else ()
    verdict = judge(to_judge, snapshot, allow_stale=settings.allow_stale)
    ended = _Ended(report, verdict, duration_ms, tail, observer.postmortem, observer.has_postmortem)
    return _execution(context, attempt, settings, plan, ended)


class _Observer:
    """What happens while the attempt's process runs, on top of waiting for it."""

    def __init__(
        self,
        context: StageContext,
        attempt: AttemptRecord,
        hooks: AttemptHooks,
        outputs: tuple[int, int],
    ) -> None:
        self._context = context
        self._attempt = attempt
        self._hooks = hooks
        self._outputs = outputs
        self._starts = tuple(os.fstat(one).st_size for one in outputs)
        self.postmortem = ""
        self.has_postmortem = False

    def started(self, pid: int) -> None:
        """Tell the hook."""
        self._hooks.on_started(pid)

    def slow(self, elapsed_ms: int) -> None:
        """Tell the hook, with what the stage printed last."""
        self._hooks.on_slow(elapsed_ms, self.tail(0), self.tail(1))

    def ending(
        self, stopped: TimedOut | WentQuiet, processes: tuple[int, ...], silent_seconds: float
    ) -> None:
        """Write the black box."""
        from fsm_orchestrator.processes import (  # noqa: PLC0415 - rare
            postmortem,
            snapshots,
        )

        context, attempt = self._context, self._attempt
        found, is_complete = snapshots.collect(processes, context.masker)
        is_fixed = context.clock.is_fixed
        record = postmortem.Postmortem(
            schema_version=1,
            run_id=context.run_id,
            stage=attempt.stage,
            attempt=attempt.attempt,
            at=timestamp(context.clock.now()),
            why=(error_of(stopped) or "").partition(";")[0],
            is_complete=is_complete,
            processes=found,
            silent_seconds=None if is_fixed else round(silent_seconds, 3),
            stdout_tail=self.tail(0),
            stderr_tail=self.tail(1),
        )
        self.postmortem = "" if is_fixed else postmortem.summary(record)
        path = context.output_directory / postmortem_name(attempt.stage, attempt.attempt)
        try:
            files.replace_file(
                path, (escaped(record.model_dump_json(indent=2)) + "\n").encode(), mode=0o600
            )
        except OSError as error:
            raise RecordingError(Operation.LOGS_PERSIST, str(path), files.reason(error)) from error
        self.has_postmortem = True

    def tail(self, output: int) -> str:
        """The last lines of stdout (0) or stderr (1), as they may be shown."""
        return _tail(self._outputs[output], self._starts[output], self._context.masker)


def _not_ended(attempt: AttemptRecord, pids: tuple[int, ...]) -> OperationError:
    named = ", ".join(map(str, pids))
    return OperationError(
        Operation.ATTEMPT_END,
        f"cannot end process {named} of stage {attempt.stage!r}: it is another user's, or waits"
        " in the kernel",
        remedy="end it by hand, then resume: the stage is not started while it is alive",
    )


def _execution(
    context: StageContext,
    attempt: AttemptRecord,
    settings: StageSettings,
    plan: AttemptPlan,
    ended: _Ended,
) -> StageExecution:
    verdict = ended.verdict
    result = stage_result(
        ended.report.end,
        "" if verdict.is_good else verdict.summary(),
        ended.report.leaked_count if context.on_leak is OnLeak.FAIL else 0,
        plan.rework_exit_code,
    )
    status = status_of(result)
    stdout_log, stderr_log = log_names(attempt.stage, attempt.attempt)
    masker = context.masker
    return StageExecution(
        stage=attempt.stage,
        attempt=attempt.attempt,
        idempotency_key=idempotency_key(context.run_id, attempt.stage, attempt.cycle),
        status=status,
        ending=ending_of(result),
        flaky=status is StageStatus.SUCCESS and plan.is_retry,
        reason=attempt.reason,
        error=_error(result, ended, masker),
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
        postmortem=(
            postmortem_name(attempt.stage, attempt.attempt) if ended.has_postmortem else None
        ),
        leaked_count=ended.report.leaked_count,
        leaked_processes=tuple(
            process.model_copy(
                update={"command": masker.mask(process.command)[:COMMAND_CHARACTERS_MAX]}
            )
            for process in ended.report.leaked
        ),
        resources=None if context.clock.is_fixed else ended.report.resources,
    )


def _error(result: StageResult, ended: _Ended, masker: Masker) -> str | None:
    """The cause first; the black box and wrong artifacts after it, when they are not the cause."""
    error, verdict = error_of(result), ended.verdict
    if error is None:
        return None
    if ended.postmortem:
        error = f"{error}; at that time: {ended.postmortem}"
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
            files.make_directory(path, is_durable=False)  # the next checkpoint makes it so
            for name in names:
                path = output_directory / name
                descriptors.append(files.open_append(path, mode=0o600))
        except OSError as error:
            raise RecordingError(Operation.LOGS_PERSIST, str(path), files.reason(error)) from error
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
    data = os.pread(descriptor, to_read, begin)
    text = data.decode(errors="replace")
    # In characters, for a value is found in those: what is kept is bounded in bytes.
    spare = data[:-TAIL_BYTES_MAX].decode(errors="replace")
    tail = masker.masked_tail(text, len(text) - len(spare))
    return "\n".join(tail.splitlines()[-TAIL_LINES_MAX:])


def _paths(problems: tuple[ArtifactProblem, ...], masker: Masker) -> tuple[str, ...]:
    return masker.mask_paths(problem.path for problem in problems)


def masked_artifacts(verdict: ArtifactsVerdict, masker: Masker) -> tuple[Artifact, ...]:
    """The good artifacts as a record may name them."""
    return tuple(
        artifact.model_copy(update={"path": masker.mask_path(artifact.path)})
        for artifact in verdict.good
    )
