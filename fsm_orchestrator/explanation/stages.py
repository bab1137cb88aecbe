"""The gates and stages of a run, explained: the fate of each, and the reason for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from fsm_orchestrator.explanation.attempt_facts import (
    AttemptFacts,
    ending_sentence,
    open_attempt_facts,
)
from fsm_orchestrator.explanation.explanation import ExplainedAttempt, ExplainedStage, StageFate
from fsm_orchestrator.gates.in_force import GateInForce, gate_in_force
from fsm_orchestrator.gates.judging import judge
from fsm_orchestrator.inspection.inspected_run import InspectedRun
from fsm_orchestrator.model.execution import StageExecution
from fsm_orchestrator.model.invocation import GateDecision
from fsm_orchestrator.record.work import is_to_come
from fsm_orchestrator.vocabulary import Ending, Outcome, StageStatus, Standing, Trigger

_FATES: Final[Mapping[Ending | None, StageFate]] = {
    Ending.DECLINED: StageFate.DECLINED,
    Ending.BLOCKED: StageFate.BLOCKED,
}
"""The fates of stages that report one by their exit code."""


def explained_gates(view: InspectedRun) -> tuple[GateInForce, ...]:
    """Return every gate with its decision in force, or the one that its kept signal implies."""
    decided = {one.gate: one for one in view.report.gate_decisions}
    decisions: tuple[GateDecision, ...] = tuple(decided.values())
    rules, checkpoint = view.report.gates, view.checkpoint
    if checkpoint is not None:
        rules = checkpoint.lifecycle.gates
        kept = judge(rules, checkpoint.gate_signals)
        decisions = tuple(decided.get(one.gate, one) for one in kept)
    return tuple(
        gate_in_force(
            rules,
            one,
            is_judged=one.gate in decided,
            is_to_come=checkpoint is not None and is_to_come(checkpoint, one.gate),
        )
        for one in decisions
    )


def blocking_gates(view: InspectedRun) -> tuple[GateInForce, ...]:
    """Return the gates that refused where the run stands, without those that are still to come.

    Empty if a stage has blocked the run.
    """
    if view.report.blocking_stage is not None:
        return ()
    refused = [one for one in explained_gates(view) if not one.decision.passed]
    return tuple(one for one in refused if not one.is_to_come) or tuple(refused)


def explained_stages(view: InspectedRun, attempt_facts: AttemptFacts) -> tuple[ExplainedStage, ...]:
    """Return the stages of the lifecycle, or those with a record if it is not known."""
    if view.checkpoint is not None:
        names = view.checkpoint.lifecycle.stages
    else:
        executions = [one for visit in view.invocations for one in visit.stage_executions]
        names = tuple(dict.fromkeys(one.stage for one in executions if one.attempt))
    return tuple(_explained_stage(view, name, attempt_facts) for name in names)


def _explained_stage(view: InspectedRun, stage: str, attempt_facts: AttemptFacts) -> ExplainedStage:
    fate, because = _fate(view, stage)
    return ExplainedStage(
        stage=stage, fate=fate, because=because, attempts=_attempts(view, stage, attempt_facts)
    )


def _attempts(
    view: InspectedRun, stage: str, attempt_facts: AttemptFacts
) -> tuple[ExplainedAttempt, ...]:
    found = [
        ExplainedAttempt(
            invocation=visit.number,
            attempt=one.attempt,
            ending=ending_sentence(one),
            facts=()
            if one.status is StageStatus.SKIPPED
            else attempt_facts.of_all(one, visit.number),
        )
        for visit in view.invocations
        for one in visit.stage_executions
        if one.stage == stage and one.attempt
    ]
    open_attempt = view.open_attempt_of(stage)
    if open_attempt is not None:
        is_working = view.standing.is_held
        found.append(
            ExplainedAttempt(
                invocation=view.invocation_count,
                attempt=open_attempt.attempt,
                ending="at work" if is_working else "its end was not seen",
                facts=open_attempt_facts(open_attempt),
            )
        )
    return tuple(found)


def _fate(view: InspectedRun, stage: str) -> tuple[StageFate, str]:
    open_attempt = view.open_attempt_of(stage)
    if open_attempt is not None:
        if view.standing.is_held:
            return StageFate.RUNNING, open_attempt.reason
        return StageFate.INTERRUPTED, "interrupted: its orchestrator died while it ran"
    mine = [one for one in view.report.stage_executions if one.stage == stage and one.attempt]
    if mine:
        return _fate_of_execution(mine[-1])
    if view.checkpoint is not None and stage in view.checkpoint.invocation.passed_over:
        return StageFate.PASSED_OVER, "no binary"
    return StageFate.NOT_REACHED, _why_not_reached(view, stage)


def _fate_of_execution(execution: StageExecution) -> tuple[StageFate, str]:
    said = _FATES.get(execution.ending)
    if said is not None and execution.problem is not None:
        return said, execution.problem.cause
    match execution.status:
        case StageStatus.SUCCESS:
            return StageFate.SUCCEEDED, execution.reason
        case StageStatus.SKIPPED:
            return StageFate.SKIPPED, execution.reason
        case StageStatus.INTERRUPTED:
            return StageFate.INTERRUPTED, execution.error or execution.reason
        case (
            StageStatus.FAILED
            | StageStatus.TIMEOUT
            | StageStatus.SPAWN_FAILED
            | StageStatus.ARTIFACT_MISSING
        ):
            problem = execution.problem
            return StageFate.FAILED, execution.reason if problem is None else problem.cause


def _why_not_reached(view: InspectedRun, stage: str) -> str:
    """Return why the latest invocation did not reach a stage."""
    report = view.report
    completion = None if view.checkpoint is None else view.checkpoint.completion_of(stage)
    done_before = "" if completion is None else f"; attempt {completion.attempt} completed it"
    if view.standing.is_held:
        return f"the run has not reached it yet{done_before}"
    if report.terminal_state is Outcome.BLOCKED and any(
        one.trigger is Trigger.GATES_REFUSED for one in report.transitions
    ):
        return f"the gates refused{done_before}"
    if report.declined:
        return f"stage {report.declined[-1].stage} had nothing to do{done_before}"
    failed = report.failures
    if failed:
        name = failed[0].command if failed[0].attempt == 0 else f"stage {failed[0].stage}"
        return f"{name} did not succeed{done_before}"
    if report.next_task_queue is not None:
        return f"it is left to task queue {report.next_task_queue}{done_before}"
    if view.standing is Standing.INTERRUPTED:
        return f"the run was interrupted before it started{done_before}"
    return f"no path through the lifecycle led to it{done_before}"
