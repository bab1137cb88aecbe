"""Preparing the visit of a run that is done: nothing of it runs again."""

from __future__ import annotations

from fsm_orchestrator.constants import __version__
from fsm_orchestrator.errors import UsageError
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
from fsm_orchestrator.record.closure import judge_artifacts
from fsm_orchestrator.stages.artifacts import JudgingCutShortError
from fsm_orchestrator.text.hidden import copyable
from fsm_orchestrator.vocabulary import ExecutionMode, Whereabouts


def refuse_to_judge_elsewhere(run: ResumableRun, where: Whereabouts) -> None:
    """Refuse to record of a done run that was moved that artifacts are wrong which did not come.

    Raises:
        UsageError: there are some; the report, which says what was true, stays as it is.
    """
    home, output = run.checkpoint.home, str(run.config.output_path)
    if where is Whereabouts.HOME or home.directory == output:
        return
    try:
        verdict = judge_artifacts(run.checkpoint, run.kept.completed, may_go_on=run.may_go_on)
    except JudgingCutShortError as error:
        raise UsageError(
            f"the run is done, and its directory came here from {copyable(home.directory)};"
            " whether its"
            " artifacts did, was not judged to the end, for that was to end",
            remedy="resume again; nothing was written",
        ) from error
    if not verdict.is_intact:
        raise UsageError(
            f"the run is done, and its directory came here from {copyable(home.directory)}, but"
            " not all of"
            f" its artifacts did: {run.masker.mask(verdict.summary())}",
            remedy="put them there, or the directory back where it was; nothing was written",
        )


def prepare_visit(
    run: ResumableRun, where: Whereabouts, warnings: tuple[str, ...], *, may_lack_values: bool
) -> Preparation:
    """Prepare a visit, which does nothing but record that every completed stage is skipped.

    But for the stage that always runs, where the run was left before that was over.

    Raises:
        UsageError: that stage is to run, and values of it are not known any more.
    """
    config, checkpoint = run.config, run.checkpoint.attempts_unseen()
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
    is_copy = where is Whereabouts.COPIED
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
        # A kill may have come between the end of the run and the end of what it kept.
        private=run.private if run.private.stages and not is_copy else None,
        is_copy=is_copy,
    )


def _due(checkpoint: Checkpoint) -> str | None:
    if checkpoint.lifecycle.finally_stage is None:
        return None
    from fsm_orchestrator.record.last_stage import due_in_visit  # noqa: PLC0415 - most have none

    return due_in_visit(checkpoint)
