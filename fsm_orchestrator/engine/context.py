"""The invocation at work: its record, its log, its clock, in one hand.

What driver.py and stage_entry.py share. Decides nothing.
"""

from __future__ import annotations

from typing import Any

from fsm_orchestrator.clock import timestamp
from fsm_orchestrator.model import operations
from fsm_orchestrator.model.execution import AttemptRecord, StageExecution
from fsm_orchestrator.preparation.preparation import Preparation
from fsm_orchestrator.record import closure
from fsm_orchestrator.record.event_log import EventFile, RunLogger
from fsm_orchestrator.record.recorder import Recorder
from fsm_orchestrator.stages.artifacts import ArtifactsVerdict
from fsm_orchestrator.vocabulary import EventName, ExitCode, Operation, Outcome


class RunContext:
    """An invocation whose output directory is locked and whose events file is open."""

    def __init__(self, preparation: Preparation, log: RunLogger, event_file: EventFile) -> None:
        draft = preparation.checkpoint
        self.preparation = preparation
        self.run_id = draft.run_id
        self.output_directory = preparation.config.output_path
        self.clock = preparation.clock
        self.masker = preparation.masker
        self.log = log.bind(run_id=draft.run_id, state=draft.current_state)
        self.recorder = Recorder(
            self.output_directory,
            draft,
            lambda: self.judge_artifacts().is_good,
        )
        self._event_file = event_file

    def now(self) -> str:
        """The time, as records hold it."""
        return timestamp(self.clock.now())

    def warn(self, warning: str, **bound: str | bool) -> None:
        """Put a warning into report and log, once."""
        masked = self.masker.mask_path(warning)
        if masked not in self.recorder.draft.invocation.warnings:
            self.recorder.add_warning(masked)
            self.log.emit(EventName.WARNING, level="warning", message=masked, **bound)

    def judge_artifacts(self) -> ArtifactsVerdict:
        """Whether the expected artifacts of all completed stages are good now."""
        return closure.judge_artifacts(self.recorder.draft, self.preparation.settings)

    def check_events(self) -> None:
        """A log that cannot be written ends the run, like any other record.

        Raises:
            RecordingError: an event could not be written, and this is the first to be told.
        """
        if self._event_file.failure is not None and not self.recorder.is_degraded:
            raise self._event_file.failure

    def add_own_failure(self, operation: Operation, error: str) -> StageExecution:
        """Record what the program itself failed to do; the record, for the log."""
        failure = operations.own_failure(
            self.run_id, operation, error=self.masker.mask_path(error), at=self.now()
        )
        self.recorder.add_execution(failure)
        return failure

    def settle_open_attempt(self, error: str) -> None:
        """Record an attempt that is not going to be recorded by itself as interrupted."""
        draft = self.recorder.draft
        attempt = draft.open_attempt
        if attempt is not None:
            settled = draft.attempt_interrupted(error=error)
            self.recorder.draft = settled
            execution = settled.invocation.stage_executions[-1]
            self.emit_interrupted(attempt, (), draft.invocation.number, execution)

    def emit_interrupted(
        self,
        attempt: AttemptRecord,
        ended_pids: tuple[int, ...],
        invocation: int | None,
        execution: StageExecution | None,
    ) -> None:
        """Tell the log of an attempt whose end nobody saw; None where it is another run's."""
        of_this_run = {"invocation": invocation, "execution": execution}
        self.log.emit(
            EventName.ATTEMPT_INTERRUPTED,
            level="warning",
            stage=attempt.stage,
            attempt=attempt.attempt,
            ended_pids=ended_pids,
            **({} if execution is None else of_this_run),
        )

    def ending(self, exit_code: ExitCode) -> dict[str, Any]:
        """What the invocation's record says once it has ended."""
        return {"finished_at": self.now(), "exit_code": int(exit_code)}

    def finish(self, exit_code: ExitCode) -> None:
        """Put the end into the draft."""
        self.recorder.update_invocation(**self.ending(exit_code))

    def emit_end(self, outcome: Outcome) -> None:
        """Tell the log that the invocation has ended, and make the log durable.

        `outcome` is what the report says; that report has been made, and its end is in the draft.
        """
        ended = self.recorder.draft.invocation
        reach = ended.containment
        self.log.emit(
            EventName.RUN_ENDED,
            level="info" if ended.exit_code == ExitCode.DONE else "error",
            outcome=outcome.value,
            exit_code=ended.exit_code,
            closure_ready=self.recorder.is_closure_ready,
            finished_at=ended.finished_at,
            **({} if reach is None else {"containment": reach.value}),
        )
        self._event_file.sync()
