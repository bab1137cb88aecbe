"""What became of each stage: its attempts field by field, what they left and what they printed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from fsm_orchestrator.explanation.explanation import ExplainedAttempt, ExplainedStage, Explanation
from fsm_orchestrator.inspection.inspected_run import InspectedRun
from fsm_orchestrator.model.execution import Artifact, StageExecution
from fsm_orchestrator.rendering.html.components import (
    FATES,
    Look,
    Tone,
    badge,
    code,
    facts,
    left_out,
    look_of,
    section,
    table,
)
from fsm_orchestrator.rendering.html.elements import Child, Markup, element
from fsm_orchestrator.rendering.html.output import Outputs
from fsm_orchestrator.vocabulary import FactName, StageStatus, Standing

ATTEMPTS_SHOWN_MAX: Final = 20
ARTIFACTS_SHOWN_MAX: Final = 50
_SHOWN_BY_THEMSELVES: Final = frozenset({FactName.STDERR, FactName.ARTIFACT, FactName.LOG})
"""Facts that the page shows in more detail."""

_Executions = Mapping[tuple[int, str, int], StageExecution]


def stages_section(view: InspectedRun, explanation: Explanation) -> Markup:
    """All stages, in the lifecycle's order."""
    executions = {
        (number, one.stage, one.attempt): one
        for number, visit in enumerate(view.invocations, start=1)
        for one in visit.stage_executions
        if one.attempt and one.status is not StageStatus.SKIPPED
    }
    outputs = Outputs(view)
    is_working = view.standing is Standing.WORKING
    parts = [
        _stage(stage, executions, outputs, is_working=is_working) for stage in explanation.stages
    ]
    nothing = element("p", "Nothing is known of its stages.", class_="note")
    return section("stages", "Stages", parts or nothing)


def _stage(
    stage: ExplainedStage, executions: _Executions, outputs: Outputs, *, is_working: bool
) -> Markup:
    ran = [one for one in stage.attempts if one.facts]
    shown = ran[-ATTEMPTS_SHOWN_MAX:]
    return element(
        "section",
        element("h3", stage.stage, " ", badge(FATES[stage.fate])),
        element("p", f"{stage.because}.", class_="because"),
        left_out(len(ran) - len(shown), f"attempts of {stage.stage}"),
        [
            _attempt(
                one,
                stage.stage,
                executions.get((one.invocation, stage.stage, one.attempt)),
                outputs,
                is_working=is_working,
            )
            for one in shown
        ],
        class_="card stage-card",
    )


def _attempt(
    attempt: ExplainedAttempt,
    stage: str,
    execution: StageExecution | None,
    outputs: Outputs,
    *,
    is_working: bool,
) -> Markup:
    kept_stderr = "" if execution is None else execution.stderr_tail
    title = element("h4", f"Attempt {attempt.attempt}, invocation {attempt.invocation}")
    return element(
        "details",
        element("summary", title, badge(_look(execution, is_working=is_working))),
        element("p", attempt.ending),
        facts(fact for fact in attempt.facts if fact.name not in _SHOWN_BY_THEMSELVES),
        None if execution is None else _artifacts(execution.artifacts, stage, attempt.attempt),
        outputs.of(stage, attempt.attempt, attempt.invocation, kept_stderr),
        open="open",
    )


def _look(execution: StageExecution | None, *, is_working: bool) -> Look:
    if execution is not None:
        return look_of(execution.status, execution.ending)
    if is_working:
        return Look("at work", Tone.INFO, "work")
    return look_of(StageStatus.INTERRUPTED, None)


def _artifacts(artifacts: tuple[Artifact, ...], stage: str, attempt: int) -> Child:
    if not artifacts:
        return None
    shown = artifacts[:ARTIFACTS_SHOWN_MAX]
    rest = len(artifacts) - len(shown)
    return [
        table(
            f"Artifacts that attempt {attempt} of {stage} left",
            ("artifact", "bytes", "sha256"),
            ((code(one.path), f"{one.size_bytes:,}", code(one.sha256)) for one in shown),
            class_="data artifacts",
        ),
        element("p", f"{rest} more are in the report file.", class_="note") if rest else None,
    ]
