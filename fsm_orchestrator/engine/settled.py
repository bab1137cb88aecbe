"""Stages that need no attempt: those already complete, or without a binary."""

from __future__ import annotations

from fsm_orchestrator.engine.context import RunContext
from fsm_orchestrator.engine.machine import Fact
from fsm_orchestrator.preparation.foreseen import foreseen_failure
from fsm_orchestrator.record.completion import Completion
from fsm_orchestrator.vocabulary import EventName, Trigger


class SettledStages:
    """The stages of an invocation that are skipped or passed over, and a check of later ones."""

    def __init__(self, context: RunContext) -> None:
        self._context = context
        self._preparation = context.preparation
        self._recorder = context.recorder
        self._has_started_one = False

    def fact_of(self, stage: str) -> Fact | None:
        """Skip a complete stage or pass one over, and return the fact; None if it is to be run."""
        draft = self._recorder.draft
        completion = draft.completion_of(stage)
        if completion is not None:
            self.skip(completion)
            cause = f"{stage} skipped: completed by attempt {completion.attempt}"
            return Fact(Trigger.STAGE_SUCCEEDED, cause)
        if stage in self._preparation.settings:
            return None
        warning = f"stage {stage!r} has no binary and was passed over"
        passed_over = (*draft.invocation.passed_over, stage)
        self._recorder.update_invocation(passed_over=tuple(dict.fromkeys(passed_over)))
        self._context.warn(warning, stage=stage, is_passed_over=True)
        return Fact(Trigger.STAGE_SUCCEEDED, warning)

    def warn_of_later(self, first: str) -> None:
        """Warn, before the first stage starts, of later stages that could not start now."""
        if self._has_started_one:
            return
        self._has_started_one = True
        draft = self._recorder.draft
        for stage in draft.lifecycle.stages_from(first):
            is_here = stage in draft.lifecycle.stages_in(first)
            if is_here or stage not in self._preparation.settings:
                continue
            is_complete = draft.completion_of(stage) is not None
            failure = None if is_complete else foreseen_failure(self._preparation, stage)
            if failure is not None:
                self._context.warn(
                    f"stage {stage!r} would fail as things are now: {failure.problem.sentence}",
                    stage=stage,
                )

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
