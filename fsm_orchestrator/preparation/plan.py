"""The plan of an invocation, per gate and stage, with reasons. Starts and writes nothing."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from fsm_orchestrator.constants import LOCK_FILE
from fsm_orchestrator.disk import files
from fsm_orchestrator.disk.where import run_of
from fsm_orchestrator.errors import RecordingError
from fsm_orchestrator.gates.in_force import GateInForce, gate_in_force
from fsm_orchestrator.gates.judging import have_passed
from fsm_orchestrator.lifecycle.model import GatesGuard
from fsm_orchestrator.model.base import StrictModel
from fsm_orchestrator.model.execution import Artifact
from fsm_orchestrator.model.lazily import lazily
from fsm_orchestrator.preparation.foreseen import (
    ForeseenFailure,
    ForeseenWay,
    foreseen_failure,
    foreseen_unrun,
    foreseen_way,
)
from fsm_orchestrator.preparation.planned_action import PlannedAction
from fsm_orchestrator.preparation.preparation import Preparation
from fsm_orchestrator.record import last_stage
from fsm_orchestrator.record.closure import (
    WorkVerdict,
    changed_words,
    content_difference,
    judge_artifacts,
    wrong_artifacts,
)
from fsm_orchestrator.record.completion import Completion
from fsm_orchestrator.record.reverifiable import unverified
from fsm_orchestrator.record.work import is_to_come
from fsm_orchestrator.stages.artifacts import JudgingCutShortError, MayGoOn, always
from fsm_orchestrator.text.hidden import copyable
from fsm_orchestrator.text.phrases import with_details
from fsm_orchestrator.vocabulary import (
    Compared,
    Ending,
    ExecutionMode,
    Operation,
    Outcome,
    StageStatus,
)

if TYPE_CHECKING:
    from fsm_orchestrator.model.contracts import InputDigest
    from fsm_orchestrator.model.evidence import Subject
else:
    InputDigest = lazily("fsm_orchestrator.model.contracts", "InputDigest")
    Subject = lazily("fsm_orchestrator.model.evidence", "Subject")


class PlannedStage(StrictModel):
    """The plan for one stage.

    `details` add to the reason. For a stage that would be skipped, `unchanged` names the settings
    that have not changed since it completed, and `artifacts` are what it left and is still there.
    `beside` are the stages that would run at the same time, `task_queue` is what machines it needs.
    For a stage that has work and cannot do it as things are, reached or not, `ending`, `status` and
    `error` are what the record of its attempt would say; `inputs` are those that it completed with.
    """

    stage: str
    action: PlannedAction
    reason: str
    details: tuple[str, ...]
    beside: tuple[str, ...]
    command: str | None
    args: tuple[str, ...]
    env_keys: tuple[str, ...]
    cwd: str | None
    expected_artifacts: tuple[str, ...]
    timeout_ms: int | None
    verify: tuple[tuple[str, ...], ...]
    unchanged: tuple[str, ...]
    artifacts: tuple[Artifact, ...]
    protect: tuple[str, ...] = ()
    inputs: tuple[InputDigest, ...] = ()
    task_queue: str | None = None
    ending: Ending | None
    status: StageStatus | None
    error: str | None

    @property
    def reason_in_full(self) -> str:
        """The reason with its details."""
        return with_details(self.reason, self.details)


class Plan(StrictModel):
    """The plan for a run or resume in which every stage that can be started succeeds.

    `closing_refused` says why a run that would be done, or is, may not be closed, so that the
    command would end with 1; null for every other invocation. `unrun_stages` are those that a run
    that would be done would pass over, and without which it may not be closed.
    """

    output_directory: str
    run_id: str
    as_of: str
    lifecycle: str
    subject: Subject | None
    gates_guard: GatesGuard
    execution_mode: ExecutionMode
    archives_earlier_run: bool
    gates: tuple[GateInForce, ...]
    stages: tuple[PlannedStage, ...]
    outcome: Outcome
    closing_refused: str | None
    unrun_stages: tuple[str, ...]
    warnings: tuple[str, ...]


class _Foresight(NamedTuple):
    """The foresight for the whole invocation; `way` is None if nothing would happen."""

    failures: Mapping[str, ForeseenFailure]
    way: ForeseenWay | None
    do_gates_pass: bool
    verdict: WorkVerdict | None = None
    """The verdict on the artifacts of a run that is done, as they are now."""


def plan_of(preparation: Preparation, may_go_on: MayGoOn = always) -> Plan:
    """Return the plan of an invocation; a stage that can be started is taken to succeed.

    `may_go_on` is asked while artifacts are judged; once it says no, they are taken to be good.
    """
    checkpoint = preparation.checkpoint
    preparation = preparation._replace(moved=_moved(preparation))
    decisions = preparation.expected_decisions
    foresight = _foresight(preparation, may_go_on)
    return Plan(
        output_directory=str(run_of(preparation.config.output_path)),
        run_id=checkpoint.run_id,
        as_of=checkpoint.invocation.started_at,
        lifecycle=checkpoint.lifecycle.name,
        subject=checkpoint.subject,
        gates_guard=checkpoint.lifecycle.gates_guard,
        execution_mode=checkpoint.invocation.execution_mode,
        archives_earlier_run=preparation.archives,
        gates=tuple(
            gate_in_force(
                checkpoint.lifecycle.gates,
                decision,
                is_judged=False,
                is_to_come=is_to_come(checkpoint, decision.gate),
            )
            for decision in decisions
        ),
        stages=tuple(
            _planned_stage(preparation, stage, foresight) for stage in checkpoint.lifecycle.stages
        ),
        outcome=Outcome.DONE if foresight.way is None else foresight.way.outcome,
        closing_refused=_closing_refused(preparation, foresight),
        unrun_stages=foreseen_unrun(preparation, foresight.way),
        warnings=checkpoint.invocation.warnings,
    )


def _moved(preparation: Preparation) -> str | None:
    """Return how the subject of a run that continues has changed since it began, or None."""
    subject = preparation.checkpoint.subject
    if subject is None or preparation.found is None or preparation.first_trigger is None:
        return None
    from fsm_orchestrator.gates.subject import moved  # noqa: PLC0415 - few runs have one

    why = moved(subject, preparation.config.output_path)
    return None if why is None else preparation.masker.mask(why)


def _foresight(preparation: Preparation, may_go_on: MayGoOn) -> _Foresight:
    checkpoint = preparation.checkpoint
    if preparation.first_trigger is None:
        verdict = None
        with contextlib.suppress(JudgingCutShortError):
            verdict = judge_artifacts(checkpoint, preparation.settings, may_go_on=may_go_on)
        return _Foresight({}, None, do_gates_pass=True, verdict=verdict)
    failures = {
        stage: failure
        for stage in preparation.settings
        if checkpoint.completion_of(stage) is None
        and (failure := foreseen_failure(preparation, stage)) is not None
    }
    do_pass = have_passed(preparation.expected_decisions, checkpoint.lifecycle.gates)
    return _Foresight(failures, foreseen_way(preparation, failures), do_pass)


def _closing_refused(preparation: Preparation, foresight: _Foresight) -> str | None:
    if foresight.verdict is not None:
        summary = preparation.masker.mask(foresight.verdict.summary())
    elif foresight.way is not None and foresight.way.outcome is Outcome.DONE:
        summary = changed_words(_kept_contents(preparation))
    else:
        return None
    return wrong_artifacts(summary) if summary else None


def _kept_contents(preparation: Preparation) -> Iterator[str]:
    """Yield how kept artifacts differ, except those that a stage with work will leave."""
    is_complete, masker = preparation.checkpoint.completion_of, preparation.masker
    to_come = {
        masker.mask(copyable(path))
        for stage, settings in preparation.settings.items()
        if is_complete(stage) is None
        for path in settings.artifact_paths
    }
    for kept in preparation.kept_changes.values():
        for one in kept:
            if one.is_of_content and one.key not in to_come:
                yield content_difference(one.key, one.old or "", one.new or "")


def _planned_stage(preparation: Preparation, stage: str, foresight: _Foresight) -> PlannedStage:
    settings = preparation.settings.get(stage)
    masker = preparation.masker
    action, reason, details = _action(preparation, stage, foresight)
    failure = foresight.failures.get(stage)
    is_skipped = action is PlannedAction.SKIP
    completion = preparation.checkpoint.completion_of(stage) if is_skipped else None
    return PlannedStage(
        stage=stage,
        action=action,
        reason=reason,
        details=details,
        beside=preparation.checkpoint.lifecycle.beside(stage),
        command=None if settings is None else masker.mask(settings.command),
        args=() if settings is None else masker.mask_all(settings.args),
        env_keys=() if settings is None else tuple(settings.env),
        cwd=None if settings is None else masker.mask(settings.cwd),
        expected_artifacts=(() if settings is None else masker.mask_all(settings.artifact_paths)),
        timeout_ms=None if settings is None else preparation.limits_of(stage).timeout_ms,
        verify=() if settings is None else tuple(map(masker.mask_all, settings.verify)),
        unchanged=() if completion is None else _unchanged(preparation, stage),
        artifacts=() if completion is None else _artifacts(preparation, completion, foresight),
        protect=() if settings is None else settings.protect,
        inputs=() if completion is None else completion.inputs,
        task_queue=None if settings is None else preparation.task_queue_of(stage),
        ending=None if failure is None else failure.ending,
        status=None if failure is None else failure.status,
        error=None if failure is None else failure.problem.sentence,
    )


def _artifacts(
    preparation: Preparation, completion: Completion, foresight: _Foresight
) -> tuple[Artifact, ...]:
    """Return what a stage left and is still there; for a done run, it was looked for now."""
    if foresight.verdict is None:
        return completion.artifacts
    mask = preparation.masker.mask
    there = {(mask(one.path), one.sha256) for one in foresight.verdict.artifacts.good}
    return tuple(one for one in completion.artifacts if (one.path, one.sha256) in there)


def refuse_unwritable(output: Path) -> None:
    """Refuse an output directory that a run could not write to, with the error of a run.

    Raises:
        RecordingError: it exists, and may not be written to.
    """
    effective = os.access in os.supports_effective_ids
    may_write = os.access(output, os.W_OK | os.X_OK, effective_ids=effective)
    if may_write or not os.path.isdir(output):
        return
    is_read_only = os.statvfs(output).f_flag & os.ST_RDONLY
    error = errno.EROFS if is_read_only else errno.EACCES
    reason = files.reason(OSError(error, os.strerror(error)))
    raise RecordingError(Operation.LOCK_ACQUIRE, copyable(output / LOCK_FILE), reason)


def _unchanged(preparation: Preparation, stage: str) -> tuple[str, ...]:
    """Return the names of what has not changed about a completed stage."""
    changed = {change.field for change in preparation.kept_changes.get(stage, ())}
    settings = preparation.settings[stage]
    of_few = {
        Compared.CONTRACTS: settings.contracts,
        Compared.VERIFICATION: settings.verify,
        Compared.PROTECTED: settings.protect,
        Compared.INPUTS: settings.inputs or settings.input_program,
    }
    return tuple(one.value for one in Compared if one not in changed and of_few.get(one, True))


def _action(
    preparation: Preparation, stage: str, foresight: _Foresight
) -> tuple[PlannedAction, str, tuple[str, ...]]:
    checkpoint = preparation.checkpoint
    completion = checkpoint.completion_of(stage)
    if completion is not None:
        return PlannedAction.SKIP, f"completed by attempt {completion.attempt}", ()
    is_last = stage == checkpoint.lifecycle.finally_stage
    way = foresight.way
    if is_last and (why_not := last_stage.why_not_at_end(checkpoint, way and way.entered)):
        return PlannedAction.NOT_REACHED, why_not, ()
    if not is_last and way is not None and stage not in way.entered:
        return PlannedAction.NOT_REACHED, _why_not_reached(foresight, way), ()
    if stage not in preparation.settings:
        return PlannedAction.PASS_OVER, "no binary", ()
    if not is_last and way is None:
        return PlannedAction.NOT_REACHED, "the run is done", ()
    failure = foresight.failures.get(stage)
    if failure is not None:
        details = failure.problem.details
        if not is_last and _has_work_before(preparation, stage, way):
            details = (*details, "a stage before it may change that")
        return PlannedAction.FAIL, failure.problem.cause, details
    if preparation.config.reverify and (work := unverified(checkpoint, stage)) is not None:
        return PlannedAction.VERIFY, f"what attempt {work.attempt} did, without running it", ()
    if is_last:
        return PlannedAction.RUN, "always, when the run has ended", ()
    if stage in checkpoint.invocation.rerun:
        return PlannedAction.RUN, "completed before, and to run again", ()
    return PlannedAction.RUN, *_why_it_runs(preparation, stage)


def _has_work_before(preparation: Preparation, stage: str, way: ForeseenWay | None) -> bool:
    before = () if way is None else way.entered[: way.entered.index(stage)]
    beside = preparation.checkpoint.lifecycle.beside(stage)
    before = tuple(one for one in before if one not in beside)
    is_complete = preparation.checkpoint.completion_of
    return any(one in preparation.settings and is_complete(one) is None for one in before)


def _why_not_reached(foresight: _Foresight, way: ForeseenWay) -> str:
    failing = [stage for stage in way.entered if stage in foresight.failures]
    if failing:
        return f"stage {failing[0]} would not succeed"
    if not foresight.do_gates_pass:
        return "the gates would refuse"
    return "no path leads to it where every stage succeeds"


def _why_it_runs(preparation: Preparation, stage: str) -> tuple[str, tuple[str, ...]]:
    earlier = preparation.checkpoint.attempts_of(stage)
    if not earlier:
        return "not run yet", ()
    last = earlier[-1]
    cause = last.status.value if last.problem is None else last.problem.cause
    details = () if last.problem is None else last.problem.details
    return f"attempt {last.attempt} did not complete it: {cause}", details
