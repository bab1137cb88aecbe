"""Entering a stage state: skip the stage, pass it over, or run attempts of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from fsm_orchestrator.engine.beginnings import Beginnings
from fsm_orchestrator.engine.context import RunContext
from fsm_orchestrator.engine.hands import Hands
from fsm_orchestrator.engine.machine import CalledOffError, Fact
from fsm_orchestrator.engine.printed import reader_of
from fsm_orchestrator.engine.settled import SettledStages
from fsm_orchestrator.model.execution import StageExecution, fact_of
from fsm_orchestrator.model.limits import Limits
from fsm_orchestrator.model.open_attempt import AttemptRecord
from fsm_orchestrator.processes.interrupts import Interrupts
from fsm_orchestrator.processes.polling import readable
from fsm_orchestrator.processes.table import identity
from fsm_orchestrator.record.event_log import RunLogger
from fsm_orchestrator.stages.attempt import Attempt
from fsm_orchestrator.text.units import exact_span, span_words
from fsm_orchestrator.vocabulary import (
    Ending,
    EventName,
    StageStatus,
    Trigger,
)

if TYPE_CHECKING:
    from fsm_orchestrator.engine.at_end import AtEnd
    from fsm_orchestrator.model.promises import TimeLimit
    from fsm_orchestrator.stages.last_words import OnWords
    from fsm_orchestrator.stages.verifying import Verifying


class EnterStage:
    """The work on a stage when the machine enters its state.

    `interrupts` are the run's own; everything that touches the record goes through `hands.ask`.
    """

    def __init__(
        self,
        context: RunContext,
        interrupts: Interrupts,
        hands: Hands,
        settled: SettledStages,
        beginnings: Beginnings,
        on_words: OnWords | None,
    ) -> None:
        self._settled = settled
        self._beginnings = beginnings
        self._on_words = on_words
        self._of_run = interrupts
        self._hands = hands
        self._interrupts = hands.interrupts
        self._runner = hands.runner
        self.has_lost_one = False
        """True if it is not known how an attempt ended."""
        self._context = context
        self._preparation = context.preparation
        self._recorder = context.recorder
        self._at_end: AtEnd | None = None

    def enter(self, stage: str) -> Fact:
        """Skip a stage, pass it over, or run attempts of it; return the fact that followed.

        Raises:
            OperationError: a record could not be made durable; no process is left alive.
        """
        fact = self._settled.fact_of(stage)
        if fact is not None:
            return fact
        self._settled.warn_of_later(stage)
        return self.see_through(stage) or Fact(Trigger.RUN_ABORTED, f"{stage} was ended")

    def see_through(self, stage: str) -> Fact | None:
        """Run attempts of a stage; return the fact that followed.

        Return None if it was ended because a stage that ran side by side with it did not succeed.

        Raises:
            OperationError: a record could not be made durable; no process is left alive.
        """
        execution, retry = self._run(stage), 0
        policy, allowance = self._preparation.retry_of(stage), self._context.allowance
        while policy.allows_another(execution, self._recorder.draft.attempts_made(stage)):
            retry += 1
            if fact_of(execution) is Trigger.RUN_TIMED_OUT:
                break
            wait_ms = policy.wait_ms(retry)
            if allowance is not None:
                wait_ms = allowance.at_most(wait_ms)
            self._hands.ask(partial(self._note_retry, execution, wait_ms, policy.max_attempts))
            if not self._wait(wait_ms):
                if self._of_run.first is None:
                    break  # a sibling failed during the wait
                cause = f"asked to end while {stage} was to be tried again"
                return Fact(Trigger.RUN_ABORTED, cause)
            stopped = None if allowance is None else self._hands.ask(allowance.stops)
            if stopped is not None:
                return stopped
            if not self._hands.ask(partial(self._may_retry, stage)):
                break
            execution = self._run(stage, is_retry=True)
        is_unverified = execution.ending is Ending.VERIFICATION_FAILED
        if allowance is not None and is_unverified and allowance.is_over:
            return self._hands.ask(allowance.time_is_up)
        if execution.flaky:
            warning = f"stage {stage!r} is flaky: it succeeded only on attempt {execution.attempt}"
            self._hands.ask(partial(self._context.warn, warning, stage=stage))
        if execution.ending is Ending.SIBLING_FAILED:
            return None
        name, problem = f"attempt {execution.attempt} of {stage}", execution.problem
        if problem is None:
            return Fact(fact_of(execution), f"{name}: succeeded")
        return Fact(fact_of(execution), f"{name}: {problem.cause}", problem.details)

    def run_at_end(self, stage: str, told: AtEnd) -> StageExecution:
        """Run attempts of the stage that always runs, as `see_through` does for other stages."""
        self._at_end = told
        execution, retry = self._run(stage), 0
        policy = self._preparation.retry_of(stage)
        while not told.is_short and policy.allows_another(
            execution, self._recorder.draft.attempts_made(stage)
        ):
            retry += 1
            wait_ms, allowance = policy.wait_ms(retry), self._context.allowance
            if allowance is not None:
                wait_ms = allowance.at_most(wait_ms)
            self._note_retry(execution, wait_ms, policy.max_attempts)
            if not self._wait(wait_ms) or (allowance is not None and allowance.is_over):
                break
            execution = self._run(stage, is_retry=True)
        return execution

    def _may_retry(self, stage: str) -> bool:
        why_not = self._beginnings.why_not(stage)
        if why_not is not None:
            self._context.warn(f"stage {stage!r} is not tried again: {why_not}", stage=stage)
        return why_not is None

    def _note_retry(self, failed: StageExecution, wait_ms: int, max_attempts: int | None) -> None:
        """Record the failed attempt, and that the stage is tried again."""
        self._recorder.keep(
            partial(
                self._context.log.emit,
                EventName.STAGE_RETRYING,
                level="warning",
                stage=failed.stage,
                attempt=failed.attempt,
                wait_ms=wait_ms,
                max_attempts=max_attempts,
            )
        )

    def _wait(self, delay_ms: int) -> bool:
        """Wait; return False if asked to end."""
        deadline = time.monotonic() + delay_ms / 1000
        while self._interrupts.first is None and time.monotonic() < deadline:
            readable([self._interrupts.fileno()], self._interrupts.until(deadline))
        return self._interrupts.first is None

    def _run(self, stage: str, *, is_retry: bool = False) -> StageExecution:
        made, log, work = self._hands.ask(partial(self._begin, stage, is_retry=is_retry))
        execution = made.run(self._runner) if work is None else self._verify_again(made, work)
        return self._hands.ask(partial(self._end, execution, log))

    def _begin(
        self, stage: str, *, is_retry: bool
    ) -> tuple[Attempt, RunLogger, StageExecution | None]:
        attempt = self._beginnings.here(stage)
        limits, time_limit = self._allowed(self._preparation.limits_of(stage))
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
        return self._attempt(attempt, log, limits, time_limit, is_retry=is_retry), log, work

    def _end(self, execution: StageExecution, log: RunLogger) -> StageExecution:
        self._context.log_seals.seal(execution.stage, execution.attempt)
        if execution.has_lost_keeper:
            from fsm_orchestrator.engine.left_behind import note_lost_keeper  # noqa: PLC0415 - rare

            self.has_lost_one = True
            note_lost_keeper(self._context, execution.stage, adopts=self._runner.adopts)
        if self._hands.is_in_group:
            execution = self._kept_end(execution, log)
        else:
            self._recorder.draft = self._recorder.draft.attempt_ended(execution)
            _log_end(log, execution)
        if execution.leaked_count:
            from fsm_orchestrator.engine.left_behind import warn_of_leaks  # noqa: PLC0415 - rare

            warn_of_leaks(self._context, execution, log)
        return execution

    def _kept_end(self, execution: StageExecution, log: RunLogger) -> StageExecution:
        """Make an attempt's end durable while others run, a success only if not asked to end."""
        before = self._recorder.draft
        try:
            self._recorder.draft = before.attempt_ended(execution)
            self._recorder.keep(
                partial(_log_end, log, execution), last_look=partial(self._last_look, execution)
            )
        except CalledOffError as request:
            from fsm_orchestrator.engine.interruptions import taken_back  # noqa: PLC0415 - rare

            execution = taken_back(execution, request.signum)
            self._recorder.draft = before.attempt_ended(execution)
            self._recorder.keep(partial(_log_end, log, execution))
        return execution

    def _last_look(self, execution: StageExecution) -> None:
        """Call off a success if the run is to end by now."""
        signum = self._of_run.first
        if signum is not None and execution.status is StageStatus.SUCCESS:
            raise CalledOffError(signum)

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
        environment = {} if self._at_end is None else dict(self._at_end.environment)
        if record.cycle > 1:
            from fsm_orchestrator.engine.rework import rework_environment  # noqa: PLC0415 - rare

            directory = context.output_directory
            environment = rework_environment(draft, record.stage, settings, directory)
        if context.is_traced:
            from fsm_orchestrator.preparation.tracing import variables_of  # noqa: PLC0415 - few are traced

            told = variables_of(context.preparation.config, draft, record.stage, record.attempt)
            environment |= told
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
            exit_codes=draft.lifecycle.states[record.stage].meanings,
            is_retry=is_retry,
            on_started=self._asking(partial(self._on_started, record.stage)),
            on_slow=self._asking(partial(self._on_slow, record.stage, log)),
            on_suspended=self._asking(partial(self._on_suspended, record.stage)),
            reader_of=partial(reader_of, context, record, log, (self._on_words, self._asking)),
            asked_to_end=lambda: self._of_run.first,
            given_paths=partial(self._preparation.given_paths_of, record.stage),
            on_slow_artifact=self._asking(partial(context.log_slow_artifact, log)),
            open_meter=None if allowance is None else allowance.opener(record),
            time_limit=time_limit,
            within=lambda limits: self._allowed(limits)[0],
            verifying=partial(self._verifying, record.stage, log),
            guard=self._beginnings.guard_of(record.stage),
        )

    def _allowed(self, limits: Limits) -> tuple[Limits, tuple[TimeLimit, int] | None]:
        """Return the limits that apply now, and the run's limit that cut them, or None."""
        allowance = self._context.allowance
        if self._at_end is not None and self._at_end.is_short:
            return self._at_end.within(limits), None  # its grace period, whatever time is left
        return (limits, None) if allowance is None else allowance.within(limits)

    def _asking(self, do: Callable[..., None]) -> Callable[..., None]:
        """Return a function that has the thread that keeps the record call `do`."""
        return lambda *told: self._hands.ask(partial(do, *told))

    def _verifying(self, stage: str, log: RunLogger) -> Verifying:
        from fsm_orchestrator.engine.verifying import LoggedVerifying  # noqa: PLC0415 - few are verified

        count = len(self._preparation.settings[stage].verify)
        return LoggedVerifying(self._context, stage, log, count, self._hands.ask)

    def _on_started(self, stage: str, pid: int) -> None:
        draft = self._recorder.draft
        attempt = draft.open_attempt_of(stage)
        if attempt is not None:
            known = {"pid": pid, "pid_identity": identity(pid)}
            self._recorder.draft = draft.attempt_begun(attempt.model_copy(update=known))
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


def _log_end(log: RunLogger, execution: StageExecution) -> None:
    log.emit(EventName.STAGE_ENDED, level=execution.level, execution=execution)
