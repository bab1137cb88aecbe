"""The exact next command, and what it would do: tried the way a run would try it, and not done.

The command is made together with the request it stands for, and the request is prepared as `plan`
does: what is offered here is accepted there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from fsm_orchestrator.config.run_config import RunConfig
from fsm_orchestrator.config.stage_settings import settings_of
from fsm_orchestrator.errors import OrchestratorError, UsageError
from fsm_orchestrator.explanation.explanation import NextStep
from fsm_orchestrator.explanation.remedies import remedies_of, who_can_change
from fsm_orchestrator.gates.rules import GATE_RULES
from fsm_orchestrator.inspection.inspected_run import InspectedRun
from fsm_orchestrator.preparation.dispatch import prepare
from fsm_orchestrator.preparation.plan import Plan, plan_of
from fsm_orchestrator.preparation.preparation import limits_in_force
from fsm_orchestrator.preparation.resumable_run import resumable_run
from fsm_orchestrator.record.checkpoint_reader import load_saved
from fsm_orchestrator.record.report import failures_of, is_nothing_kept
from fsm_orchestrator.text.phrases import option_prefix
from fsm_orchestrator.vocabulary import (
    BYTES_MAX,
    MILLISECONDS_MAX,
    PRODUCT,
    Ending,
    OnChangedStage,
    Outcome,
    PlannedAction,
    Standing,
)

VALUE_UNKNOWN: Final = "VALUE"
_RAISED: Final = {
    Ending.TIMED_OUT: ("timeout_ms", MILLISECONDS_MAX),
    Ending.WENT_QUIET: ("idle_timeout_ms", MILLISECONDS_MAX),
    Ending.OUTPUT_LIMIT: ("output_limit_bytes", BYTES_MAX),
}
"""The limit that a stage ran into, and the largest that it may have."""
_VERBS: Final = {
    PlannedAction.RUN: "run",
    PlannedAction.SKIP: "skip",
    PlannedAction.PASS_OVER: "pass over",
    PlannedAction.NOT_REACHED: "not reach",
}


@dataclass(frozen=True, slots=True)
class _Request:
    """A command, and the request that it stands for."""

    words: tuple[str, ...]
    settings: dict[str, Any]

    def config(self, directory: Path) -> RunConfig:
        return RunConfig.model_validate({"output_directory": directory, **self.settings})


def next_step_of(view: InspectedRun, shown: str, now_wrong: tuple[str, ...]) -> NextStep:
    """What to do next about a run. `shown` is OUT as it is to stand in a command."""
    step = NextStep(
        remedies=remedies_of(view, now_wrong),
        who=who_can_change(view, now_wrong),
        words=None,
        would=(),
    )
    if view.is_archived:
        gone = "a later run has taken its place: it can be read, not resumed"
        return step.model_copy(update={"remedies": (gone,), "who": "nobody"})
    match view.standing:
        case Standing.WORKING:
            words = (PRODUCT, "logs", shown, "--follow")
            would = ("show what the stages print, until the run has ended",)
            return step.model_copy(update={"words": words, "would": would})
        case Standing.DONE | Standing.NOT_CLOSABLE if not now_wrong and view.report.closure_ready:
            return step
        case _:
            return _resume_step(view, shown, step)


def _resume_step(view: InspectedRun, shown: str, step: NextStep) -> NextStep:
    if is_nothing_kept(view.report) and view.checkpoint is None:
        would = ("begin again: type the whole command of the run once more",)
        return step.model_copy(update={"would": would})
    if view.checkpoint is None:
        return step
    request = _resume_request(view, shown)
    try:
        plan, request, refusal = _accepted(view, request)
    except OrchestratorError as error:
        said = str(error) if not error.remedy else f"{error}; {error.remedy}"
        return step.model_copy(
            update={"remedies": (*step.remedies, f"a resume is refused: {said}")}
        )
    remedies = (*step.remedies, *refusal)
    known = {"remedies": remedies, "words": request.words, "would": _effects(plan)}
    return step.model_copy(update=known)


def _resume_request(view: InspectedRun, shown: str) -> _Request:
    """A resume, with what it takes to get past what stopped the run."""
    words: list[str] = [PRODUCT, shown, "--resume"]
    settings: dict[str, Any] = {"resume": True, "gates": {}, "stages": {}}
    if view.report.terminal_state is Outcome.BLOCKED:
        for decision in view.report.gate_decisions:
            if not decision.passed:
                passing = GATE_RULES[decision.gate].passing
                words += [f"--{decision.gate.value}-status", passing]
                settings["gates"][decision.gate] = passing
    for stage, field, limit in _raised_limits(view):
        option = field.removesuffix("_bytes").replace("_", "-")
        words += [f"{option_prefix(stage)}-{option}", str(limit)]
        settings["stages"][stage] = {field: limit}
    return _Request(tuple(words), settings)


def _raised_limits(view: InspectedRun) -> list[tuple[str, str, int]]:
    """Twice the limit that each stage ran into."""
    found = []
    for execution in failures_of(view.report):
        record = None if view.checkpoint is None else view.checkpoint.stages.get(execution.stage)
        if view.checkpoint is None or record is None or execution.ending not in _RAISED:
            continue
        field, most = _RAISED[execution.ending]
        limits = limits_in_force(view.checkpoint, execution.stage, settings_of(record))
        limit = getattr(limits, field)
        if limit is not None:
            found.append((execution.stage, field, min(2 * limit, most)))
    return found


def _accepted(view: InspectedRun, request: _Request) -> tuple[Plan, _Request, tuple[str, ...]]:
    """The plan of the first form of the request that would be accepted, and why not a plainer one.

    Raises:
        OrchestratorError: none would; the refusal of the plainest form.
    """
    request = _with_lost_values(view, request)
    try:
        return plan_of(prepare(request.config(view.directory))), request, ()
    except UsageError as refused:
        again = replace(
            request,
            words=(*request.words, "--on-changed-stage", OnChangedStage.RERUN.value),
            settings={**request.settings, "on_changed_stage": OnChangedStage.RERUN},
        )
        try:
            return plan_of(prepare(again.config(view.directory))), again, (str(refused),)
        except UsageError:
            pass
        raise


def _with_lost_values(view: InspectedRun, request: _Request) -> _Request:
    """The request with a place for each environment value that is not kept any more."""
    kept = resumable_run(request.config(view.directory), load_saved(view.directory))
    words = list(request.words)
    stages = {stage: dict(given) for stage, given in request.settings["stages"].items()}
    for stage, settings in kept.settings.items():
        if kept.checkpoint.completion_of(stage) is None and settings.missing_values:
            for key in settings.missing_values:
                words += [f"{option_prefix(stage)}-env", f"{key}={VALUE_UNKNOWN}"]
            stages.setdefault(stage, {})["env"] = dict.fromkeys(
                settings.missing_values, VALUE_UNKNOWN
            )
    return _Request(tuple(words), {**request.settings, "stages": stages})


def _effects(plan: Plan) -> tuple[str, ...]:
    effects = [
        f"{_VERBS[one.action]} {one.stage} ({one.reason.partition(';')[0]})" for one in plan.stages
    ]
    if plan.outcome is not Outcome.DONE:
        effects.append(f"end {plan.outcome.value}")
    return tuple(effects)
