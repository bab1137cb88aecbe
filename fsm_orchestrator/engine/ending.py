"""The ends of an invocation, each recorded as durably as possible: closing, failing, crashing."""

from __future__ import annotations

import signal
import traceback
from functools import partial
from typing import TYPE_CHECKING, Any, assert_never

from fsm_orchestrator.constants import SIGNAL_BASE
from fsm_orchestrator.engine.context import RunContext
from fsm_orchestrator.engine.machine import CalledOffError, Fact, RunMachine, Verdict
from fsm_orchestrator.engine.settled import SettledStages
from fsm_orchestrator.errors import OperationError
from fsm_orchestrator.model.endings import AskedFor, stop_reason_of
from fsm_orchestrator.model.problem import Problem
from fsm_orchestrator.processes.interrupts import Interrupts
from fsm_orchestrator.record import closure
from fsm_orchestrator.record.closure import ChangedArtifact, WorkVerdict
from fsm_orchestrator.record.report import Report
from fsm_orchestrator.text.phrases import listed
from fsm_orchestrator.vocabulary import (
    EventName,
    ExitCode,
    Guard,
    Operation,
    Outcome,
    StopReason,
    Trigger,
)

if TYPE_CHECKING:
    from fsm_orchestrator.record.lost_home import LostHome

KEEP_CHECKPOINT = (Operation.CHECKPOINT_PERSIST, Operation.ATTEMPT_END)
"""The operations after whose failure the checkpoint stays unchanged: it cannot be written (unless
the disk was full and space is reserved), or it still names the attempt whose processes are
alive, for the next resume to end."""


