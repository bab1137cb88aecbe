"""The plan of an invocation, per gate and stage, with reasons. Pure."""

from __future__ import annotations

from fsm_orchestrator.gates.in_force import GateInForce, gate_in_force
from fsm_orchestrator.gates.judging import have_passed, judge
from fsm_orchestrator.model.base import StrictModel
from fsm_orchestrator.model.execution import Artifact
from fsm_orchestrator.preparation.preparation import Preparation
from fsm_orchestrator.text.phrases import with_details
from fsm_orchestrator.vocabulary import (
    MANDATORY_GATES,
    Compared,
    ExecutionMode,
    GatesGuard,
    Outcome,
    PlannedAction,
)


class PlannedStage(StrictModel):
    """The plan for one stage.

    `details` add to the reason. Of a stage that would be skipped, `unchanged` names the settings
    that are those it completed with, and `artifacts` are what it left then and what is there still.
    """

    stage: str
    action: PlannedAction
    reason: str
    details: tuple[str, ...]
    command: str | None
    args: tuple[str, ...]
    env_keys: tuple[str, ...]
    cwd: str | None
    expected_artifacts: tuple[str, ...]
    timeout_ms: int | None
    unchanged: tuple[str, ...]
    artifacts: tuple[Artifact, ...]

    @property
    def reason_in_full(self) -> str:
        """The reason with its details."""
        return with_details(self.reason, self.details)


class Plan(StrictModel):
    """The plan for a run or resume in which every stage succeeds."""

    output_directory: str
    run_id: str
    lifecycle: str
    gates_guard: GatesGuard
    execution_mode: ExecutionMode
    archives_earlier_run: bool
    gates: tuple[GateInForce, ...]
    stages: tuple[PlannedStage, ...]
    outcome: Outcome
    warnings: tuple[str, ...]


def plan_of(preparation: Preparation) -> Plan:
    """Return the plan of an invocation; every stage that would run is taken to succeed."""
    checkpoint = preparation.checkpoint
    decisions = judge(checkpoint.gate_signals)
    is_over = preparation.first_trigger is None
    do_pass = is_over or have_passed(decisions, MANDATORY_GATES)
    return Plan(
        output_directory=str(preparation.config.output_path),
        run_id=checkpoint.run_id,
        lifecycle=checkpoint.lifecycle.name,
        gates_guard=checkpoint.lifecycle.gates_guard,
        execution_mode=checkpoint.invocation.execution_mode,
        archives_earlier_run=preparation.archives,
        gates=tuple(gate_in_force(decision, is_judged=False) for decision in decisions),
        stages=tuple(
            _planned_stage(preparation, stage, may_run=do_pass)
            for stage in checkpoint.lifecycle.stages
        ),
        outcome=Outcome.DONE if do_pass else Outcome.BLOCKED,
        warnings=checkpoint.invocation.warnings,
    )


def _planned_stage(preparation: Preparation, stage: str, *, may_run: bool) -> PlannedStage:
    settings = preparation.settings.get(stage)
    masker = preparation.masker
    action, reason, details = _action(preparation, stage, may_run=may_run)
    is_skipped = action is PlannedAction.SKIP
    completion = preparation.checkpoint.completion_of(stage) if is_skipped else None
    return PlannedStage(
        stage=stage,
        action=action,
        reason=reason,
        details=details,
        command=None if settings is None else masker.mask(settings.command),
        args=() if settings is None else masker.mask_all(settings.args),
        env_keys=() if settings is None else tuple(settings.env),
        cwd=None if settings is None else masker.mask(settings.cwd),
        expected_artifacts=(
            () if settings is None else masker.mask_all(settings.expected_artifacts)
        ),
        timeout_ms=None if settings is None else preparation.limits_of(stage).timeout_ms,
        unchanged=() if completion is None else _unchanged(preparation, stage),
        artifacts=() if completion is None else completion.artifacts,
    )


def _unchanged(preparation: Preparation, stage: str) -> tuple[str, ...]:
    """Return the names of what has not changed of a completed stage."""
    changed = {change.field for change in preparation.kept_changes.get(stage, ())}
    return tuple(one.value for one in Compared if one not in changed)


def _action(
    preparation: Preparation, stage: str, *, may_run: bool
) -> tuple[PlannedAction, str, tuple[str, ...]]:
    checkpoint = preparation.checkpoint
    completion = checkpoint.completion_of(stage)
    if completion is not None:
        return PlannedAction.SKIP, f"completed by attempt {completion.attempt}", ()
    if not may_run and checkpoint.lifecycle.gates_guard is GatesGuard.STAGES:
        return PlannedAction.NOT_REACHED, "the gates would refuse", ()
    if stage not in preparation.settings:
        return PlannedAction.PASS_OVER, "it has no binary", ()
    if stage in checkpoint.invocation.rerun:
        return PlannedAction.RUN, "completed before, and to run again", ()
    return PlannedAction.RUN, *_why_it_runs(preparation, stage)


def _why_it_runs(preparation: Preparation, stage: str) -> tuple[str, tuple[str, ...]]:
    earlier = preparation.checkpoint.attempts_of(stage)
    if not earlier:
        return "it has not run yet", ()
    last = earlier[-1]
    cause = last.status.value if last.problem is None else last.problem.cause
    details = () if last.problem is None else last.problem.details
    return f"attempt {last.attempt} did not complete it: {cause}", details
