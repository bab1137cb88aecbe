"""Preparing a resume: the record that it begins with. Reads, decides, writes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from fsm_orchestrator.config.run_config import RunConfig
from fsm_orchestrator.config.stage_record import secrets_of
from fsm_orchestrator.config.stage_settings import StageSettings
from fsm_orchestrator.gates.judging import GateSignal, have_passed, judge, signals_in_force
from fsm_orchestrator.preparation.decision import (
    Decision,
    ResumableRun,
    decide,
    refuse_contradiction,
    resumable_run,
)
from fsm_orchestrator.preparation.lost_values import (
    refuse_lost_values,
    refuse_unknown_artifacts,
    stages_to_run,
)
from fsm_orchestrator.preparation.preparation import (
    Preparation,
    clock_of,
    new_invocation,
    output_masker,
    secret_keys,
    setting_warnings,
)
from fsm_orchestrator.record.checkpoint_reader import SavedRun, load_saved
from fsm_orchestrator.secrets import private_file
from fsm_orchestrator.vocabulary import (
    MANDATORY_GATES,
    ExecutionMode,
    GatesGuard,
    Trigger,
    __version__,
)


def prepare_resume(
    config: RunConfig, saved: SavedRun | None = None, *, may_lack_values: bool = False
) -> Preparation:
    """Decide on a resume. Writes nothing.

    `saved` is what the run has left, if the caller has read it already; `may_lack_values` says
    that nothing will be run.

    Raises:
        CheckpointError: there is no checkpoint, or it cannot be used.
        UsageError: the request contradicts what the run has done.
    """
    run = resumable_run(config, saved or load_saved(config.output_path))
    if run.checkpoint.is_done:
        if not may_lack_values:
            refuse_unknown_artifacts(run.kept.completed)
        refuse_contradiction(run)
        return _prepare_done(run)
    if not may_lack_values:
        refuse_unknown_artifacts(_not_in(run.kept.completed, run.config.rerun))
    decision = decide(run)
    warnings = setting_warnings(config, run.settings)
    run = _keep_completed_settings(run, decision.rerun)
    signals = signals_in_force(config.gates, run.checkpoint.gate_signals, config.gate_sources)
    if not may_lack_values and _may_reach_stages(run, signals):
        refuse_lost_values(run.settings, stages_to_run(run.checkpoint, decision.rerun))
    return _prepare_continuation(run, decision, warnings, signals)


def _not_in(
    settings: Mapping[str, StageSettings], stages: tuple[str, ...]
) -> dict[str, StageSettings]:
    return {stage: one for stage, one in settings.items() if stage not in stages}


def _may_reach_stages(run: ResumableRun, signals: tuple[GateSignal, ...]) -> bool:
    """Return whether a stage can be run: not where the gates before them all refuse."""
    guards_stages = run.checkpoint.lifecycle.gates_guard is GatesGuard.STAGES
    return not guards_stages or have_passed(judge(signals), MANDATORY_GATES)


def _keep_completed_settings(run: ResumableRun, rerun: tuple[str, ...]) -> ResumableRun:
    """Give each stage that is skipped the settings it completed with, whatever was given now."""
    skipped = [one for one in run.checkpoint.completed if one.stage not in rerun]
    records = {one.stage: one.settings for one in skipped}
    stages = run.kept.stages
    kept = {one.stage: stages[one.stage] for one in skipped if one.stage in stages}
    settings = {**run.settings, **kept}
    return replace(
        run,
        settings=settings,
        records={**run.records, **records},
        private=run.private.model_copy(
            update={"stages": secrets_of(settings, with_secrets=run.private.keeps_secrets)}
        ),
    )


def _prepare_done(run: ResumableRun) -> Preparation:
    """Prepare a visit, which does nothing but record that every completed stage is skipped."""
    config, checkpoint = run.config, run.checkpoint
    clock = clock_of(config)
    visit = new_invocation(
        len(checkpoint.invocations) + 1,
        ExecutionMode.RESUME,
        clock,
        warnings=run.masker.mask_all(setting_warnings(config, run.settings)),
    )
    return Preparation(
        config=config,
        clock=clock,
        masker=run.masker,
        output_masker=output_masker(run.masker, run.kept.stages, run.settings),
        checkpoint=checkpoint.begun(visit).model_copy(update={"version": __version__}),
        settings=run.kept.stages,
        first_trigger=None,
        # A kill may have come between the end of the run and the end of what it kept.
        private=run.private if run.private.stages else None,
    )


def _prepare_continuation(
    run: ResumableRun,
    decision: Decision,
    warnings: tuple[str, ...],
    signals: tuple[GateSignal, ...],
) -> Preparation:
    config, found = run.config, run.checkpoint
    clock = clock_of(config)
    settled = found.attempt_interrupted(
        error="interrupted: its orchestrator ended without recording how it ended"
    )
    invocation = new_invocation(
        len(found.invocations) + 1,
        ExecutionMode.RESUME,
        clock,
        warnings=run.masker.mask_all((*warnings, *decision.warnings)),
        rerun=tuple(stage for stage in decision.rerun if found.completion_of(stage) is not None),
    )
    has_secrets = bool(run.private.stages)
    new_ref = private_file.new_private_ref() if has_secrets else None
    given = {key: getattr(config, key) for key in ("timeout_ms", "kill_grace_ms", "on_leak")}
    draft = settled.begun(invocation).model_copy(
        update={
            "version": __version__,
            "private_ref": found.private_ref or new_ref,
            "secret_keys": _with(found.secret_keys, secret_keys(run.records)),
            "gate_signals": signals,
            **{key: value for key, value in given.items() if value is not None},
            "stages": dict(run.records),
        }
    )
    return Preparation(
        config=config,
        clock=clock,
        masker=run.masker,
        output_masker=output_masker(run.masker, run.kept.stages, run.settings),
        checkpoint=draft,
        settings=run.settings,
        first_trigger=Trigger.RESUME,
        leftover=found.open_attempt,
        # Also where no stage has secrets any more: those that were kept are not to come back.
        private=run.private if has_secrets or found.private_ref else None,
        kept_changes=decision.kept_changes,
    )


def _with(known: tuple[str, ...], new: tuple[str, ...]) -> tuple[str, ...]:
    """Return names that are known and new ones behind them, each once."""
    return tuple(dict.fromkeys((*known, *new)))
