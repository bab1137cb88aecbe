"""A run to be resumed, and the decision about its completed stages: skip, run again, or refuse.

A stage that is complete is skipped, but never silently if its settings have changed since it
completed, and never silently without its artifacts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from fsm_orchestrator.config.file_texts import named_lifecycle
from fsm_orchestrator.config.hidden_text import Hider
from fsm_orchestrator.config.run_config import RunConfig
from fsm_orchestrator.config.stage_record import StageRecord
from fsm_orchestrator.config.stage_settings import (
    StageSettings,
    declared_secrets,
    given_settings,
)
from fsm_orchestrator.errors import UsageError
from fsm_orchestrator.lifecycle.model import Lifecycle
from fsm_orchestrator.preparation.changes import (
    Change,
    Version,
    differences,
    replaced_secrets,
)
from fsm_orchestrator.preparation.lost_values import stages_to_run
from fsm_orchestrator.preparation.preparation import (
    private_of,
    recorded,
    secret_values,
    with_known_gates,
)
from fsm_orchestrator.record.checkpoint import Checkpoint
from fsm_orchestrator.record.checkpoint_reader import SavedRun
from fsm_orchestrator.record.closure import changed_artifacts, judge_kept
from fsm_orchestrator.record.completion import Completion
from fsm_orchestrator.record.kept import KeptSettings, kept_settings
from fsm_orchestrator.secrets.masking import Masker
from fsm_orchestrator.secrets.private_file import PrivateFile
from fsm_orchestrator.stages.artifacts import JudgingCutShortError, MayGoOn, always
from fsm_orchestrator.vocabulary import Compared, OnChangedStage


@dataclass(frozen=True, slots=True)
class ResumableRun:
    """A run to be resumed, on the way to a decision.

    Attributes:
        kept: the settings that it has left.
        settings: those, overridden by the settings given now.
        records: the same, as the checkpoint keeps them.
        key_is_lost: True if values can no longer be compared with earlier ones.
        replaced_lifecycle: the one it followed, if one with other settings is adopted now.
        may_go_on: asked while artifacts are judged; if it says no, they count as they were
            recorded, and the caller starts nothing.
    """

    config: RunConfig
    checkpoint: Checkpoint
    kept: KeptSettings
    settings: Mapping[str, StageSettings]
    records: Mapping[str, StageRecord]
    hider: Hider
    private: PrivateFile
    key_is_lost: bool
    replaced_lifecycle: Lifecycle | None = None
    may_go_on: MayGoOn = always

    @property
    def masker(self) -> Masker:
        """The masker of every known secret, also of those that were replaced."""
        return self.hider.masker


def resumable_run(config: RunConfig, saved: SavedRun, may_go_on: MayGoOn = always) -> ResumableRun:
    """Override what the run has left with what is given now.

    Raises:
        UsageError: what is given does not fit the run.
    """
    checkpoint, private = saved.checkpoint, saved.private
    if config.run_id not in {None, checkpoint.run_id}:
        raise UsageError(
            f"--run-id {config.run_id} does not fit: the run to resume is {checkpoint.run_id}",
            remedy="leave --run-id out, or start a new run without --resume",
        )
    followed = _followed_lifecycle(config, checkpoint)
    replaced = None if followed == checkpoint.lifecycle else checkpoint.lifecycle
    checkpoint = checkpoint.model_copy(
        update={"lifecycle": followed, "lifecycle_sha256": followed.sha256}
    )
    config = with_known_gates(config, followed)
    kept = kept_settings(saved, config.stages)
    if config.has_tables:
        from fsm_orchestrator.config.asked_texts import with_asked_texts  # noqa: PLC0415 - rare

        config = with_asked_texts(config, checkpoint.run_id, declared_secrets(kept.stages))
    settings = given_settings(config, checkpoint.lifecycle, kept.stages, checkpoint.run_id)
    if any(one.contracts for one in settings.values()):
        settings = _with_schemas(config, checkpoint, settings)
    if checkpoint.lifecycle.group_of:
        from fsm_orchestrator.preparation.beside import refuse_shared_artifacts  # noqa: PLC0415 - few lifecycles

        refuse_shared_artifacts(checkpoint.lifecycle, settings)
    if followed.group_of or followed.finally_stage is not None:
        from fsm_orchestrator.preparation.queues import refuse_queues  # noqa: PLC0415 - likewise

        refuse_queues(followed, config.task_queue or checkpoint.task_queue, settings)
    values = {**kept.secrets, **secret_values(settings)}
    stored = () if private is None else private.stages.values()
    earlier = (value for one in stored for value in one.secrets.values())
    to_keep = private_of(settings, private, checkpoint.run_id, config)
    hider = Hider(Masker((*values.values(), *earlier)), values, to_keep.digest_key_bytes)
    return ResumableRun(
        config=config,
        checkpoint=checkpoint,
        kept=kept,
        settings=settings,
        records=recorded(settings, hider, checkpoint.stages),
        hider=hider,
        private=to_keep,
        key_is_lost=private is None and config.state_key_file is None,
        replaced_lifecycle=replaced,
        may_go_on=may_go_on,
    )


def _with_schemas(
    config: RunConfig, checkpoint: Checkpoint, settings: Mapping[str, StageSettings]
) -> dict[str, StageSettings]:
    """Return settings that have the digests of their contracts' schemas.

    Raises:
        UsageError: a stage that may run has a schema that cannot be used.
    """
    from fsm_orchestrator.preparation.held_schemas import with_schemas  # noqa: PLC0415 - rare

    if checkpoint.is_done:
        given = {stage: one for stage, one in settings.items() if stage in config.stages}
        return {**settings, **with_schemas(given, ())}
    return with_schemas(settings, stages_to_run(checkpoint, config.rerun))


def _followed_lifecycle(config: RunConfig, checkpoint: Checkpoint) -> Lifecycle:
    """Return the checkpoint's lifecycle, or the given one if that differs only in settings."""
    if config.lifecycle is None:
        return checkpoint.lifecycle
    named = named_lifecycle(config)
    if named.relation_sha256 != checkpoint.lifecycle.relation_sha256:
        raise UsageError(
            f"the run to resume follows the lifecycle {checkpoint.lifecycle.name!r} that its"
            f" checkpoint holds, and {config.lifecycle} is not the same relation",
            remedy="leave --lifecycle out, or start a new run without --resume",
        )
    return checkpoint.lifecycle if checkpoint.is_done else named


