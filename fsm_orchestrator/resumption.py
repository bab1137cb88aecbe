"""What a resume would do: which stages are complete, which settings count, what is refused.

A stage that is complete is skipped, but never silently under other settings than those it
completed with, and never without its artifacts. Pure: reads, decides, writes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from fsm_orchestrator import __version__, checkpoint_file, executions, lifecycle, private_state
from fsm_orchestrator.artifacts import judge
from fsm_orchestrator.checkpoint import Checkpoint, Completion
from fsm_orchestrator.config import RunConfig
from fsm_orchestrator.errors import UsageError
from fsm_orchestrator.gates import signals_in_force
from fsm_orchestrator.masking import Masker
from fsm_orchestrator.preparation import (
    Preparation,
    clock_of,
    new_invocation,
    private_of,
    recorded,
    setting_warnings,
)
from fsm_orchestrator.private_state import PrivateState
from fsm_orchestrator.settings import (
    StageRecord,
    StageSettings,
    differences,
    given_settings,
    settings_of,
)
from fsm_orchestrator.vocabulary import ExecutionMode, OnChangedStage, Outcome, Trigger


@dataclass(frozen=True, slots=True)
class _Resumption:
    """What has been read and merged, on the way to a decision."""

    config: RunConfig
    checkpoint: Checkpoint
    kept: Mapping[str, StageSettings]
    settings: Mapping[str, StageSettings]
    records: Mapping[str, StageRecord]
    masker: Masker
    private: PrivateState
    warnings: list[str] = field(default_factory=list)

    @property
    def is_done(self) -> bool:
        """Whether the run had reached done."""
        state = self.checkpoint.lifecycle.states[self.checkpoint.current_state]
        return state.outcome is Outcome.DONE


def prepare_resume(config: RunConfig) -> Preparation:
    """Decide on a resume. Writes nothing.

    Raises:
        CheckpointError: there is no checkpoint, or it cannot be used.
        UsageError: the request contradicts what the run has done.
    """
    resumption = _read(config)
    if resumption.is_done:
        _refuse_contradiction(resumption)
        return _prepare_done(resumption)
    changed = _changed_stages(resumption)
    rerun = _stages_to_rerun(resumption, changed)
    resumption = _keep_completed_settings(resumption, rerun)
    _refuse_lost_values(resumption, rerun)
    return _prepare_continuation(resumption, rerun)


def _read(config: RunConfig) -> _Resumption:
    checkpoint = checkpoint_file.load(config.output_path)
    if config.run_id not in {None, checkpoint.run_id}:
        raise UsageError(
            f"--run-id {config.run_id} does not fit: the run to resume is {checkpoint.run_id}",
            remedy="leave --run-id out, or start a new run without --resume",
        )
    _refuse_other_lifecycle(config, checkpoint)
    ref = checkpoint.private_ref
    private = None if ref is None else private_state.load(ref)
    kept = {stage: settings_of(record) for stage, record in checkpoint.stages.items()}
    for stage, known in ({} if private is None else private.stages).items():
        if stage in kept:
            kept[stage] = replace(
                kept[stage],
                command=known.command,
                args=known.args,
                cwd=known.cwd,
                expected_artifacts=known.expected_artifacts,
                env={**kept[stage].env, **known.env},
                is_complete=True,
            )
    settings = given_settings(config, checkpoint.lifecycle, kept)
    masker = Masker(
        (*_values(kept), *_values(settings))  # a value that was replaced is secret still
    )
    to_keep = private_of(settings, private, checkpoint.run_id)
    return _Resumption(
        config=config,
        checkpoint=checkpoint,
        kept=kept,
        settings=settings,
        records=recorded(settings, masker, to_keep, checkpoint.stages),
        masker=masker,
        private=to_keep,
        warnings=list(setting_warnings(settings)),
    )


def _values(settings: Mapping[str, StageSettings]) -> tuple[str, ...]:
    return tuple(
        value for one in settings.values() for value in one.env.values() if value is not None
    )


def _refuse_other_lifecycle(config: RunConfig, checkpoint: Checkpoint) -> None:
    if config.lifecycle is None:
        return
    named = lifecycle.find(config.lifecycle, Path(config.directory))
    if named.sha256 != checkpoint.lifecycle_sha256:
        raise UsageError(
            f"the run to resume follows the lifecycle {checkpoint.lifecycle.name!r} that its"
            f" checkpoint holds, and {config.lifecycle} is not the same relation",
            remedy="leave --lifecycle out, or start a new run without --resume",
        )


def _changes_of(resumption: _Resumption, completion: Completion) -> tuple[str, ...]:
    """How a completed stage differs from what it completed with, its artifacts included."""
    now = resumption.records.get(completion.stage)
    changes = () if now is None else differences(completion.settings, now, resumption.masker)
    exact = resumption.kept.get(completion.stage)
    expected = (exact or completion.settings).expected_artifacts
    verdict = judge(expected, None, allow_stale=True)
    if verdict.is_good:
        return changes
    return (*changes, f"artifacts: {resumption.masker.mask_path(verdict.summary())}")


def _completions(resumption: _Resumption) -> tuple[Completion, ...]:
    found = map(resumption.checkpoint.completion_of, resumption.checkpoint.lifecycle.stages)
    return tuple(completion for completion in found if completion is not None)


def _changed_stages(resumption: _Resumption) -> dict[str, tuple[str, ...]]:
    """The completed stages that differ, and how, less those that are to run again anyway."""
    rerun = _stages_after(resumption, resumption.config.rerun)
    changed = {
        completion.stage: _changes_of(resumption, completion)
        for completion in _completions(resumption)
        if completion.stage not in rerun
    }
    changed = {stage: changes for stage, changes in changed.items() if changes}
    if changed and resumption.config.on_changed_stage is OnChangedStage.REFUSE:
        raise UsageError(
            "cannot resume: a completed stage is not what it was when it completed\n"
            + _listing(resumption, changed),
            remedy="--on-changed-stage keep skips it all the same, --on-changed-stage rerun"
            " runs it and all stages after it again",
        )
    return changed


def _listing(resumption: _Resumption, changed: Mapping[str, tuple[str, ...]]) -> str:
    lines = []
    for stage, changes in changed.items():
        completion = resumption.checkpoint.completion_of(stage)
        by = "" if completion is None else f" (completed by attempt {completion.attempt})"
        lines.append(f"  {stage}{by}:")
        lines += [f"    {change}" for change in changes]
    return "\n".join(lines)


def _stages_after(resumption: _Resumption, stages: tuple[str, ...]) -> tuple[str, ...]:
    """The given stages and all after them.

    Raises:
        UsageError: the lifecycle has no such stage.
    """
    declared = resumption.checkpoint.lifecycle
    for stage in stages:
        if stage not in declared.stages:
            raise UsageError(
                f"--rerun {stage}: the lifecycle {declared.name!r} has no such stage",
                remedy=f"its stages are {', '.join(declared.stages)}",
            )
    after = {name for stage in stages for name in declared.stages_from(stage)}
    return tuple(name for name in declared.stages if name in after)


def _stages_to_rerun(
    resumption: _Resumption, changed: Mapping[str, tuple[str, ...]]
) -> tuple[str, ...]:
    stages = resumption.config.rerun
    if resumption.config.on_changed_stage is OnChangedStage.RERUN:
        stages = (*stages, *changed)
    else:
        resumption.warnings.extend(
            f"stage {stage!r} is skipped although it is not what it was when it completed: {change}"
            for stage, changes in changed.items()
            for change in changes
        )
    return _stages_after(resumption, stages)


def _keep_completed_settings(resumption: _Resumption, rerun: tuple[str, ...]) -> _Resumption:
    """A stage that is skipped keeps the settings it completed with, whatever was given now."""
    skipped = [one for one in _completions(resumption) if one.stage not in rerun]
    records = {one.stage: one.settings for one in skipped}
    settings = {
        one.stage: resumption.kept[one.stage] for one in skipped if one.stage in resumption.kept
    }
    settings = {**resumption.settings, **settings}
    private = resumption.private
    return replace(
        resumption,
        settings=settings,
        records={**resumption.records, **records},
        private=private.model_copy(update={"stages": private_state.secrets_of(settings)}),
    )


def _refuse_lost_values(resumption: _Resumption, rerun: tuple[str, ...]) -> None:
    for stage, settings in resumption.settings.items():
        if stage not in rerun and resumption.checkpoint.completion_of(stage) is not None:
            continue
        option = stage.replace("_", "-")
        if settings.missing_values:
            raise UsageError(
                f"stage {stage!r} must run, but the values of its environment"
                f" {', '.join(settings.missing_values)} are gone: they are in no file of the"
                " output directory, and the private file that kept them is not there",
                remedy="give them again: "
                + " ".join(f"--{option}-env {key}=…" for key in settings.missing_values),
            )
        if not settings.is_complete:
            raise UsageError(
                f"stage {stage!r} must run, but its settings held secret values that are gone: they"
                " are known only masked",
                remedy=f"declare it anew: --{option}-bin with every --{option}-arg, --{option}-env,"
                f" --{option}-expected-artifact",
            )


def _refuse_contradiction(resumption: _Resumption) -> None:
    """A done run can be looked at again, not changed."""
    config, checkpoint = resumption.config, resumption.checkpoint
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
            completion.settings, resumption.records[completion.stage], resumption.masker
        )
        for completion in _completions(resumption)
        if completion.stage in resumption.records
    }
    changed |= {
        stage: ("command: it had none, and was passed over",)
        for stage in resumption.records
        if stage not in checkpoint.stages
    }
    changed = {stage: changes for stage, changes in changed.items() if changes}
    if changed:
        raise UsageError(
            "the run is done, and what was given contradicts it\n" + _listing(resumption, changed),
            remedy=f"--on-changed-stage keep leaves it as it is; or {remedy}",
        )


def _prepare_done(resumption: _Resumption) -> Preparation:
    """Nothing is to happen: the record of the visit, with every completed stage skipped."""
    config, checkpoint = resumption.config, resumption.checkpoint
    clock = clock_of(config)
    visit = new_invocation(
        len(checkpoint.invocations) + 1,
        ExecutionMode.RESUME,
        clock,
        warnings=tuple(resumption.warnings),
    )
    return Preparation(
        config=config,
        clock=clock,
        masker=resumption.masker,
        checkpoint=checkpoint.model_copy(
            update={"version": __version__, "invocations": (*checkpoint.invocations, visit)}
        ),
        settings=resumption.kept,
        entry=None,
    )


def _prepare_continuation(resumption: _Resumption, rerun: tuple[str, ...]) -> Preparation:
    config, checkpoint = resumption.config, resumption.checkpoint
    clock = clock_of(config)
    invocations = checkpoint.invocations
    leftover = checkpoint.open_attempt
    if leftover is not None:
        lost = executions.interrupted(
            checkpoint.run_id,
            leftover,
            checkpoint.stages.get(leftover.stage),
            error="interrupted: its orchestrator ended without recording how it ended",
        )
        last = invocations[-1]
        settled = last.model_copy(update={"stage_executions": (*last.stage_executions, lost)})
        invocations = (*invocations[:-1], settled)
    invocation = new_invocation(
        len(invocations) + 1,
        ExecutionMode.RESUME,
        clock,
        warnings=tuple(resumption.warnings),
        rerun=tuple(stage for stage in rerun if checkpoint.completion_of(stage) is not None),
    )
    has_secrets = bool(resumption.private.stages)
    ref = checkpoint.private_ref or private_state.new_private_ref()
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
            "stages": dict(resumption.records),
            "completions": tuple(one for one in checkpoint.completions if one.stage not in rerun),
            "open_attempt": None,
            "invocations": (*invocations, invocation),
        }
    )
    return Preparation(
        config=config,
        clock=clock,
        masker=resumption.masker,
        checkpoint=draft,
        settings=resumption.settings,
        entry=Trigger.RESUME,
        leftover=leftover,
        private=resumption.private if has_secrets else None,
    )
