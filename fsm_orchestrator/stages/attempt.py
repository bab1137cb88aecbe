"""One attempt of one stage: its environment, its process, and the record of how it ended."""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING

from fsm_orchestrator.disk import files
from fsm_orchestrator.model.endings import (
    Exited,
    Interrupted,
    Signaled,
    TimedOut,
    WentQuiet,
)
from fsm_orchestrator.model.execution import (
    StageExecution,
)
from fsm_orchestrator.processes.command import Command
from fsm_orchestrator.processes.memory_kills import MemoryKill, MemoryKills, is_kill
from fsm_orchestrator.processes.observing import OutputReader, ProcessReport
from fsm_orchestrator.processes.output_watch import LogLostError
from fsm_orchestrator.processes.runner import ProcessRunner
from fsm_orchestrator.stages.artifact_snapshot import Snapshot, take_snapshot
from fsm_orchestrator.stages.artifacts import (
    NO_ARTIFACTS,
    ArtifactsVerdict,
    JudgingCutShortError,
    judge,
)
from fsm_orchestrator.stages.asked import Asked
from fsm_orchestrator.stages.attempt_record import Ended, record_of
from fsm_orchestrator.stages.environment import environment_of
from fsm_orchestrator.stages.judging import Judging
from fsm_orchestrator.stages.output_files import check_logs, log_names, open_logs
from fsm_orchestrator.stages.output_tail import TAIL_LINES, read_tail
from fsm_orchestrator.stages.program import Program
from fsm_orchestrator.text.terminal import last_lines
from fsm_orchestrator.vocabulary import Operation, StageStatus

if TYPE_CHECKING:
    from fsm_orchestrator.model.endings import ProcessEnd
    from fsm_orchestrator.stages.confining import Cage
    from fsm_orchestrator.stages.earning import Earning
    from fsm_orchestrator.stages.meter import Meter


