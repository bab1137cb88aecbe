"""Entering a stage: skip it, pass it over, or run an attempt of it; and the fact that followed."""

from __future__ import annotations

import secrets

from fsm_orchestrator import executions, process_table
from fsm_orchestrator.checkpoint import Completion
from fsm_orchestrator.interrupts import Interrupts
from fsm_orchestrator.invocation import Invocation
from fsm_orchestrator.process import ProcessRunner
from fsm_orchestrator.records import AttemptRecord, StageExecution
from fsm_orchestrator.results import trigger_of
from fsm_orchestrator.stage_runner import StageContext, run_attempt
from fsm_orchestrator.vocabulary import EventName, StageStatus, Trigger


class StageEntry:
    """What happens when the machine enters a stage state."""

    def __init__(self, invocation: Invocation, interrupts: Interrupts) -> None:
        self._invocation = invocation
        self._preparation = invocation.preparation
        self._recorder = invocation.recorder
        self._context = StageContext(
            run_id=invocation.run_id,
            output_directory=invocation.output_directory,
            clock=invocation.clock,
            masker=invocation.masker,
            runner=ProcessRunner(interrupts),
        )

    def enter(self, stage: str) -> tuple[Trigger, str]:
        """Do what is to be done about a stage; the fact that followed, and its cause in words.

        Raises:
            OperationError: a record could not be made durable; no process is alive.
        """
        draft = self._recorder.draft
        completion = draft.completion_of(stage)
        if completion is not None:
            self.skip(completion)
            cause = f"{stage} skipped: completed by attempt {completion.attempt}"
            return Trigger.STAGE_SUCCEEDED, cause
        if stage not in self._preparation.settings:
            warning = f"stage {stage!r} has no binary and was passed over"
            self._recorder.update_invocation(passed_over=(*draft.invocation.passed_over, stage))
            self._invocation.warn(warning, stage=stage)
            return Trigger.STAGE_SUCCEEDED, warning
        execution = self._run(stage)
        ending = execution.error or "succeeded"
        return trigger_of(execution.status), f"attempt {execution.attempt} of {stage}: {ending}"

    def skip(self, completion: Completion) -> None:
        """Record that a completed stage is not run again."""
        success = next(
            execution
            for invocation in self._recorder.draft.invocations
            for execution in invocation.stage_executions
            if execution.status is StageStatus.SUCCESS
            and (execution.stage, execution.attempt) == (completion.stage, completion.attempt)
        )
        execution = executions.skipped(
            success,
            reason=f"completed by attempt {completion.attempt}"
            f" in invocation {completion.invocation}",
            at=self._invocation.now(),
        )
        self._recorder.add_execution(execution)
        self._invocation.log.emit(
            EventName.STAGE_SKIPPED,
            stage=completion.stage,
            attempt=completion.attempt,
            execution=execution,
        )

    def _run(self, stage: str) -> StageExecution:
        attempt = self._next_attempt(stage)
        settings = self._preparation.settings[stage]
        log = self._invocation.log.bind(stage=stage, attempt=attempt.attempt)
        self._recorder.update(open_attempt=attempt)
        self._recorder.save()
        log.emit(
            EventName.STAGE_STARTED,
            command=self._invocation.masker.mask_path(settings.command),
            args=list(self._invocation.masker.mask_all(settings.args)),
            reason=attempt.reason,
        )
        self._invocation.check_events()
        execution = run_attempt(
            self._context, attempt, settings, self._preparation.limits_of(stage), self._on_started
        )
        self._recorder.update(open_attempt=None)
        self._recorder.add_execution(execution)
        is_success = execution.status is StageStatus.SUCCESS
        if is_success:
            self._complete(attempt, execution)
        log.emit(
            EventName.STAGE_ENDED, level="info" if is_success else "error", execution=execution
        )
        for process in execution.leaked_processes:
            self._invocation.warn(
                f"stage {stage!r} left process {process.pid} behind; it was ended", stage=stage
            )
        return execution

    def _next_attempt(self, stage: str) -> AttemptRecord:
        draft = self._recorder.draft
        number = draft.next_attempt(stage)
        reason = "first attempt" if number == 1 else f"attempt {number - 1} did not complete it"
        if stage in draft.invocation.rerun:
            reason = "run again as asked"
        return AttemptRecord(
            stage=stage,
            cycle=1,
            attempt=number,
            reason=reason,
            token=secrets.token_hex(16),
            started_at=self._invocation.now(),
            pid=None,
            pid_identity=None,
        )

    def _on_started(self, pid: int) -> None:
        attempt = self._recorder.draft.open_attempt
        if attempt is not None:
            known = {"pid": pid, "pid_identity": process_table.identity(pid)}
            self._recorder.update(open_attempt=attempt.model_copy(update=known))
            self._recorder.save()

    def _complete(self, attempt: AttemptRecord, execution: StageExecution) -> None:
        draft = self._recorder.draft
        completion = Completion(
            stage=attempt.stage,
            cycle=attempt.cycle,
            attempt=attempt.attempt,
            invocation=draft.invocation.number,
            settings=draft.stages[attempt.stage],
            artifacts=execution.artifacts,
        )
        self._recorder.update(completions=(*draft.completions, completion))
