"""A run to be resumed, and the decision about its completed stages: skip, run again, or refuse.

A stage that is complete is skipped, but never silently under other settings than those it
completed with, and never silently without its artifacts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from fsm_orchestrator.config.run_config import RunConfig
from fsm_orchestrator.config.stage_record import StageRecord, settings_of
from fsm_orchestrator.config.stage_settings import StageSettings, given_settings
from fsm_orchestrator.errors import UsageError
from fsm_orchestrator.lifecycle import reading
from fsm_orchestrator.lifecycle.model import Lifecycle
from fsm_orchestrator.preparation.changes import Change, differences, hidden_differences
from fsm_orchestrator.preparation.preparation import masker_of, private_of, recorded
from fsm_orchestrator.record.checkpoint import Checkpoint, Completion
from fsm_orchestrator.record.checkpoint_reader import SavedRun
from fsm_orchestrator.secrets.masking import Masker
from fsm_orchestrator.secrets.private_file import PrivateFile
from fsm_orchestrator.stages.artifacts import judge
from fsm_orchestrator.text.phrases import option_prefix
from fsm_orchestrator.vocabulary import Compared, OnChangedStage


@dataclass(frozen=True, slots=True)
class ResumableRun:
    """A run to be resumed, on the way to a decision.

    `replaced_lifecycle` is the one it followed, where one with other settings is adopted now.
    """

    config: RunConfig
    checkpoint: Checkpoint
    kept: Mapping[str, StageSettings]
    settings: Mapping[str, StageSettings]
    records: Mapping[str, StageRecord]
    masker: Masker
    private: PrivateFile
    replaced_lifecycle: Lifecycle | None = None


def resumable_run(config: RunConfig, saved: SavedRun) -> ResumableRun:
    """Lay what was given now over what the run has left.

    Raises:
        UsageError: what was given does not fit the run.
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
    masker = masker_of(kept, settings)  # a value that was replaced is secret still
    to_keep = private_of(settings, private, checkpoint.run_id)
    return ResumableRun(
        config=config,
        checkpoint=checkpoint,
        kept=kept,
        settings=settings,
        records=recorded(settings, masker, to_keep, checkpoint.stages),
        masker=masker,
        private=to_keep,
        replaced_lifecycle=replaced,
    )


def _followed_lifecycle(config: RunConfig, checkpoint: Checkpoint) -> Lifecycle:
    """Return the checkpoint's lifecycle, or the one given now that differs in settings only."""
    if config.lifecycle is None:
        return checkpoint.lifecycle
    named = reading.find(config.lifecycle, Path(config.directory))
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
        rerun: the stages whose completion, if they have one, does not count any more.
        kept_changes: by stage that is skipped all the same, how it differs.
    """

    rerun: tuple[str, ...]
    kept_changes: Mapping[str, tuple[Change, ...]]

    @property
    def warnings(self) -> tuple[str, ...]:
        """One warning for each difference that is accepted."""
        return tuple(
            f"stage {stage!r} is skipped although it is not what it was when it completed:"
            f" {change.sentence}"
            for stage, changes in self.kept_changes.items()
            for change in changes
        )


def decide(run: ResumableRun) -> Decision:
    """Decide on the completed stages of a run that is not done.

    Raises:
        UsageError: a stage differs and nothing was said about it, or there is no such stage.
    """
    asked = _stages_after(run, run.config.rerun)
    changed = {
        completion.stage: changes
        for completion in run.checkpoint.completed
        if completion.stage not in asked and (changes := _changes_of(run, completion))
    }
    if not changed or run.config.on_changed_stage is OnChangedStage.KEEP:
        return Decision(asked, changed)
    if run.config.on_changed_stage is OnChangedStage.RERUN:
        return Decision(_stages_after(run, (*run.config.rerun, *changed)), {})
    raise UsageError(
        "cannot resume: a completed stage is not what it was when it completed\n"
        + _listing(run, changed),
        remedy="--on-changed-stage keep skips it all the same, --on-changed-stage rerun"
        " runs it and all stages after it again",
    )


def _changes_of(run: ResumableRun, completion: Completion) -> tuple[Change, ...]:
    """Compare a completed stage with what it completed with, its artifacts included."""
    stage, record = completion.stage, run.records.get(completion.stage)
    changes = () if record is None else differences(completion.settings, record, run.masker)
    then, now = run.kept.get(stage), run.settings.get(stage)
    if not changes and then is not None and now is not None:
        changes = hidden_differences(then, now)
    expected = (then or completion.settings).expected_artifacts
    verdict = judge(expected, None, allow_stale=True)
    if verdict.is_good:
        return changes
    wrong = run.masker.mask_path(verdict.summary())
    return (*changes, Change(Compared.ARTIFACTS, None, wrong))


def _stages_after(run: ResumableRun, stages: tuple[str, ...]) -> tuple[str, ...]:
    """List the given stages and all after them, in the lifecycle's order.

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


def refuse_lost_values(run: ResumableRun, rerun: tuple[str, ...]) -> None:
    """Refuse a resume in which a stage must run whose settings are not all known any more.

    Raises:
        UsageError: there is such a stage.
    """
    for stage, settings in run.settings.items():
        if stage not in rerun and run.checkpoint.completion_of(stage) is not None:
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


def refuse_contradiction(run: ResumableRun) -> None:
    """Refuse to change a done run: it can only be looked at again.

    Raises:
        UsageError: the request would change it.
    """
    config = run.config
    remedy = "start a new run without --resume; this one is then archived"
    if config.rerun or config.on_changed_stage is OnChangedStage.RERUN:
        raise UsageError("the run is done: no stage of it can run again", remedy=remedy)
    for signal in run.checkpoint.gate_signals:
        given = config.gates.get(signal.gate, signal.status)
        if given != signal.status:
            raise UsageError(
                f"the run is done with {signal.gate.value} {signal.status}; {given} contradicts it",
                remedy=remedy,
            )
    changed = dict(_contradictions(run))
    if changed and config.on_changed_stage is not OnChangedStage.KEEP:
        raise UsageError(
            "the run is done, and what was given contradicts it\n" + _listing(run, changed),
            remedy=f"--on-changed-stage keep leaves it as it is; or {remedy}",
        )


def _contradictions(run: ResumableRun) -> Iterator[tuple[str, tuple[Change, ...]]]:
    for completion in run.checkpoint.completed:
        record = run.records.get(completion.stage)
        changes = () if record is None else differences(completion.settings, record, run.masker)
        if changes:
            yield completion.stage, changes
    for stage, record in run.records.items():
        if stage not in run.checkpoint.stages:
            yield stage, (Change(Compared.COMMAND, None, repr(record.command)),)