class Decision(NamedTuple):
    """The decision about the completed stages.

    Attributes:
        rerun: the stages whose completion, if they have one, no longer counts.
        kept_changes: how each stage differs that is skipped all the same.
        replaced: the secrets of each skipped stage that have other values now.
    """

    rerun: tuple[str, ...]
    kept_changes: Mapping[str, tuple[Change, ...]]
    replaced: Mapping[str, tuple[str, ...]]

    @property
    def warnings(self) -> tuple[str, ...]:
        """One warning for each accepted difference."""
        differ = tuple(
            f"stage {stage!r} is skipped although it has changed since it completed:"
            f" {change.sentence}"
            for stage, changes in self.kept_changes.items()
            for change in changes
        )
        replaced = tuple(
            f"stage {stage!r} is skipped, and the secret {', '.join(keys)} has another value than"
            " when it completed"
            for stage, keys in self.replaced.items()
        )
        return (*differ, *replaced)


def decide(run: ResumableRun) -> Decision:
    """Decide on the completed stages of a run that is not done.

    Raises:
        UsageError: a stage differs and no option decides about it, or there is no such stage.
    """
    if run.config.reverify:
        from fsm_orchestrator.preparation.reverifying import refuse_reverifying  # noqa: PLC0415 - rare

        refuse_reverifying(run)
    asked = _stages_after(run, run.config.rerun)
    to_run = stages_to_run(run.checkpoint, asked)
    skipped = [one for one in run.checkpoint.completed if one.stage not in asked]
    changed = {
        one.stage: changes
        for one in skipped
        if (changes := _changes_of(run, one, may_run=one.stage in to_run))
    }
    if not changed or run.config.on_changed_stage is OnChangedStage.KEEP:
        return Decision(asked, changed, _replaced(run, asked))
    if run.config.on_changed_stage is OnChangedStage.RERUN:
        rerun = _stages_after(run, (*run.config.rerun, *changed))
        return Decision(rerun, {}, _replaced(run, rerun))
    raise UsageError(
        "cannot resume: a completed stage has changed since it completed\n"
        + _listing(run, changed),
        remedy=_remedy(one for changes in changed.values() for one in changes),
    )


def _remedy(changes: Iterable[Change]) -> str:
    choice = (
        "--on-changed-stage keep skips it all the same, --on-changed-stage rerun runs it and all"
        " stages after it again"
    )
    if not any(one.is_of_content for one in changes):
        return choice
    return f"put the original artifact back; or {choice}. With keep the run may not be closed"