class RunEnd:
    """The end of one invocation."""

    def __init__(self, context: RunContext, interrupts: Interrupts) -> None:
        self._context = context
        self._recorder = context.recorder
        self._interrupts = interrupts
        self._is_by_keyboard = False
        self._kept: WorkVerdict | None = None
        self.is_put_right = False
        """True if the run failed because others changed something: its record can still be kept."""
        self.next_task_queue: str | None = None
        """The task queue to which the run is handed over, if any."""

    # -- closing ----------------------------------------------------------------------------

    def are_artifacts_intact(self) -> Verdict:
        """Judge the artifacts of the completed stages once more.

        Artifacts that were changed and kept on purpose let the run be done, but not be closed.
        """
        verdict = self._context.judge_artifacts()
        is_kept = verdict.artifacts.is_good and self._are_kept(verdict.changed)
        self._kept = verdict if is_kept and verdict.changed else None
        if is_kept:
            return Verdict(holds=True)
        self._note_wrong_artifacts(verdict)
        return Verdict(holds=False, why=f"closing refused: {verdict.summary()}")

    def is_nothing_owed(self) -> Verdict:
        """Return whether every other stage that was begun has succeeded, or had nothing to do."""
        from fsm_orchestrator.record.declining import owed_stages  # noqa: PLC0415 - rare

        owed = owed_stages(self._recorder.draft)
        if not owed:
            return Verdict(holds=True)
        return Verdict(holds=False, why=f"closing refused: {listed(owed)} did not succeed")

    def _are_kept(self, changed: tuple[ChangedArtifact, ...]) -> bool:
        kept, mask = self._context.preparation.kept_contents, self._context.masker.mask
        return all((mask(one.name), one.now) in kept for one in changed)

    def guard_failed(self, guard: Guard, error: Exception) -> Verdict:
        """Record that a guard raised an exception, which counts as a refusal."""
        failure = self._context.add_own_failure(
            Operation.CLOSURE_VERIFY,
            f"the guard {guard.value} raised {type(error).__name__}: {error}",
        )
        self._context.log.emit(EventName.CLOSURE_REFUSED, level="error", execution=failure)
        return Verdict(holds=False, why=f"closing refused: the guard {guard.value} failed")

    def visit_done(self, stages: SettledStages) -> None:
        """Record the resume of a run that is done: nothing else happens."""
        self.skip_completed(stages)
        self._context.finish(self.code_of_done())
        self._recorder.keep(partial(self._context.emit_end, Outcome.DONE))
        self._context.forget_secrets()

    def skip_completed(self, stages: SettledStages) -> None:
        """Record that the stages of a run that is done are not run again."""
        draft = self._recorder.draft
        for stage in draft.lifecycle.stages:
            completion = draft.completion_of(stage)
            if completion is not None:
                stages.skip(completion)

    def code_of_done(self) -> ExitCode:
        """Judge the artifacts of a run that is done; return the exit code of the command."""
        try:
            verdict = self._context.judge_artifacts()
        except CalledOffError as request:
            from fsm_orchestrator.model.stop_words import asked_words  # noqa: PLC0415 - rare

            self._context.is_judging_given_up = True
            failure = self._context.add_own_failure(
                Operation.CLOSURE_VERIFY,
                f"{asked_words(request.signum)} while the expected artifacts were judged",
            )
            self._context.log.emit(EventName.CLOSURE_REFUSED, level="error", execution=failure)
            return self.code_by(request.signum)
        if not verdict.is_intact:
            self._note_wrong_artifacts(verdict)
        return ExitCode.DONE if verdict.is_intact else ExitCode.FAILED

    def changes(self, outcome: Outcome, trigger: Trigger) -> dict[str, Any]:
        """Return the fields that end the invocation's record after `trigger` led to `outcome`."""
        if outcome is Outcome.DONE and self._kept is not None:
            self._note_wrong_artifacts(self._kept)
        request = self._decisive(outcome, trigger)
        if request is None:
            return self._context.ending(self._exit_code(outcome))
        ended = {**self._context.ending(_code_of(request)), "stop_reason": stop_reason_of(request)}
        is_over = stop_reason_of(request) is not StopReason.HANDED_OVER
        return ended if is_over else {**ended, "next_task_queue": self.next_task_queue}

    def code_by(self, request: int) -> ExitCode:
        """Record that a request decides how the invocation ends; return its exit code."""
        self._recorder.update_invocation(stop_reason=stop_reason_of(request))
        return _code_of(request)

    @property
    def goes_on_elsewhere(self) -> bool:
        """True if another invocation continues the run, which has not ended."""
        request = self._request
        return request is not None and stop_reason_of(request).goes_on_elsewhere

    @property
    def _request(self) -> int | None:
        """The first request to end, or the handover that came before it."""
        asked = self._interrupts.ever_first
        if self.next_task_queue is None or (asked is not None and stop_reason_of(asked).is_lost):
            return asked
        return AskedFor(signal.SIGTERM, StopReason.HANDED_OVER)

    def _note_wrong_artifacts(self, verdict: WorkVerdict) -> None:
        refusal = closure.refused_execution(
            self._context.run_id, verdict, self._context.masker, at=self._context.now()
        )
        self._recorder.add_execution(refusal)
        self._context.log.emit(EventName.CLOSURE_REFUSED, level="error", execution=refusal)

    def _decisive(self, outcome: Outcome, trigger: Trigger) -> int | None:
        """Return the request that ends the run this way, or None if something else does."""
        is_aborted = outcome is Outcome.FAILED and trigger is Trigger.RUN_ABORTED
        if not is_aborted or self._recorder.is_degraded:
            return None
        is_by_keyboard = self._is_by_keyboard and not self.goes_on_elsewhere
        return signal.SIGINT if is_by_keyboard else self._request

    def _exit_code(self, outcome: Outcome) -> ExitCode:
        match outcome:
            case Outcome.DONE:
                return ExitCode.DONE if self._kept is None else ExitCode.FAILED
            case Outcome.BLOCKED:
                return ExitCode.BLOCKED
            case Outcome.TIMEOUT:
                return ExitCode.TIMEOUT
            case Outcome.FAILED:
                return ExitCode.FAILED
            case _:
                assert_never(outcome)

    # -- handing over -----------------------------------------------------------------------

    def hand_over(self, queue: str) -> Fact:
        """Leave the stage that was entered, and the run, to a task queue; return the fact."""
        self.next_task_queue = queue
        return Fact(Trigger.RUN_ABORTED, f"hands over to task queue {queue}")

    # -- failing ----------------------------------------------------------------------------

    def fail(self, failure: OperationError, machine: RunMachine) -> Report:
        """Fail the run because this program could not do its own part of it."""
        from fsm_orchestrator.engine import interruptions  # noqa: PLC0415 - rare

        self._recorder.is_degraded = True
        self.is_put_right = failure.operation is Operation.CONTROL_VERIFY
        has_room = self._context.make_room(failure)
        interruptions.settle_open_attempts(self._context, f"interrupted: {failure}")
        self._emit_failure(
            failure, execution=self._context.add_own_failure(failure.operation, str(failure))
        )
        outcome = None if self._recorder.draft.is_done else Outcome.FAILED
        self._context.log_record_again()
        try:
            is_kept = failure.operation in KEEP_CHECKPOINT
            if not is_kept or (has_room and failure.operation is Operation.CHECKPOINT_PERSIST):
                self._abort_whole(str(failure), machine, outcome)
                return self._recorder.report(outcome)
        except OperationError as second:
            self._emit_failure(second)
        self._context.finish(ExitCode.FAILED)
        lost = self._recorder.write_report_if_possible(outcome)
        self._context.emit_end(outcome or Outcome.DONE)
        self._context.sync_events()
        self._tell_report(lost)
        return self._recorder.report(outcome)

    def cut_short(self, error: BaseException, machine: RunMachine) -> None:
        """End the run because the calling program raised something through it.

        Raises:
            OperationError: the end cannot be recorded.
        """
        from fsm_orchestrator.engine import interruptions  # noqa: PLC0415 - rare

        draft = self._recorder.draft
        self._context.is_judging_given_up = True
        self.next_task_queue = None
        self._is_by_keyboard = isinstance(error, KeyboardInterrupt)
        cause = f"the calling program raised {type(error).__name__}"
        problem = Problem(cause=f"interrupted: {cause}", details=())
        interruptions.settle_open_attempts(self._context, problem.cause)
        interruptions.take_back_success(self._context, problem)
        if draft.outcome is None or draft.invocation.finished_at is None:
            self._abort(cause, machine, None if draft.is_done else Outcome.FAILED)

    def crash(self, error: Exception) -> None:
        """Record a bug of this program: a traceback in the log, and a report that says failed."""
        from fsm_orchestrator.engine import interruptions  # noqa: PLC0415 - rare

        self._recorder.is_degraded = True
        failure = self._context.add_own_failure(
            Operation.ORCHESTRATOR_RUN, f"internal error: {type(error).__name__}"
        )
        self._context.finish(ExitCode.INTERNAL)
        self._context.log.emit(
            EventName.RUN_CRASHED,
            level="critical",
            traceback=self._context.masker.mask("".join(traceback.format_exception(error))),
            exit_code=int(ExitCode.INTERNAL),
            finished_at=self._recorder.draft.invocation.finished_at,
            execution=failure,
        )
        interruptions.settle_open_attempts(
            self._context, "interrupted: the orchestrator ended with an internal error"
        )
        self._tell_report(self._recorder.write_report_if_possible(Outcome.FAILED))

    def _tell_report(self, lost: LostHome | None) -> None:
        """Log the last report of a run that has lost its directory."""
        if lost is not None:
            self._context.log.emit(
                EventName.REPORT_UNPLACED,
                level="error",
                directory=str(self._context.output_directory),
                is_written=lost.is_written,
                report=lost.report,
            )

    def _abort_whole(self, cause: str, machine: RunMachine, outcome: Outcome | None) -> None:
        """Take the edge for an aborted run, and end the run even if its last stage raises."""
        was_over = self._recorder.draft.outcome is not None
        try:
            self._abort(cause, machine, outcome)
        except OperationError as error:
            if was_over or self._recorder.draft.outcome is None:
                raise  # the record could not be kept
            from fsm_orchestrator.engine import interruptions  # noqa: PLC0415 - rare

            interruptions.settle_open_attempts(self._context, f"interrupted: {error}")
            own = self._context.add_own_failure(error.operation, str(error))
            self._emit_failure(error, execution=own)
            self._abort(str(error), machine, outcome)

    def _abort(self, cause: str, machine: RunMachine, outcome: Outcome | None) -> None:
        """Take the edge for an aborted run; a terminal state has none."""
        if Trigger.RUN_ABORTED in machine.triggers_here:
            machine.fire(Fact(Trigger.RUN_ABORTED, cause))
            return
        self._context.finish(ExitCode.FAILED)
        emit = partial(self._context.emit_end, outcome or Outcome.DONE)
        self._recorder.keep(emit, outcome=outcome)

    def _emit_failure(self, failure: OperationError, **bound: Any) -> None:
        self._context.log.emit(
            EventName.RECORDING_FAILED,
            level="error",
            operation=failure.operation,
            error=str(failure),
            **bound,
        )


def _code_of(request: int) -> ExitCode:
    """Return the exit code of a run that a request has ended."""
    is_elsewhere = stop_reason_of(request).goes_on_elsewhere
    return ExitCode.BUSY if is_elsewhere else ExitCode(SIGNAL_BASE + request)