class Attempt(Asked):
    """An attempt that is already durable; the observer of its own process."""

    _was_judged = True
    """False if its time was up while its artifacts were judged."""
    _judged_ms = 0
    _paused_ms = 0
    _outputs: tuple[int, int]
    _starts: tuple[int, int]
    _black_box: str | None = None
    """One line about its black box, which may be empty; None if there is none."""
    _cage: Cage | None = None
    _memory_kill: MemoryKill | None = None
    _meter: Meter | None = None
    _earning: Earning | None = None
    _program: Program | None = None

    def run(self, runner: ProcessRunner) -> StageExecution:
        """Run the attempt to its end, with its meter if it has one; return its record.

        Raises:
            RecordingError: its files cannot be written, or a callback raised it; the process, if
                any, has been ended.
            OperationError: one of its processes could not be ended.
        """
        if self.open_meter is None:
            return self._run(runner)
        with self.open_meter() as self._meter:
            return self._run(runner)

    def _run(self, runner: ProcessRunner) -> StageExecution:
        """Run the attempt to its end, and return its record.

        Raises:
            RecordingError: its files cannot be written, or a callback raised it; the process, if
                any, has been ended.
            OperationError: one of its processes could not be ended.
        """
        self._earning = earning = self._to_earn()
        plain = self.settings.expected_artifacts
        snapshot = take_snapshot(plain if earning is None else earning.files)
        kills = MemoryKills.now()
        began = time.monotonic()
        names = self.record.stage, self.record.attempt
        with (
            self._caged() as self._cage,
            self._read_program() as self._program,
            open_logs(self.home, *names) as (stdout, stderr),
        ):
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
        report = report._replace(end=self._within_budget(report.end))
        by_itself = report.end
        deadline = began + (self.limits.timeout_ms + self._paused_ms) / 1000
        judging = Judging(deadline, self.on_slow_artifact, self.asked_to_end)
        try:
            verdict = self._judged(report, snapshot, judging)
        except JudgingCutShortError:
            verdict, self._was_judged = NO_ARTIFACTS, False
            late = self.in_whose_time(TimedOut(self.limits.timeout_ms, was_killed=False))
            report = report._replace(end=late)
        self._judged_ms = self.clock.elapsed_ms(judging.began)
        signum = self.asked_to_end()
        if signum is not None and isinstance(by_itself, Exited | Signaled):
            report = report._replace(end=Interrupted(signum, by_then=by_itself))
            verdict, self._was_judged = NO_ARTIFACTS, True
        if is_kill(report.end):
            self._memory_kill = kills.until(MemoryKills.now())
        ended = Ended(
            report,
            verdict,
            duration_ms,
            stderr_tail,
            judged_ms=self._judged_ms,
            was_judged=self._was_judged,
            cage=self._cage,
            black_box=self._black_box,
            memory_kill=self._memory_kill,
            metered=None if self._meter is None else self._meter.metered,
            earned=None if earning is None else earning.earned,
            program=() if self._program is None else self._program.record(self.masker),
        )
        work = record_of(self, ended)
        if not self.settings.verify or work.status is not StageStatus.SUCCESS:
            return work
        return self._verified(runner, ended, work)

    def _verified(
        self, runner: ProcessRunner, ended: Ended, work: StageExecution
    ) -> StageExecution:
        """Verify the work, and return the record of the attempt with its verifications."""
        from fsm_orchestrator.stages.verifying import verify  # noqa: PLC0415 - few stages are verified

        verified = verify(self, runner, self.verifying(), work)
        earned = ended.earned
        if verified.changes and earned is not None:
            earned = earned._replace(changes=verified.changes)
        return record_of(self, ended._replace(verified=verified, earned=earned))

    def _judged(
        self, report: ProcessReport, snapshot: Snapshot, judging: Judging
    ) -> ArtifactsVerdict:
        """Judge the artifacts that the process left, after comparing the protected paths.

        Raises:
            JudgingCutShortError: the time is up, or the run is to end.
        """
        earning = self._earning
        # Files left by a process that was ended in mid-work, or never ran, are nobody's claim.
        has_ended = isinstance(report.end, Exited | Signaled)
        if earning is not None:
            earning.compare(judging.may_go_on, must=has_ended)
        verdict = judge(
            self.settings.artifact_paths if has_ended else (),
            snapshot,
            allow_stale=self.settings.allow_stale,
            unfinished=report.unfinished,
            may_go_on=judging.may_go_on,
            contracts=None if earning is None else earning.contracted,
        )
        if earning is not None:
            earning.note_inputs(report.end, verdict, judging.may_go_on)
        return verdict

    def _to_earn(self) -> Earning | None:
        """Return what it has to earn besides its exit code and plain artifacts, if anything."""
        if not self.settings.must_earn:
            return None
        from fsm_orchestrator.stages.earning import Earning  # noqa: PLC0415 - rare

        return Earning(self)

    def _within_budget(self, end: ProcessEnd) -> ProcessEnd:
        """Return how the process ended, taking the run's time and budget into account."""
        if self._meter is not None:
            end = self._meter.judged(end, (0, *self.exit_codes))
        return self.in_whose_time(end)

    def _caged(self) -> contextlib.AbstractContextManager[Cage | None]:
        """Return the cage, if any, as a context that lasts as long as the process may need it."""
        if self.settings.confine is None:
            return contextlib.nullcontext()
        from fsm_orchestrator.stages.confining import cage_of  # noqa: PLC0415 - only with a cage

        meter = None if self._meter is None else self._meter.path
        return cage_of(self.settings, self.record.token, self.home, meter)

    def _read_program(self) -> contextlib.AbstractContextManager[Program | None]:
        """Return the program that it runs; None in equal runs: machines have different programs."""
        if self.clock.is_fixed:
            return contextlib.nullcontext()
        return contextlib.closing(Program(self.settings))

    def _report(self, runner: ProcessRunner, reader: OutputReader | None) -> ProcessReport:
        if self._cage is not None and self._cage.refusal is not None:
            return ProcessReport(self._cage.refusal)
        if self._earning is not None and self._earning.refusal is not None:
            return ProcessReport(self._earning.refusal)
        try:
            return runner.run(self._command(), self.limits, self, reader, self._meter)
        except LogLostError as lost:
            names = log_names(self.record.stage, self.record.attempt)
            with files.recording(
                Operation.LOGS_PERSIST, self.output_directory / names[lost.number]
            ):
                raise OSError(lost.errno, os.strerror(lost.errno)) from lost

    def started(self, pid: int, /) -> None:
        """Report that its process has started, and finish reading the files that it runs."""
        self.on_started(pid)
        if self._program is not None:
            self._program.started()

    def slow(self, elapsed_ms: int) -> None:
        """Report that it is slow, with its latest output."""
        self.on_slow(elapsed_ms, self._tail(0), self._tail(1))

    def suspended(self, paused_ms: int) -> None:
        """Report that it was suspended."""
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
            found=None if self._program is None else self._program.path,  # the file that was read
        )

    def _environment(self) -> dict[str, str]:
        temporary = {} if self._cage is None else {"TMPDIR": self._cage.temporary}
        metered = {} if self._meter is None else self._meter.variables
        ours = {**self.our_variables, **metered, **temporary}
        return environment_of(self.settings, ours)

    def _tail(self, output: int) -> str:
        """Return the last lines of stdout (0) or stderr (1), masked."""
        tail = read_tail(self._outputs[output], self.output_masker, start=self._starts[output])
        return "\n".join(last_lines(tail.text, TAIL_LINES))