def _changes_of(
    run: ResumableRun, completion: Completion, *, may_run: bool = False
) -> tuple[Change, ...]:
    """Compare a completed stage, its artifacts included, with what it completed with.

    `may_run` is True if lost values of it are needed, and so have to be given again.
    """
    changes = _settings_changes(run, completion, may_run=may_run)
    stage = completion.stage
    settings = run.kept.stages.get(stage) or run.kept.completed[stage]
    try:
        verdict = judge_kept(settings, completion.artifacts, run.may_go_on)
        if completion.inputs:
            from fsm_orchestrator.preparation.earned_changes import input_changes  # noqa: PLC0415 - rare

            changes = (*changes, *input_changes(completion, settings, run.may_go_on))
    except JudgingCutShortError:
        return changes
    if not verdict.is_good:
        changes = (*changes, Change(Compared.ARTIFACTS, None, run.masker.mask(verdict.summary())))
    contents = (
        Change(Compared.ARTIFACTS, one.then, one.now, run.masker.mask(one.name))
        for one in changed_artifacts(run.checkpoint, verdict, run.kept.completed)
        if one.stage == stage
    )
    return (*changes, *contents)


def _settings_changes(
    run: ResumableRun, completion: Completion, *, may_run: bool
) -> tuple[Change, ...]:
    stage, record = completion.stage, run.records.get(completion.stage)
    if record is None:
        return ()
    then = Version(run.kept.completed[stage], completion.settings)
    now = Version(run.settings[stage], record)
    found = tuple(differences(then, now, run.hider, key_is_lost=run.key_is_lost and may_run))
    if not (then.settings.must_earn or now.settings.must_earn):
        return found
    from fsm_orchestrator.preparation.earned_changes import setting_changes  # noqa: PLC0415 - rare

    return (*found, *setting_changes(then.settings, now.settings))


def _replaced(run: ResumableRun, rerun: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """Return the secrets of the skipped stages that have other values now."""
    if run.key_is_lost:
        return {}
    return {
        one.stage: keys
        for one in run.checkpoint.completed
        if one.stage not in rerun and one.stage in run.records
        if (keys := replaced_secrets(one.settings, run.records[one.stage]))
    }


def _stages_after(run: ResumableRun, stages: tuple[str, ...]) -> tuple[str, ...]:
    """List the given stages and all stages after them, in the lifecycle's order.

    Raises:
        UsageError: the lifecycle has no such stage.
    """
    declared = run.checkpoint.lifecycle
    for stage in stages:
        if stage not in declared.stages:
            raise UsageError(
                f"--rerun {stage}: the lifecycle {declared.name!r} has no such stage",
                remedy=f"its stages are {', '.join(declared.stages)}",
            )
    after = {name for stage in stages for name in declared.stages_from(stage)}
    return tuple(name for name in declared.stages if name in after)


def _listing(run: ResumableRun, changed: Mapping[str, tuple[Change, ...]]) -> str:
    lines = []
    for stage, changes in changed.items():
        completion = run.checkpoint.completion_of(stage)
        by = "" if completion is None else f" (completed by attempt {completion.attempt})"
        lines.append(f"  {stage}{by}:")
        lines += [f"    {change.sentence}" for change in changes]
    return "\n".join(lines)


def refuse_contradiction(run: ResumableRun) -> None:
    """Refuse to change a done run: it can only be looked at again.

    Raises:
        UsageError: the request would change it.
    """
    config = run.config
    remedy = "start a new run without --resume; this one is then archived"
    if config.rerun or config.on_changed_stage is OnChangedStage.RERUN:
        raise UsageError("the run is done: no stage of it can run again", remedy=remedy)
    if config.reverify:
        raise UsageError("the run is done: nothing of it is left to verify", remedy=remedy)
    for signal in run.checkpoint.gate_signals:
        given = config.gates.get(signal.gate, signal.status)
        if given != signal.status:
            raise UsageError(
                f"the run is done with {signal.gate} {signal.status}; {given} contradicts it",
                remedy=remedy,
            )
    changed = dict(_contradictions(run))
    if changed and config.on_changed_stage is not OnChangedStage.KEEP:
        raise UsageError(
            "the run is done, and what was given contradicts it\n" + _listing(run, changed),
            remedy=f"--on-changed-stage keep leaves it unchanged; or {remedy}",
        )


def _contradictions(run: ResumableRun) -> Iterator[tuple[str, tuple[Change, ...]]]:
    for completion in run.checkpoint.completed:
        changes = _settings_changes(run, completion, may_run=False)
        if changes:
            yield completion.stage, changes
    always = run.checkpoint.lifecycle.finally_stage  # not complete, it runs once more
    for stage, record in run.records.items():
        if stage not in run.checkpoint.stages and stage != always:
            yield stage, (Change(Compared.COMMAND, None, repr(record.command)),)
