"""Preparing a resume: the record that it begins with. Reads, decides, writes nothing."""

from __future__ import annotations

from dataclasses import replace

from fsm_orchestrator.config.run_config import RunConfig
from fsm_orchestrator.config.stage_record import secrets_of
from fsm_orchestrator.disk import archive
from fsm_orchestrator.gates.judging import signals_in_force
from fsm_orchestrator.preparation.changes_since import attempt_warnings
from fsm_orchestrator.preparation.decision import (
    Decision,
    ResumableRun,
    decide,
    refuse_contradiction,
    refuse_lost_values,
    resumable_run,
)
from fsm_orchestrator.preparation.preparation import (
    Preparation,
    clock_of,
    new_invocation,
    setting_warnings,
)
from fsm_orchestrator.record.checkpoint_reader import SavedRun, load_saved
from fsm_orchestrator.secrets import private_file
from fsm_orchestrator.vocabulary import REPORT_FILE, ExecutionMode, Trigger, __version__


def prepare_resume(config: RunConfig, saved: SavedRun | None = None) -> Preparation:
    """Decide on a resume. Writes nothing.

    `saved` is what the run has left, if the caller has read it already.

    Raises:
        CheckpointError: there is no checkpoint, or it cannot be used.
        UsageError: the request contradicts what the run has done.
    """
    run = resumable_run(config, saved or load_saved(config.output_path))
    if run.checkpoint.is_done:
        refuse_contradiction(run)
        return _prepare_done(run)
    decision = decide(run)
    warnings = setting_warnings(run.settings)
    run = _keep_completed_settings(run, decision.rerun)
    refuse_lost_values(run, decision.rerun)
    return _prepare_continuation(run, decision, warnings)


def _report_warnings(run: ResumableRun) -> tuple[str, ...]:
    """Warn that the report in the directory is another run's than its checkpoint."""
    output, run_id = run.config.output_path, run.checkpoint.run_id
    other = archive.other_run_reported(output, run_id)
    if other is None:
        return ()
    path = output / REPORT_FILE
    said = f"{path} is of another run, {other}: this resume is of {run_id}, and archives it first"
    return (said,)


def _keep_completed_settings(run: ResumableRun, rerun: tuple[str, ...]) -> ResumableRun:
    """Give each stage that is skipped the settings it completed with, whatever was given now."""
    skipped = [one for one in run.checkpoint.completed if one.stage not in rerun]
    records = {one.stage: one.settings for one in skipped}
    kept = {one.stage: run.kept[one.stage] for one in skipped if one.stage in run.kept}
    settings = {**run.settings, **kept}
    return replace(
        run,
        settings=settings,
        records={**run.records, **records},
        private=run.private.model_copy(update={"stages": secrets_of(settings)}),
    )


def _prepare_done(run: ResumableRun) -> Preparation:
    """Prepare a visit, which does nothing but record that every completed stage is skipped."""
    config, checkpoint = run.config, run.checkpoint
    clock = clock_of(config)
    visit = new_invocation(
        checkpoint.invocation.last_number + 1,
        ExecutionMode.RESUME,
        clock,
        warnings=(*setting_warnings(run.settings), *_report_warnings(run)),
    )
    return Preparation(
        config=config,
        clock=clock,
        masker=run.masker,
        checkpoint=checkpoint.begun(visit).model_copy(update={"version": __version__}),
        settings=run.kept,
        first_trigger=None,
        # A kill may have come between the end of the run and the end of what it kept.
        private=run.private if run.private.stages else None,
    )


def _prepare_continuation(
    run: ResumableRun, decision: Decision, warnings: tuple[str, ...]
) -> Preparation:
    config, found = run.config, run.checkpoint
    clock = clock_of(config)
    settled = found.attempt_interrupted(
        error="interrupted: its orchestrator ended without recording how it ended"
    )
    to_run = [
        stage
        for stage in run.records
        if stage in decision.rerun or found.completion_of(stage) is None
    ]
    differing = attempt_warnings(run, settled, to_run)
    invocation = new_invocation(
        found.invocation.last_number + 1,
        ExecutionMode.RESUME,
        clock,
        warnings=(*warnings, *_report_warnings(run), *decision.warnings, *differing),
        rerun=tuple(stage for stage in decision.rerun if found.completion_of(stage) is not None),
    )
    has_secrets = bool(run.private.stages)
    new_ref = private_file.new_private_ref() if has_secrets else None
    given = {key: getattr(config, key) for key in ("timeout_ms", "kill_grace_ms", "on_leak")}
    draft = settled.begun(invocation).model_copy(
        update={
            "version": __version__,
            "private_ref": found.private_ref or new_ref,
            "gate_signals": signals_in_force(config.gates, found.gate_signals, config.gate_sources),
            **{key: value for key, value in given.items() if value is not None},
            "stages": dict(run.records),
        }
    )
    return Preparation(
        config=config,
        clock=clock,
        masker=run.masker,
        checkpoint=draft,
        settings=run.settings,
        first_trigger=Trigger.RESUME,
        leftover=found.open_attempt,
        # Also where no stage has secrets any more: those that were kept are not to come back.
        private=run.private if has_secrets or found.private_ref else None,
        kept_changes=decision.kept_changes,
    )
