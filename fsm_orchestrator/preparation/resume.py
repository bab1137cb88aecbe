"""Prepares a resume: the record that it begins with. Reads, decides, writes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from fsm_orchestrator.config.origins import RUN_KEYS
from fsm_orchestrator.config.run_config import RunConfig
from fsm_orchestrator.config.stage_record import secrets_of
from fsm_orchestrator.config.stage_settings import StageSettings
from fsm_orchestrator.constants import CHECKPOINT_FILE, REPORT_FILE, __version__
from fsm_orchestrator.disk import archive
from fsm_orchestrator.gates.judging import signals_in_force
from fsm_orchestrator.preparation.believing import believed_by
from fsm_orchestrator.preparation.changes_since import attempt_warnings
from fsm_orchestrator.preparation.decision import (
    Decision,
    ResumableRun,
    decide,
    refuse_contradiction,
    resumable_run,
)
from fsm_orchestrator.preparation.kept_signals import outlived_signals
from fsm_orchestrator.preparation.lost_values import (
    refuse_lost_values,
    refuse_unknown_artifacts,
    stages_to_run,
)
from fsm_orchestrator.preparation.preparation import (
    Preparation,
    clock_of,
    new_invocation,
    origins_of,
    output_masker,
    secret_keys,
    secret_values,
)
from fsm_orchestrator.preparation.setting_warnings import setting_warnings
from fsm_orchestrator.preparation.starter import signal_given
from fsm_orchestrator.preparation.terms import may_reach_stages, notices_given
from fsm_orchestrator.record.checkpoint_reader import SavedRun, load_saved
from fsm_orchestrator.record.home import Whereabouts
from fsm_orchestrator.record.unseen import attempts_unseen
from fsm_orchestrator.secrets import private_file
from fsm_orchestrator.stages.artifacts import MayGoOn, always
from fsm_orchestrator.text.digest import sha256_of
from fsm_orchestrator.text.hidden import copyable
from fsm_orchestrator.vocabulary import ExecutionMode, Trigger

if TYPE_CHECKING:
    from fsm_orchestrator.model.evidence import Subject


def prepare_resume(
    config: RunConfig,
    saved: SavedRun | None = None,
    *,
    may_lack_values: bool = False,
    may_go_on: MayGoOn = always,
) -> Preparation:
    """Decide on a resume. Writes nothing.

    `saved` is what the run has left, if the caller has read it already; `may_lack_values` means
    that nothing will be run; `may_go_on` is asked while artifacts are judged.

    Raises:
        CheckpointError: there is no checkpoint, or it cannot be used.
        UsageError: the request contradicts what the run has done.
    """
    saved = saved or load_saved(config.output_path)
    placed = saved
    if saved.where is not Whereabouts.HOME or config.as_copy or config.adopt:
        from fsm_orchestrator.preparation.elsewhere import settled_place  # noqa: PLC0415 - rare

        placed = settled_place(config, saved)
    belief = believed_by(config, saved)
    saved = belief.of(placed)
    preparation = _prepared(config, saved, may_go_on, may_lack_values=may_lack_values)
    preparation = belief.on(preparation._replace(found_sha256=sha256_of(saved.data)))
    if saved.rebuilt is None:
        return preparation._replace(found=saved.as_kept)
    draft = preparation.checkpoint.with_invocation(rebuilt=saved.rebuilt.how)
    return preparation._replace(checkpoint=draft)


def _prepared(
    config: RunConfig, saved: SavedRun, may_go_on: MayGoOn, *, may_lack_values: bool
) -> Preparation:
    run = resumable_run(config, saved, may_go_on)
    if run.masker.knows_any:
        _refuse_shown_secrets(run)
    if any(one.confine is not None for one in run.settings.values()):
        from fsm_orchestrator.preparation.confined import refuse_open_cages  # noqa: PLC0415 - only with a cage

        refuse_open_cages(config.output_path, run.settings)
    where = saved.where
    if run.checkpoint.is_done:
        if not may_lack_values:
            refuse_unknown_artifacts(run.kept.completed)
        refuse_contradiction(run)
        _kept_subject(run)
        if not where.is_home:
            from fsm_orchestrator.preparation.elsewhere import refuse_to_judge_elsewhere  # noqa: PLC0415 - rare

            refuse_to_judge_elsewhere(run, where)
        from fsm_orchestrator.preparation.visit import prepare_visit  # noqa: PLC0415 - only of a done run

        warnings = (
            *_rebuilding_warnings(saved, config.output_path),
            *setting_warnings(config, run.settings, run.checkpoint.lifecycle),
            *_place_warnings(run, where),
            *_report_warnings(run),
        )
        return prepare_visit(run, where, warnings, may_lack_values=may_lack_values)
    if not may_lack_values:
        refuse_unknown_artifacts(_not_in(run.kept.completed, run.config.rerun))
    decision = decide(run)
    warnings = (
        *_rebuilding_warnings(saved, config.output_path),
        *setting_warnings(config, run.settings, run.checkpoint.lifecycle),
        *_place_warnings(run, where),
    )
    run = _keep_completed_settings(run, decision.rerun)
    if not may_lack_values and may_reach_stages(run):
        refuse_lost_values(run.settings, stages_to_run(run.checkpoint, decision.rerun))
    elif not may_lack_values and run.checkpoint.lifecycle.finally_stage is not None:
        from fsm_orchestrator.record.last_stage import due_at_end  # noqa: PLC0415 - most have none

        due = due_at_end(run.checkpoint)
        refuse_lost_values(run.settings, () if due is None else (due,))
    return _prepare_continuation(run, decision, warnings, where)


def _refuse_shown_secrets(run: ResumableRun) -> None:
    """Refuse names that hold the value of a secret, also those that are kept.

    Raises:
        UsageError: one does.
    """
    from fsm_orchestrator.preparation.shown_secrets import refuse_shown_secrets  # noqa: PLC0415 - only with a secret

    config, kept = run.config, run.checkpoint
    number = kept.invocation.last_number + 1
    origins = origins_of(config, kept.origins, number, (run.kept.stages, run.settings))
    values = {**run.kept.secrets, **secret_values(run.settings)}
    refuse_shown_secrets(config, kept.lifecycle, run.settings, origins, values, run.masker)


def _not_in(
    settings: Mapping[str, StageSettings], stages: tuple[str, ...]
) -> dict[str, StageSettings]:
    return {stage: one for stage, one in settings.items() if stage not in stages}


def _rebuilding_warnings(saved: SavedRun, output: Path) -> tuple[str, ...]:
    """Warn that the record is not the one in its checkpoint."""
    return () if saved.rebuilt is None else (saved.rebuilt.sentence(output / CHECKPOINT_FILE),)


def _place_warnings(run: ResumableRun, where: Whereabouts) -> tuple[str, ...]:
    if where.is_home:
        return ()
    from fsm_orchestrator.preparation.elsewhere import place_warnings  # noqa: PLC0415 - rare

    return place_warnings(run, where)


def _report_warnings(run: ResumableRun) -> tuple[str, ...]:
    """Warn that the report in the directory is of another run than its checkpoint."""
    output, run_id = run.config.output_path, run.checkpoint.run_id
    other = archive.other_run_reported(output, run_id)
    if other is None or other in {one.run_id for one in run.checkpoint.home.copied_from}:
        return ()
    path = output / REPORT_FILE
    said = (
        f"{copyable(path)} is of another run, {other}: this resume is of {run_id}, and"
        " archives it first"
    )
    return (said,)


def _keep_completed_settings(run: ResumableRun, rerun: tuple[str, ...]) -> ResumableRun:
    """Give each skipped stage the settings it completed with, whatever was given now."""
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


def _kept_subject(run: ResumableRun) -> Subject | None:
    """Return the subject that the run began with.

    Raises:
        UsageError: a different one is given now.
    """
    if run.config.subject is None:
        return run.checkpoint.subject
    from fsm_orchestrator.preparation.asked_about import kept_subject  # noqa: PLC0415 - rare

    return kept_subject(run.config, run.checkpoint.subject)


def _prepare_continuation(
    run: ResumableRun, decision: Decision, warnings: tuple[str, ...], where: Whereabouts
) -> Preparation:
    config, found = run.config, run.checkpoint
    subject, sources = _kept_subject(run), found.sources
    if sources or config.sources:
        from fsm_orchestrator.preparation.asked_about import sources_in_force  # noqa: PLC0415 - rare

        sources = sources_in_force(config, sources, found.lifecycle.gates, found.gate_signals)
    clock = clock_of(config)
    settled = attempts_unseen(found)
    number = found.invocation.last_number + 1
    given_now = signal_given(config, clock, number, run.masker)
    gates = found.lifecycle.gates
    signals = signals_in_force(
        gates, config.gates, found.gate_signals, config.gate_sources, given_now
    )
    origins = origins_of(config, found.origins, number, (run.kept.stages, run.settings))
    to_run = _to_run(run, decision.rerun)
    invocation = new_invocation(
        number,
        ExecutionMode.RESUME,
        clock,
        warnings=run.masker.mask_all(
            (
                *warnings,
                *_report_warnings(run),
                *decision.warnings,
                *_input_warnings(run),
                *outlived_signals(gates, signals, to_run, origins, clock),
                *attempt_warnings(run, settled, to_run),
            )
        ),
        rerun=tuple(stage for stage in decision.rerun if found.completion_of(stage) is not None),
    )
    has_secrets = bool(run.private.stages)
    # Otherwise that file is the other directory's.
    kept_ref = found.private_ref if where.has_values else None
    new_ref = private_file.new_private_ref() if has_secrets or kept_ref else None
    given = {key: getattr(config, key) for key in RUN_KEYS} | {"notify": notices_given(config)}
    draft = settled.begun(invocation).model_copy(
        update={
            "version": __version__,
            # The holder of the previous epoch may still write to its private file.
            "private_ref": new_ref if where is Whereabouts.HANDED_ON else kept_ref or new_ref,
            "secret_keys": _with(found.secret_keys, secret_keys(run.records)),
            "gate_signals": signals,
            "sources": sources,
            "subject": subject,
            "origins": origins,
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
        leftovers=found.open_attempts,
        # Even if no stage has secrets any longer: those that were kept must not come back.
        private=run.private if has_secrets or kept_ref else None,
        is_copy=not where.has_processes,
        kept_changes=decision.kept_changes,
    )


def _with(known: tuple[str, ...], new: tuple[str, ...]) -> tuple[str, ...]:
    """Return the known names and then the new ones, each once."""
    return tuple(dict.fromkeys((*known, *new)))


def _input_warnings(run: ResumableRun) -> Iterator[str]:
    """Warn of files that have changed, and name what is adopted of a lifecycle."""
    if run.checkpoint.origins.files or run.replaced_lifecycle is not None:
        from fsm_orchestrator.preparation import inputs  # noqa: PLC0415 - reads config files

        yield from inputs.input_warnings(run)


def _to_run(run: ResumableRun, rerun: tuple[str, ...]) -> tuple[str, ...]:
    """Return the stages that have work, in the lifecycle's order."""
    return tuple(
        stage
        for stage in run.checkpoint.lifecycle.stages
        if stage in run.settings and (stage in rerun or run.checkpoint.completion_of(stage) is None)
    )
