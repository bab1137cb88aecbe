"""The stage that always runs: entered when the run has ended, with an outcome that is fixed.

The end of the run is durable before the stage begins, together with its attempt, and is reported
once the stage is over. Loaded only for lifecycles that have such a stage.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from fsm_orchestrator.engine.at_end import AtEnd
from fsm_orchestrator.engine.beginnings import Beginnings
from fsm_orchestrator.engine.context import RunContext
from fsm_orchestrator.engine.ending import RunEnd
from fsm_orchestrator.engine.enter_stage import EnterStage
from fsm_orchestrator.engine.settled import SettledStages
from fsm_orchestrator.model.execution import StageExecution
from fsm_orchestrator.model.open_attempt import AttemptRecord
from fsm_orchestrator.processes.interrupts import Interrupts
from fsm_orchestrator.record import last_stage
from fsm_orchestrator.vocabulary import ExitCode, Outcome, StageStatus, Trigger

OUTCOME_VARIABLE: Final = "ORCHESTRATOR_OUTCOME"
CAUSE_VARIABLE: Final = "ORCHESTRATOR_CAUSE"
CAUSE_CHARACTERS_MAX: Final = 4000
"""The maximum length of a cause, in characters: it may list many artifacts, and the kernel limits
the environment of a process."""


class Finishing:
    """The last stage of an invocation."""

    def __init__(
        self,
        context: RunContext,
        interrupts: Interrupts,
        stages: EnterStage,
        settled: SettledStages,
        beginnings: Beginnings,
        end: RunEnd,
    ) -> None:
        self._context = context
        self._recorder = context.recorder
        self._settings = context.preparation.settings
        self._interrupts = interrupts
        self._stages = stages
        self._settled = settled
        self._beginnings = beginnings
        self._end = end

    def is_due(self) -> bool:
        """Return whether the stage is to run now that the draft has ended; warn if it cannot.

        A run whose record cannot be kept starts nothing more, and one that the calling program ends
        leaves at once. Files of the run that a stage changed have been put back by now. A run that
        continues elsewhere has not ended.
        """
        if self._end.goes_on_elsewhere:
            return False
        is_kept = not self._recorder.is_degraded or self._end.is_put_right
        if not is_kept or self._context.is_judging_given_up:
            return False
        stage = last_stage.due_at_end(self._recorder.draft)
        if stage is None or stage in self._settings:
            return stage is not None
        passed_over = (*self._recorder.draft.invocation.passed_over, stage)
        self._recorder.update_invocation(passed_over=tuple(dict.fromkeys(passed_over)))
        warning = f"stage {stage!r} has no binary and was passed over"
        self._context.warn(warning, stage=stage, is_passed_over=True)
        return False

    def begin(self) -> AttemptRecord:
        """Begin the stage's attempt in the draft, to be kept together with the end of the run."""
        return self._beginnings.at_end(self._stage)

    def run(self) -> None:
        """Run the stage, and record the end of the invocation.

        Raises:
            OperationError: a record could not be made durable; no process is left alive.
        """
        taken = self._recorder.draft.invocation.transitions[-1]
        is_short = taken.trigger is Trigger.RUN_ABORTED and self._interrupts.first is not None
        if is_short:
            self._interrupts.answer()
        execution = self._run(taken.cause, is_short=is_short)
        outcome = self._outcome
        code = self._code(execution)
        if code is None:
            self._recorder.update_invocation(**self._end.changes(outcome, taken.trigger))
            self._keep_end(outcome)
        else:
            self._settle(code)

    def visit(self) -> bool:
        """Run the stage in a done run in which it was not over; return False if it was over."""
        if last_stage.due_in_visit(self._recorder.draft) not in self._settings:
            return False
        self._end.skip_completed(self._settled)
        taken = list(self._recorder.draft.transitions)
        cause = taken[-1].cause if taken else "the run was done before"
        execution = self._run(cause, is_short=False)
        code = self._code(execution)
        self._settle(self._end.code_of_done() if code is None else code)
        return True

    @property
    def _stage(self) -> str:
        stage = self._recorder.draft.lifecycle.finally_stage
        assert stage is not None  # noqa: S101 - or this were not here
        return stage

    @property
    def _outcome(self) -> Outcome:
        outcome = self._recorder.draft.outcome
        assert outcome is not None  # noqa: S101 - it has ended
        return outcome

    def _run(self, cause: str, *, is_short: bool) -> StageExecution:
        told = {
            OUTCOME_VARIABLE: self._outcome.value,
            CAUSE_VARIABLE: cause[:CAUSE_CHARACTERS_MAX],
        }
        allowance = self._context.allowance
        is_short = is_short or (allowance is not None and allowance.is_over)
        execution = self._stages.run_at_end(self._stage, AtEnd(told, is_short))
        if not (execution.status.is_good or last_stage.counts(self._recorder.draft)):
            what = execution.status.value if execution.problem is None else execution.problem.cause
            self._context.warn(
                f"stage {self._stage!r}, which always runs, did not succeed when the run had ended"
                f" ({self._outcome.value}): {what}",
                stage=self._stage,
            )
        return execution

    def _code(self, execution: StageExecution) -> ExitCode | None:
        """Return the exit code that the last stage gives the run, or None to leave it unchanged.

        The outcome does not change; the artifacts are judged once more because the stage may have
        touched them.
        """
        asked = self._interrupts.first
        if self._outcome is not Outcome.DONE and not self._end.goes_on_elsewhere:
            return None
        if execution.status is StageStatus.INTERRUPTED and asked is not None:
            self._context.is_judging_given_up = True
            return self._end.code_by(asked)
        if self._outcome is not Outcome.DONE:
            return None
        code = self._end.code_of_done()
        is_bad = not execution.status.is_good and last_stage.counts(self._recorder.draft)
        return ExitCode.FAILED if is_bad and code is ExitCode.DONE else code

    def _settle(self, code: ExitCode) -> None:
        """Record the end of the invocation."""
        outcome = self._outcome
        self._context.finish(code)
        self._keep_end(outcome)

    def _keep_end(self, outcome: Outcome) -> None:
        self._recorder.keep(partial(self._context.emit_end, outcome))
        is_over = last_stage.due_in_visit(self._recorder.draft) is None
        if outcome is Outcome.DONE and is_over:
            self._context.forget_secrets()
