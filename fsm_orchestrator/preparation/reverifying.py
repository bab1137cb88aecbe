"""Decides whether the work of a stage can be verified again without running it, or says why not.

The work must be what would be verified: by these settings, with these artifacts.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from fsm_orchestrator.errors import UsageError
from fsm_orchestrator.model.execution import StageExecution
from fsm_orchestrator.model.open_attempt import cycle_in
from fsm_orchestrator.preparation.changes import Version, differences
from fsm_orchestrator.record.closure import content_difference, judge_kept
from fsm_orchestrator.record.completion import Completion
from fsm_orchestrator.record.reverifiable import unverified
from fsm_orchestrator.record.unseen import attempts_unseen
from fsm_orchestrator.stages.artifacts import JudgingCutShortError, masked_artifacts
from fsm_orchestrator.text.hidden import copyable
from fsm_orchestrator.vocabulary import Compared, OnChangedStage

if TYPE_CHECKING:
    from fsm_orchestrator.preparation.decision import ResumableRun


def refuse_reverifying(run: ResumableRun) -> None:
    """Refuse to verify again if there is nothing to verify, or if it has changed.

    Raises:
        UsageError: it is refused.
    """
    if run.config.rerun or run.config.on_changed_stage is OnChangedStage.RERUN:
        other = "--rerun" if run.config.rerun else "--on-changed-stage rerun"
        raise UsageError(
            f"--reverify runs no stage again, and {other} does",
            remedy="give one of them",
        )
    settled = attempts_unseen(run.checkpoint)
    is_complete = settled.completion_of
    open_stages = [
        one for one in settled.lifecycle.stages if one in run.settings and is_complete(one) is None
    ]
    place_of = settled.lifecycle.place_of
    next_ones = [one for one in open_stages if place_of(one) == place_of(open_stages[0])]
    works = [work for one in next_ones if (work := unverified(settled, one)) is not None]
    if not works:
        where = f": stage {open_stages[0]!r} has to run" if open_stages else ""
        raise UsageError(
            f"--reverify: there is no work that lacks only its verification{where}",
            remedy="leave --reverify out",
        )
    for work in works:
        _refuse_other(run, work)


def _refuse_other(run: ResumableRun, work: StageExecution) -> None:
    if not run.settings[work.stage].verify:
        raise UsageError(
            f"--reverify: stage {work.stage!r} no longer has a verification",
            remedy="give it one, or leave --reverify out to run it again",
        )
    found = [*_other_settings(run, work), *_other_artifacts(run, work)]
    if found:
        listed = "".join(f"\n  {one}" for one in found)
        raise UsageError(
            f"--reverify: what attempt {work.attempt} of {work.stage!r} did is not what would be"
            f" verified{listed}",
            remedy="put that back, or leave --reverify out to run the stage again",
        )


def _other_settings(run: ResumableRun, work: StageExecution) -> Iterator[str]:
    """Yield how the settings differ from those that the work was done with."""
    stage = work.stage
    kept, now = run.checkpoint.stages[stage], run.records[stage]
    then = Version(run.kept.stages[stage], kept)
    changes = differences(
        then, Version(run.settings[stage], now), run.hider, key_is_lost=run.key_is_lost
    )
    yield from (one.sentence for one in changes if one.field is not Compared.VERIFICATION)
    if run.settings[stage].must_earn or then.settings.must_earn:
        yield from _other_terms(run, work)
    ran_with = (work.command, work.args, work.cwd)
    as_kept = (kept.command, kept.args, kept.cwd)
    is_later = run.checkpoint.origins.stages_since.get(stage, 0) > _number_of(run, work)
    if ran_with != as_kept or set(work.env_keys) != set(kept.variable_names) or is_later:
        yield f"settings: stage {stage!r} was given others since attempt {work.attempt}"
    elif kept.env_inherit != now.env_inherit:
        yield f"inherited environment: not what attempt {work.attempt} had"
    elif kept.confine != now.confine:
        yield f"confinement: not what attempt {work.attempt} had"


def _other_terms(run: ResumableRun, work: StageExecution) -> Iterator[str]:
    """Yield how contracts, protected paths and inputs differ from those of the work."""
    from fsm_orchestrator.preparation.earned_changes import (  # noqa: PLC0415 - rare
        input_changes,
        setting_changes,
    )

    settings = run.kept.stages[work.stage]
    yield from (one.sentence for one in setting_changes(settings, run.settings[work.stage]))
    if work.inputs:
        done = Completion(
            stage=work.stage,
            cycle=cycle_in(work),
            attempt=work.attempt,
            invocation=1,
            settings=run.checkpoint.stages[work.stage],
            artifacts=work.artifacts,
            inputs=work.inputs,
        )
        with contextlib.suppress(JudgingCutShortError):  # nothing is started
            yield from (one.sentence for one in input_changes(done, settings, run.may_go_on))


def _number_of(run: ResumableRun, work: StageExecution) -> int:
    """Return the number of the invocation that did the work, or one that is not before it."""
    for invocation in attempts_unseen(run.checkpoint).invocations:
        if any((one.stage, one.attempt) == _done_by(work) for one in invocation.stage_executions):
            return invocation.number
    earlier = run.checkpoint.earlier
    return 0 if earlier is None else earlier.totals.last_number


def _done_by(work: StageExecution) -> tuple[str, int]:
    return work.stage, work.verified_attempt or work.attempt


def _other_artifacts(run: ResumableRun, work: StageExecution) -> Iterator[str]:
    """Yield how the artifacts differ from those that were left."""
    try:
        verdict = judge_kept(run.kept.stages[work.stage], work.artifacts, run.may_go_on)
    except JudgingCutShortError:
        return  # nothing is started
    if not verdict.is_good:
        yield run.masker.mask(verdict.summary())
        return
    now = {one.path: one.sha256 for one in masked_artifacts(verdict, run.masker)}
    for one in work.artifacts:
        if now.get(one.path) != one.sha256:
            yield content_difference(copyable(one.path), one.sha256, now.get(one.path, "none"))
    if now.keys() != {one.path for one in work.artifacts}:
        yield "expected artifacts: not those that were left"
