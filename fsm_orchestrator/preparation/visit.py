"""Prepares the visit of a run that is done: nothing of it runs again."""

from __future__ import annotations

from fsm_orchestrator.constants import __version__
from fsm_orchestrator.preparation.decision import ResumableRun
from fsm_orchestrator.preparation.lost_values import refuse_lost_values
from fsm_orchestrator.preparation.preparation import (
    Preparation,
    clock_of,
    new_invocation,
    output_masker,
)
from fsm_orchestrator.preparation.terms import closing_given
from fsm_orchestrator.record.checkpoint import Checkpoint
from fsm_orchestrator.record.home import Whereabouts
from fsm_orchestrator.record.unseen import attempts_unseen
from fsm_orchestrator.vocabulary import ExecutionMode


def prepare_visit(
    run: ResumableRun, where: Whereabouts, warnings: tuple[str, ...], *, may_lack_values: bool
) -> Preparation:
    """Prepare a visit, which does nothing but record that every completed stage is skipped.

    The exception is the stage that always runs, if the run was left before that was over.

    Raises:
        UsageError: that stage is to run, and its values are no longer all known.
    """
    config, checkpoint = run.config, attempts_unseen(run.checkpoint)
    settings = dict(run.kept.stages)
    due = _due(checkpoint)
    if due is not None and due in run.settings:
        if not may_lack_values:
            refuse_lost_values(run.settings, (due,))
        settings[due] = run.settings[due]
        records = {**checkpoint.stages, due: run.records[due]}
        checkpoint = checkpoint.model_copy(update={"stages": records})
    clock = clock_of(config)
    visit = new_invocation(
        checkpoint.invocation.last_number + 1,
        ExecutionMode.RESUME,
        clock,
        warnings=run.masker.mask_all(warnings),
    )
    return Preparation(
        config=config,
        clock=clock,
        masker=run.masker,
        output_masker=output_masker(run.masker, run.kept.stages, run.settings),
        checkpoint=checkpoint.begun(visit).model_copy(
            update={"version": __version__, **closing_given(config)}
        ),
        settings=settings,
        first_trigger=None,
        leftovers=run.checkpoint.open_attempts,
        # A kill may have come between the end of the run and the removal of what it kept.
        private=run.private if run.private.stages and where.has_values else None,
        is_copy=not where.has_processes,
    )


def _due(checkpoint: Checkpoint) -> str | None:
    if checkpoint.lifecycle.finally_stage is None:
        return None
    from fsm_orchestrator.record.last_stage import due_in_visit  # noqa: PLC0415 - most have none

    return due_in_visit(checkpoint)
