"""Entering a stage state: skip the stage, pass it over, or run attempts of it."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from fsm_orchestrator.engine.beginnings import Beginnings
from fsm_orchestrator.engine.context import RunContext
from fsm_orchestrator.engine.machine import Fact
from fsm_orchestrator.model.execution import AttemptRecord, StageExecution, fact_of
from fsm_orchestrator.model.limits import Limits
from fsm_orchestrator.model.retry_policy import RetryPolicy
from fsm_orchestrator.preparation.foreseen import foreseen_failure
from fsm_orchestrator.processes.interrupts import Interrupts
from fsm_orchestrator.processes.observing import OutputReader
from fsm_orchestrator.processes.polling import readable
from fsm_orchestrator.processes.runner import ProcessRunner
from fsm_orchestrator.processes.table import identity
from fsm_orchestrator.record.completion import Completion
from fsm_orchestrator.record.event_log import RunLogger
from fsm_orchestrator.stages.attempt import Attempt
from fsm_orchestrator.stages.output_files import log_names
from fsm_orchestrator.text.phrases import counted
from fsm_orchestrator.text.units import exact_span, span_words
from fsm_orchestrator.vocabulary import (
    Containment,
    Ending,
    EventName,
    OutputStream,
    StageStatus,
    Trigger,
)

if TYPE_CHECKING:
    from fsm_orchestrator.model.promises import TimeLimit
    from fsm_orchestrator.stages.last_words import OnWords
    from fsm_orchestrator.stages.verifying import Verifying

LEAKS_NAMED_MAX: Final = 3
LEAK_COMMAND_CHARACTERS_MAX: Final = 60


class EnterStage:
    """The work on a stage, when the machine enters its state."""

    def __init__(
        self,
        context: RunContext,
        interrupts: Interrupts,
        runner: ProcessRunner,
        beginnings: Beginnings,
        on_words: OnWords | None,
    ) -> None:
        self._beginnings = beginnings
        self._on_words = on_words
        self._interrupts = interrupts
        self._runner = runner
        self._context = context
        self._preparation = context.preparation
        self._recorder = context.recorder
        self._has_started_one = False

    def enter(self, stage: str) -> Fact:
        """Skip a stage, pass it over, or run attempts of it; return the fact that followed.

        Raises:
            OperationError: a record could not be made durable; no process is alive.
        """
        draft = self._recorder.draft
        completion = draft.completion_of(stage)
        if completion is not None:
            self.skip(completion)
            cause = f"{stage} skipped: completed by attempt {completion.attempt}"
            return Fact(Trigger.STAGE_SUCCEEDED, cause)
        if stage not in self._preparation.settings:
            warning = f"stage {stage!r} has no binary and was passed over"
            passed_over = (*draft.invocation.passed_over, stage)
            self._recorder.update_invocation(passed_over=tuple(dict.fromkeys(passed_over)))
            self._context.warn(warning, stage=stage, is_passed_over=True)
            return Fact(Trigger.STAGE_SUCCEEDED, warning)
        self._warn_of_later_stages(stage)
        execution, retry = self._run(stage), 0
        policy, allowance = self._preparation.retry_of(stage), self._context.allowance
        while policy.allows_another(execution, self._recorder.draft.attempts_made(stage)):
            retry += 1
            if fact_of(execution) is Trigger.RUN_TIMED_OUT:
                break
            if not self._wait_for_retry(execution, policy, retry):
                cause = f"asked to end while {stage} was to be tried again"
                return Fact(Trigger.RUN_ABORTED, cause)
            stopped = None if allowance is None else allowance.stops()
            if stopped is not None:
                return stopped
            why_not = self._beginnings.why_not(stage)
            if why_not is not None:
                self._context.warn(f"stage {stage!r} is not tried again: {why_not}", stage=stage)
                break
            execution = self._run(stage, is_retry=True)
        is_unverified = execution.ending is Ending.VERIFICATION_FAILED
        if allowance is not None and is_unverified and allowance.is_over:
            return allowance.time_is_up()
        if execution.flaky:
            warning = f"stage {stage!r} is flaky: it succeeded only on attempt {execution.attempt}"
            self._context.warn(warning, stage=stage)
        name, problem = f"attempt {execution.attempt} of {stage}", execution.problem
        if problem is None:
            return Fact(fact_of(execution), f"{name}: succeeded")
        return Fact(fact_of(execution), f"{name}: {problem.cause}", problem.details)

    def _warn_of_later_stages(self, first: str) -> None:
        """Before the first stage starts, warn of those after it that could not start now."""
        if self._has_started_one:
            return
        self._has_started_one = True
        draft = self._recorder.draft
        for stage in draft.lifecycle.stages_from(first):
            if stage == first or stage not in self._preparation.settings:
                continue
            is_complete = draft.completion_of(stage) is not None
            failure = None if is_complete else foreseen_failure(self._preparation, stage)
            if failure is not None:
                self._context.warn(
                    f"stage {stage!r} would fail as things are now: {failure.problem.sentence}",
                    stage=stage,
                )

    def _wait_for_retry(self, failed: StageExecution, policy: RetryPolicy, retry: int) -> bool:
        """Record the failed attempt, and wait as the policy says; False when asked to end."""
        delay_ms, allowance = policy.wait_ms(retry), self._context.allowance
        if allowance is not None:
            delay_ms = allowance.at_most(delay_ms)
        self._recorder.keep(
            partial(
                self._context.log.emit,
                EventName.STAGE_RETRYING,
                level="warning",
                stage=failed.stage,
                attempt=failed.attempt,
                wait_ms=delay_ms,
                max_attempts=policy.max_attempts,
            )
        )
        deadline = time.monotonic() + delay_ms / 1000
        while self._interrupts.first is None and time.monotonic() < deadline:
            readable([self._interrupts.fileno()], deadline)
        return self._interrupts.first is None

    def skip(self, completion: Completion) -> None:
        """Record that a completed stage is not run again."""
        from fsm_orchestrator.model.unmeasured import skipped  # noqa: PLC0415 - rare

        attempts = self._recorder.draft.attempts_of(completion.stage)
        success = next(one for one in attempts if one.attempt == completion.attempt)
        execution = skipped(
            success,
            reason=f"completed by attempt {completion.attempt}"
            f" in invocation {completion.invocation}",
            at=self._context.now(),
        )
        self._recorder.add_execution(execution)
        self._context.log.emit(
            EventName.STAGE_SKIPPED,
            stage=completion.stage,
            attempt=completion.attempt,
            execution=execution,
        )

    def _run(self, stage: str, *, is_retry: bool = False) -> StageExecution:
        attempt = self._beginnings.here(stage)
        limits, time_limit = self._preparation.limits_of(stage), None
        if self._context.allowance is not None:
            limits, time_limit = self._context.allowance.within(limits)
        settings = self._preparation.settings[stage]
        work = self._beginnings.work_of(stage)
        again: dict[str, Any] = {} if work is None else {"verifies_attempt": work.attempt}
        log = self._context.log.bind(stage=stage, attempt=attempt.attempt)
        log.emit(
            EventName.STAGE_STARTED,
            command=self._context.masker.mask(settings.command),
            args=list(self._context.masker.mask_all(settings.args)),
            reason=attempt.reason,
            timeout_ms=limits.timeout_ms,
            kill_grace_ms=limits.kill_grace_ms,
            attempt_of_cycle=1 + self._recorder.draft.attempts_made(stage),
            max_attempts=self._preparation.retry_of(stage).max_attempts or 1,
            containment=self._beginnings.reach.value,
            is_default_timeout=(
                time_limit is None and self._preparation.has_default_timeout(stage)
            ),
            **again,
        )
        self._beginnings.confirm_pins(stage)
        self._context.check_events()
        made = self._attempt(attempt, log, limits, time_limit, is_retry=is_retry)
        execution = made.run(self._runner) if work is None else self._verify_again(made, work)
        self._context.log_seals.seal(stage, attempt.attempt)
        if execution.has_lost_keeper:
            self._end_strays()
            self._note_loss(stage)
        self._recorder.draft = self._recorder.draft.attempt_ended(execution)
        is_well = (
            execution.status is StageStatus.SUCCESS or execution.ending is Ending.REWORK_REQUESTED
        )
        log.emit(EventName.STAGE_ENDED, level="info" if is_well else "error", execution=execution)
        self._warn_of_leaks(execution, log)
        return execution

    def _verify_again(self, made: Attempt, work: StageExecution) -> StageExecution:
        from fsm_orchestrator.stages.reverifying import verify_again  # noqa: PLC0415 - rare

        return verify_again(made, self._runner, work)

    def _attempt(
        self,
        record: AttemptRecord,
        log: RunLogger,
        limits: Limits,
        time_limit: tuple[TimeLimit, int] | None,
        *,
        is_retry: bool,
    ) -> Attempt:
        context, draft = self._context, self._recorder.draft
        settings, allowance = self._preparation.settings, context.allowance
        environment = {}
        if record.cycle > 1:
            from fsm_orchestrator.engine.rework import rework_environment  # noqa: PLC0415 - rare

            directory = context.output_directory
            environment = rework_environment(draft, record.stage, settings, directory)
        return Attempt(
            run_id=context.run_id,
            home=context.home,
            output_directory=context.output_directory,
            clock=context.clock,
            masker=context.masker,
            output_masker=context.preparation.output_masker,
            on_leak=draft.on_leak,
            record=record,
            settings=settings[record.stage],
            limits=limits,
            environment=environment,
            rework_exit_code=draft.lifecycle.states[record.stage].rework_exit_code,
            is_retry=is_retry,
            on_started=self._on_started,
            on_slow=partial(self._on_slow, record.stage, log),
            on_suspended=partial(self._on_suspended, record.stage),
            reader_of=partial(self._reader, record, log),
            asked_to_end=lambda: self._interrupts.first,
            given_paths=partial(self._preparation.given_paths_of, record.stage),
            on_slow_artifact=partial(context.log_slow_artifact, log),
            open_meter=None if allowance is None else allowance.opener(record),
            time_limit=time_limit,
            within=self._within,
            verifying=partial(self._verifying, record.stage, log),
            guard=self._beginnings.guard,
        )

    def _within(self, limits: Limits) -> Limits:
        allowance = self._context.allowance
        return limits if allowance is None else allowance.within(limits)[0]

    def _verifying(self, stage: str, log: RunLogger) -> Verifying:
        from fsm_orchestrator.engine.verifying import LoggedVerifying  # noqa: PLC0415 - few are verified

        count = len(self._preparation.settings[stage].verify)
        return LoggedVerifying(self._context, stage, log, count)

    def _warn_of_leaks(self, execution: StageExecution, log: RunLogger) -> None:
        for process in execution.leaked_processes:
            log.emit(EventName.PROCESS_LEAKED, level="warning", process=process)
        count = execution.leaked_count
        if count:
            shown = [
                f"{process.pid} ({process.command[:LEAK_COMMAND_CHARACTERS_MAX]})"
                for process in execution.leaked_processes[:LEAKS_NAMED_MAX]
            ]
            named = f": {', '.join(shown)}" if shown else ""
            more = f" and {count - len(shown)} more" if shown and count > len(shown) else ""
            left = counted(count, "process")
            self._context.warn(
                f"stage {execution.stage!r} exited and left {left} running{named}{more}; ended now",
                stage=execution.stage,
            )

    def _note_loss(self, stage: str) -> None:
        """Record that the ending of processes did not reach as far as it was said to."""
        self._recorder.update_invocation(containment=Containment.PROCESS_GROUP)
        rest = (
            "what came of it was ended by the orchestrator"
            if self._runner.adopts
            else "what had left its session may not have been found"
        )
        self._context.warn(f"the keeper of stage {stage!r} was killed: {rest}", stage=stage)

    def _end_strays(self) -> None:
        """End what can still be found of an attempt whose keeper is gone.

        Raises:
            OperationError: one of them is alive still.
        """
        from fsm_orchestrator.processes.leftovers import end_leftovers  # noqa: PLC0415 - rare, loads psutil

        attempt = self._recorder.draft.open_attempt
        if attempt is not None:
            end_leftovers(attempt, 0)

    def _on_started(self, pid: int) -> None:
        draft = self._recorder.draft
        if draft.open_attempt is not None:
            known = {"pid": pid, "pid_identity": identity(pid)}
            attempt = draft.open_attempt.model_copy(update=known)
            self._recorder.draft = draft.attempt_begun(attempt)
            self._recorder.refresh()

    def _on_slow(
        self, stage: str, log: RunLogger, elapsed_ms: int, stdout_tail: str, stderr_tail: str
    ) -> None:
        log.emit(
            EventName.STAGE_SLOW,
            level="warning",
            elapsed_ms=0 if self._context.clock.is_fixed else elapsed_ms,
            stdout_tail=stdout_tail,
            stderr_tail=stderr_tail,
        )
        limit = exact_span(self._preparation.limits_of(stage).slow_after_ms or 0)
        self._context.warn(f"stage {stage!r} is slow: it ran for more than {limit}", stage=stage)

    def _on_suspended(self, stage: str, paused_ms: int) -> None:
        self._context.warn(
            f"stage {stage!r} and its limits stood still for {span_words(paused_ms)}: the run was"
            " suspended (SIGTSTP)",
            stage=stage,
        )

    def _reader(
        self, attempt: AttemptRecord, log: RunLogger, outputs: tuple[int, int]
    ) -> OutputReader | None:
        """Return the reader that logs each line the attempt prints, or shows the last; or None."""
        if not self._preparation.config.log_output:
            if self._on_words is None:
                return None
            from fsm_orchestrator.stages.last_words import LastWords  # noqa: PLC0415 - rare

            return LastWords(outputs, self._preparation.output_masker, self._on_words)
        from fsm_orchestrator.stages.output_lines import LINES_MAX, OutputLines  # noqa: PLC0415 - rare

        def log_line(stream: OutputStream, text: str, is_cut: bool) -> None:
            log.emit(EventName.STAGE_OUTPUT, stream=stream.value, text=text, is_cut=is_cut)

        def warn() -> None:
            files = " and ".join(log_names(attempt.stage, attempt.attempt))
            self._context.warn(
                f"stage {attempt.stage!r} printed more than {LINES_MAX} lines: the rest of attempt"
                f" {attempt.attempt} is only in {files}",
                stage=attempt.stage,
            )

        return OutputLines(outputs, self._preparation.output_masker, log_line, warn)
