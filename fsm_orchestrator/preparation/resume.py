"""What a resume would do: which stages are complete, which settings count, what is refused.

A stage that is complete is skipped, but never silently under other settings than those it
completed with, and never without its artifacts. Pure: reads, decides, writes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from fsm_orchestrator.config.run_config import RunConfig
from fsm_orchestrator.config.stage_record import differences, secrets_of
from fsm_orchestrator.config.stage_settings import StageSettings
from fsm_orchestrator.errors import UsageError
from fsm_orchestrator.gates.judging import signals_in_force
from fsm_orchestrator.preparation.preparation import Preparation, clock_of, new_invocation
from fsm_orchestrator.preparation.resumable_run import ResumableRun, read_resumable_run
from fsm_orchestrator.record.checkpoint import Completion
from fsm_orchestrator.secrets import private_file
from fsm_orchestrator.stages.artifacts import judge
from fsm_orchestrator.text.phrases import option_prefix
from fsm_orchestrator.vocabulary import ExecutionMode, OnChangedStage, Trigger, __version__


def prepare_resume(config: RunConfig) -> Preparation:
    """Decide on a resume. Writes nothing.

    Raises:
        CheckpointError: there is no checkpoint, or it cannot be used.
        UsageError: the request contradicts what the run has done.
    """
    kept_run = read_resumable_run(config)
    if kept_run.is_done:
        _refuse_contradiction(kept_run)
        return _prepare_done(kept_run)
    changed = _changed_stages(kept_run)
    rerun = _stages_to_rerun(kept_run, changed)
    kept_run = _keep_completed_settings(kept_run, rerun)
    _refuse_lost_values(kept_run, rerun)
    return _prepare_continuation(kept_run, rerun)


def _changes_of(kept_run: ResumableRun, completion: Completion) -> tuple[str, ...]:
    """How a completed stage differs from what it completed with, its artifacts included."""
    now = kept_run.records.get(completion.stage)
    changes = () if now is None else differences(completion.settings, now, kept_run.masker)
    exact = kept_run.kept.get(completion.stage)
    changes = (*changes, *_hidden_changes(exact, kept_run.settings.get(completion.stage), changes))
    expected = (exact or completion.settings).expected_artifacts
    verdict = judge(expected, None, allow_stale=True)
    if verdict.is_good:
        return changes
    return (*changes, f"artifacts: {kept_run.masker.mask_path(verdict.summary())}")


def _hidden_changes(
    then: StageSettings | None, now: StageSettings | None, shown: tuple[str, ...]
) -> tuple[str, ...]:
    """What differs and looks alike where it is shown, for both are masked."""
    if then is None or now is None or shown:
        return ()
    return tuple(
        f"{name}: not what it completed with, in a part that is not shown"
        for name in ("command", "args", "cwd", "expected_artifacts")
        if getattr(then, name) != getattr(now, name)
    )


def _completions(kept_run: ResumableRun) -> tuple[Completion, ...]:
    found = map(kept_run.checkpoint.completion_of, kept_run.checkpoint.lifecycle.stages)
    return tuple(completion for completion in found if completion is not None)


def _changed_stages(kept_run: ResumableRun) -> dict[str, tuple[str, ...]]:
    """The completed stages that differ, and how, less those that are to run again anyway."""
    rerun = _stages_after(kept_run, kept_run.config.rerun)
    changed = {
        completion.stage: _changes_of(kept_run, completion)
        for completion in _completions(kept_run)
        if completion.stage not in rerun
    }
    changed = {stage: changes for stage, changes in changed.items() if changes}
    if changed and kept_run.config.on_changed_stage is OnChangedStage.REFUSE:
        raise UsageError(
            "cannot resume: a completed stage is not what it was when it completed\n"
            + _listing(kept_run, changed),
            remedy="--on-changed-stage keep skips it all the same, --on-changed-stage rerun"
            " runs it and all stages after it again",
        )
    return changed


def _listing(kept_run: ResumableRun, changed: Mapping[str, tuple[str, ...]]) -> str:
    lines = []
    for stage, changes in changed.items():
        completion = kept_run.checkpoint.completion_of(stage)
        by = "" if completion is None else f" (completed by attempt {completion.attempt})"
        lines.append(f"  {stage}{by}:")
        lines += [f"    {change}" for change in changes]
    return "\n".join(lines)


def _stages_after(kept_run: ResumableRun, stages: tuple[str, ...]) -> tuple[str, ...]:
    """The given stages and all after them.

    Raises:
        UsageError: the lifecycle has no such stage.
    """
    declared = kept_run.checkpoint.lifecycle
    for stage in stages:
        if stage not in declared.stages:
            raise UsageError(
                f"--rerun {stage}: the lifecycle {declared.name!r} has no such stage",
                remedy=f"its stages are {', '.join(declared.stages)}",
            )
    after = {name for stage in stages for name in declared.stages_from(stage)}
    return tuple(name for name in declared.stages if name in after)


def _stages_to_rerun(
    kept_run: ResumableRun, changed: Mapping[str, tuple[str, ...]]
) -> tuple[str, ...]:
    stages = kept_run.config.rerun
    if kept_run.config.on_changed_stage is OnChangedStage.RERUN:
        stages = (*stages, *changed)
    else:
        kept_run.warnings.extend(
            f"stage {stage!r} is skipped although it is not what it was when it completed: {change}"
            for stage, changes in changed.items()
            for change in changes
        )
    return _stages_after(kept_run, stages)


def _keep_completed_settings(kept_run: ResumableRun, rerun: tuple[str, ...]) -> ResumableRun:
    """A stage that is skipped keeps the settings it completed with, whatever was given now."""
    skipped = [one for one in _completions(kept_run) if one.stage not in rerun]
    records = {one.stage: one.settings for one in skipped}
    settings = {
        one.stage: kept_run.kept[one.stage] for one in skipped if one.stage in kept_run.kept
    }
    settings = {**kept_run.settings, **settings}
    private = kept_run.private
    return replace(
        kept_run,
        settings=settings,
        records={**kept_run.records, **records},
        private=private.model_copy(update={"stages": secrets_of(settings)}),
    )


def _refuse_lost_values(kept_run: ResumableRun, rerun: tuple[str, ...]) -> None:
    for stage, settings in kept_run.settings.items():
        if stage not in rerun and kept_run.checkpoint.completion_of(stage) is not None:
            continue
        option = option_prefix(stage)
        if settings.missing_values:
            raise UsageError(
                f"stage {stage!r} must run, but the values of its environment"
                f" {', '.join(settings.missing_values)} are gone: they are in no file of the"
                " output directory, and the private file that kept them is not there",
                remedy="give them again: "
                + " ".join(f"{option}-env {key}=…" for key in settings.missing_values),
            )
        if not settings.is_complete:
            raise UsageError(
                f"stage {stage!r} must run, but its settings held secret values that are gone: they"
                " are known only masked",
                remedy=f"declare it anew: {option}-bin with every {option}-arg, {option}-env,"
                f" {option}-expected-artifact",
            )


def _refuse_contradiction(kept_run: ResumableRun) -> None:
    """A done run can be looked at again, not changed."""
    config, checkpoint = kept_run.config, kept_run.checkpoint
    remedy = "start a new run without --resume; this one is then archived"
    if config.rerun or config.on_changed_stage is OnChangedStage.RERUN:
        raise UsageError("the run is done: no stage of it can run again", remedy=remedy)
    for signal in checkpoint.gate_signals:
        given = config.gates.get(signal.gate, signal.status)
        if given != signal.status:
            raise UsageError(
                f"the run is done with {signal.gate.value} {signal.status}; {given} contradicts it",
                remedy=remedy,
            )
    if config.on_changed_stage is OnChangedStage.KEEP:
        return
    changed = {
        completion.stage: differences(
            completion.settings, kept_run.records[completion.stage], kept_run.masker
        )
        for completion in _completions(kept_run)
        if completion.stage in kept_run.records
    }
    changed |= {
        stage: ("command: it had none, and was passed over",)
        for stage in kept_run.records
        if stage not in checkpoint.stages
    }
    changed = {stage: changes for stage, changes in changed.items() if changes}
    if changed:
        raise UsageError(
            "the run is done, and what was given contradicts it\n" + _listing(kept_run, changed),
            remedy=f"--on-changed-stage keep leaves it as it is; or {remedy}",
        )


def _prepare_done(kept_run: ResumableRun) -> Preparation:
    """Nothing is to happen: the record of the visit, with every completed stage skipped."""
    config, checkpoint = kept_run.config, kept_run.checkpoint
    clock = clock_of(config)
    visit = new_invocation(
        len(checkpoint.invocations) + 1,
        ExecutionMode.RESUME,
        clock,
        warnings=tuple(kept_run.warnings),
    )
    return Preparation(
        config=config,
        clock=clock,
        masker=kept_run.masker,
        checkpoint=checkpoint.model_copy(
            update={"version": __version__, "invocations": (*checkpoint.invocations, visit)}
        ),
        settings=kept_run.kept,
        first_trigger=None,
        # A kill may have come between the end of the run and the end of what it kept.
        private=kept_run.private if kept_run.private.stages else None,
    )


def _prepare_continuation(kept_run: ResumableRun, rerun: tuple[str, ...]) -> Preparation:
    config, checkpoint = kept_run.config, kept_run.checkpoint
    clock = clock_of(config)
    invocations = checkpoint.invocations
    leftover = checkpoint.open_attempt
    if leftover is not None:
        lost = checkpoint.interrupted(
            leftover,
            error="interrupted: its orchestrator ended without recording how it ended",
        )
        last = invocations[-1]
        settled = last.model_copy(update={"stage_executions": (*last.stage_executions, lost)})
        invocations = (*invocations[:-1], settled)
    invocation = new_invocation(
        len(invocations) + 1,
        ExecutionMode.RESUME,
        clock,
        warnings=tuple(kept_run.warnings),
        rerun=tuple(stage for stage in rerun if checkpoint.completion_of(stage) is not None),
    )
    has_secrets = bool(kept_run.private.stages)
    ref = checkpoint.private_ref or private_file.new_private_ref()
    draft = checkpoint.model_copy(
        update={
            "version": __version__,
            "private_ref": ref if has_secrets else checkpoint.private_ref,
            "gate_signals": signals_in_force(
                config.gates, checkpoint.gate_signals, config.gate_sources
            ),
            "timeout_ms": checkpoint.timeout_ms if config.timeout_ms is None else config.timeout_ms,
            "kill_grace_ms": (
                checkpoint.kill_grace_ms if config.kill_grace_ms is None else config.kill_grace_ms
            ),
            "on_leak": config.on_leak or checkpoint.on_leak,
            "stages": dict(kept_run.records),
            "completions": tuple(one for one in checkpoint.completions if one.stage not in rerun),
            "open_attempt": None,
            "invocations": (*invocations, invocation),
        }
    )
    return Preparation(
        config=config,
        clock=clock,
        masker=kept_run.masker,
        checkpoint=draft,
        settings=kept_run.settings,
        first_trigger=Trigger.RESUME,
        leftover=leftover,
        # Also where no stage has secrets any more: those that were kept are not to come back.
        private=kept_run.private if has_secrets or checkpoint.private_ref else None,
    )
