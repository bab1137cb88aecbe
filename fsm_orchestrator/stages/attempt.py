"""One attempt of one stage: its environment, its process, and the record of how it ended."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from fsm_orchestrator.clock import Clock
from fsm_orchestrator.config.stage_settings import StageSettings
from fsm_orchestrator.disk import files
from fsm_orchestrator.disk.held import HeldDirectory
from fsm_orchestrator.model.endings import (
    ArtifactsWrong,
    Exited,
    Interrupted,
    NotSpawned,
    PostmortemGap,
    ProcessEnd,
    Signaled,
    SpawnFailure,
    StageResult,
    TimedOut,
    WentQuiet,
    kind_of,
    problem_of,
    signal_name,
    stage_result,
)
from fsm_orchestrator.model.execution import (
    AttemptRecord,
    StageExecution,
    gone_wrong,
    idempotency_key,
)
from fsm_orchestrator.model.limits import Limits
from fsm_orchestrator.model.problem import Problem
from fsm_orchestrator.processes.command import TOKEN_VARIABLE, Command
from fsm_orchestrator.processes.memory_kills import MemoryKill, MemoryKills, is_kill
from fsm_orchestrator.processes.observing import OutputReader
from fsm_orchestrator.processes.output_watch import LogLostError
from fsm_orchestrator.processes.runner import ProcessReport, ProcessRunner
from fsm_orchestrator.secrets.masking import Masker
from fsm_orchestrator.stages.artifact_snapshot import take_snapshot
from fsm_orchestrator.stages.artifacts import (
    NO_ARTIFACTS,
    ArtifactsVerdict,
    JudgingCutShortError,
    judge,
    masked_artifacts,
    masked_paths,
)
from fsm_orchestrator.stages.environment import environment_of
from fsm_orchestrator.stages.judging import Judging
from fsm_orchestrator.stages.output_files import check_logs, log_names, open_logs, postmortem_name
from fsm_orchestrator.stages.output_tail import TAIL_LINES, read_tail
from fsm_orchestrator.text.terminal import last_lines
from fsm_orchestrator.vocabulary import OnLeak, Operation, StageStatus

if TYPE_CHECKING:
    from fsm_orchestrator.model.confinement import ExceededLimit
    from fsm_orchestrator.stages.confining import Cage

COMMAND_CHARACTERS_MAX: Final = 300


class _Asked(NamedTuple):
    """What an attempt is made of.

    Attributes:
        home: the output directory, which is held.
        masker: hides secrets.
        output_masker: hides settings as well, for what the stage prints.
        environment: variables of this program beside those that every attempt gets.
        rework_exit_code: the exit code by which it asks for rework; None where it cannot.
        is_retry: whether an attempt of this invocation has failed before it.
        started: called with the pid of its process.
        on_slow: called with the elapsed milliseconds and the ends of stdout and stderr.
        on_suspended: called with the milliseconds for which all stood still.
        reader_of: makes the reader of its outputs from their descriptors; None where nobody reads.
        asked_to_end: returns the signal by which the run was asked to end; None if it was not.
        given_paths: returns how each path was given that is relative to something, by the path.
        on_slow_artifact: called once when its artifacts take long to judge, with the path that is
            judged and the elapsed milliseconds.
    """

    run_id: str
    home: HeldDirectory
    output_directory: Path
    clock: Clock
    masker: Masker
    output_masker: Masker
    on_leak: OnLeak
    record: AttemptRecord
    settings: StageSettings
    limits: Limits
    environment: Mapping[str, str]
    rework_exit_code: int | None
    is_retry: bool
    started: Callable[[int], None]
    on_slow: Callable[[int, str, str], None]
    on_suspended: Callable[[int], None]
    reader_of: Callable[[tuple[int, int]], OutputReader | None]
    asked_to_end: Callable[[], int | None]
    given_paths: Callable[[], Mapping[str, str]]
    on_slow_artifact: Callable[[str, int], None]


class Attempt(_Asked):
    """An attempt that is already durable; the observer of its own process."""

    _was_judged = True
    """False when its time was up while its artifacts were judged."""
    _judged_ms = 0
    _paused_ms = 0
    _outputs: tuple[int, int]
    _starts: tuple[int, int]
    _black_box: str | None = None
    """One line about it, which may be empty; None when there is none."""
    _cage: Cage | None = None
    _memory_kill: MemoryKill | None = None

    def run(self, runner: ProcessRunner) -> StageExecution:
        """Run the attempt to its end, and return the record of it.

        Raises:
            RecordingError: its files cannot be written, or a callback raised it; the process, if
                any, has been ended.
            OperationError: a process of it could not be ended.
        """
        settings = self.settings
        snapshot = take_snapshot(settings.expected_artifacts)
        kills = MemoryKills.now()
        began = time.monotonic()
        names = self.record.stage, self.record.attempt
        with self._caged() as self._cage, open_logs(self.home, *names) as (stdout, stderr):
            self._outputs = (stdout, stderr)
            self._starts = (os.fstat(stdout).st_size, os.fstat(stderr).st_size)
            reader = self.reader_of((stdout, stderr))
            report = self._report(runner, reader)
            duration_ms = self.clock.elapsed_ms(began)
            if reader is not None:
                reader.finish()
            stderr_tail = self._tail(1)
            if report.survivors:
                from fsm_orchestrator.stages.problems import not_ended  # noqa: PLC0415 - rare

                raise not_ended(self.record.stage, report.survivors)
            kept = zip(self._starts, report.kept_bytes, strict=True)
            check_logs(self.home, names, self._outputs, [start + size for start, size in kept])
        # What a process left that was ended in mid-work, or never ran, is nobody's claim.
        by_itself = report.end
        to_judge = settings.expected_artifacts if isinstance(report.end, Exited | Signaled) else ()
        deadline = began + (self.limits.timeout_ms + self._paused_ms) / 1000
        judging = Judging(deadline, self.on_slow_artifact, self.asked_to_end)
        try:
            verdict = judge(
                to_judge,
                snapshot,
                allow_stale=settings.allow_stale,
                unfinished=report.unfinished,
                may_go_on=judging.may_go_on,
            )
        except JudgingCutShortError:
            verdict, self._was_judged = NO_ARTIFACTS, False
            report = report._replace(end=TimedOut(self.limits.timeout_ms, was_killed=False))
        self._judged_ms = self.clock.elapsed_ms(judging.began)
        signum = self.asked_to_end()
        if signum is not None and isinstance(by_itself, Exited | Signaled):
            report = report._replace(end=Interrupted(signum, by_then=by_itself))
            verdict, self._was_judged = NO_ARTIFACTS, True
        if is_kill(report.end):
            self._memory_kill = kills.until(MemoryKills.now())
        return self._execution(report, verdict, duration_ms, stderr_tail)

    def _caged(self) -> contextlib.AbstractContextManager[Cage | None]:
        """Return the cage, if there is one, to be had for as long as the process may need it."""
        if self.settings.confine is None:
            return contextlib.nullcontext()
        from fsm_orchestrator.stages.confining import cage_of  # noqa: PLC0415 - only with a cage

        return cage_of(self.settings, self.record.token)

    def _report(self, runner: ProcessRunner, reader: OutputReader | None) -> ProcessReport:
        if self._cage is not None and self._cage.refusal is not None:
            return ProcessReport(self._cage.refusal)
        try:
            return runner.run(self._command(), self.limits, self, reader)
        except LogLostError as lost:
            names = log_names(self.record.stage, self.record.attempt)
            with files.recording(
                Operation.LOGS_PERSIST, self.output_directory / names[lost.number]
            ):
                raise OSError(lost.errno, os.strerror(lost.errno)) from lost

    def slow(self, elapsed_ms: int) -> None:
        """Pass on that it is slow, with what it printed last."""
        self.on_slow(elapsed_ms, self._tail(0), self._tail(1))

    def suspended(self, paused_ms: int) -> None:
        """Pass on that it stood still."""
        self._paused_ms += paused_ms
        self.on_suspended(0 if self.clock.is_fixed else paused_ms)

    def ending(
        self, stopped: TimedOut | WentQuiet, processes: tuple[int, ...], silent_seconds: float
    ) -> None:
        """Write the black box: what its processes are doing."""
        from fsm_orchestrator.stages import black_box  # noqa: PLC0415 - rare

        self._black_box = black_box.write(
            self, stopped, processes, silent_seconds, (self._tail(0), self._tail(1))
        )

    def _command(self) -> Command:
        stdout, stderr = self._outputs
        return Command(
            command=self.settings.command,
            args=self.settings.args,
            cwd=self.settings.cwd,
            env=self._environment(),
            search_path=os.environ.get("PATH"),
            stdout=stdout,
            stderr=stderr,
            cage=None if self._cage is None else self._cage.order,
        )

    def _environment(self) -> dict[str, str]:
        record = self.record
        ours = {
            "ORCHESTRATOR_RUN_ID": self.run_id,
            "ORCHESTRATOR_STAGE": record.stage,
            "ORCHESTRATOR_ATTEMPT": str(record.attempt),
            "ORCHESTRATOR_OUTPUT_DIR": str(self.output_directory),
            "ORCHESTRATOR_IDEMPOTENCY_KEY": self._key,
            TOKEN_VARIABLE: record.token,
            **self.environment,
            **({} if self._cage is None else {"TMPDIR": self._cage.temporary}),
        }
        return environment_of(self.settings, ours)

    @property
    def _key(self) -> str:
        return idempotency_key(self.run_id, self.record.stage, self.record.cycle)

    def _tail(self, output: int) -> str:
        """Return the last lines of stdout (0) or stderr (1), as they may be shown."""
        tail = read_tail(self._outputs[output], self.output_masker, start=self._starts[output])
        return "\n".join(last_lines(tail.text, TAIL_LINES))

    def _execution(
        self,
        report: ProcessReport,
        verdict: ArtifactsVerdict,
        duration_ms: int,
        stderr_tail: str,
    ) -> StageExecution:
        end, masker = report.end, self.masker
        own_end = end.by_then if isinstance(end, Interrupted) else end
        result = stage_result(
            end,
            "" if verdict.is_good else verdict.summary(),
            report.leaked_count if self.on_leak is OnLeak.FAIL else 0,
            self.rework_exit_code,
        )
        ending, status = kind_of(result)
        problem, start_problem, exceeded = self._problem(result, end, verdict)
        names = self.record.stage, self.record.attempt
        stdout_log, stderr_log = log_names(*names)
        return StageExecution(
            stage=self.record.stage,
            attempt=self.record.attempt,
            idempotency_key=self._key,
            status=status,
            ending=ending,
            flaky=status is StageStatus.SUCCESS and self.is_retry,
            reason=self.record.reason,
            **gone_wrong(problem),
            start_problem=start_problem,
            command=masker.mask(self.settings.command),
            args=masker.mask_all(self.settings.args),
            env_keys=tuple(self.settings.variables),
            cwd=masker.mask(self.settings.cwd),
            limit_exceeded=exceeded,
            confinement=None if self._cage is None else self._cage.record(report.cage, masker),
            started_at=self.record.started_at,
            artifacts_judged_ms=self._judged_ms,
            duration_ms=duration_ms,
            exit_code=own_end.code if isinstance(own_end, Exited) else None,
            signal=signal_name(own_end.signum) if isinstance(own_end, Signaled) else None,
            missing_artifacts=masked_paths(verdict.missing, masker),
            malformed_artifacts=masked_paths(verdict.malformed, masker),
            stale_artifacts=masked_paths(verdict.stale, masker),
            artifacts=masked_artifacts(verdict, masker),
            stdout_log=stdout_log,
            stderr_log=stderr_log,
            stderr_tail=stderr_tail,
            postmortem=None if self._black_box is None else postmortem_name(*names),
            no_postmortem=self._postmortem_gap(report),
            leaked_count=report.leaked_count,
            leaked_processes=tuple(
                process.model_copy(
                    update={"command": masker.mask(process.command)[:COMMAND_CHARACTERS_MAX]}
                )
                for process in report.leaked
            ),
            resources=None if self.clock.is_fixed else report.resources,
        )

    def _postmortem_gap(self, report: ProcessReport) -> PostmortemGap | None:
        """Return why there is no black box, where one is due."""
        if self._black_box is not None or not isinstance(report.end, TimedOut | WentQuiet):
            return None
        by_keeper, by_itself = PostmortemGap.ENDED_BY_KEEPER, PostmortemGap.ENDED_BY_ITSELF
        return by_keeper if report.was_unheard else by_itself

    def _problem(
        self, result: StageResult, end: ProcessEnd, verdict: ArtifactsVerdict
    ) -> tuple[Problem | None, SpawnFailure | None, ExceededLimit | None]:
        """Return what went wrong, and what kept the program from being run as it should.

        Wrong artifacts are a detail of it, unless they are the cause.
        """
        problem, mask = problem_of(result), self.masker.mask
        if problem is None:
            return None, None, None
        from fsm_orchestrator.stages.problems import (  # noqa: PLC0415 - rare
            exceeded_limit,
            how_given,
            start_problem_of,
        )

        start_problem = start_problem_of(end, self.settings.command)
        given = how_given(result, verdict, self.settings, self.given_paths())
        details = [*problem.details, *given]
        if not self._was_judged:
            details = ["its process had ended, its expected artifacts were still being judged"]
        if start_problem is not None and not isinstance(result, NotSpawned):
            details.append(start_problem.detail)
        if self._memory_kill is not None:
            details.append(self._memory_kill.value)
        if self._black_box:
            details.append(f"at that time: {self._black_box}")
        if not verdict.is_good and not isinstance(result, ArtifactsWrong):
            details.append(f"its expected artifacts are wrong too: {verdict.summary()}")
        told = Problem(cause=mask(problem.cause), details=tuple(map(mask, details)))
        return told, start_problem and start_problem.failure, exceeded_limit(result)
