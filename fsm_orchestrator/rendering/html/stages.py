"""The stages of a run: their attempts field by field, what they left and what they printed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from fsm_orchestrator.explanation.explanation import (
    ExplainedAttempt,
    ExplainedStage,
    Explanation,
    Fact,
    StageFate,
)
from fsm_orchestrator.explanation.facts import FactName
from fsm_orchestrator.inspection.inspected_run import InspectedRun
from fsm_orchestrator.model.execution import Artifact, StageExecution
from fsm_orchestrator.rendering.html.latest import Latest, latest
from fsm_orchestrator.rendering.html.looks import FATES, Look, look_of, look_of_open
from fsm_orchestrator.rendering.html.output import Output, Outputs
from fsm_orchestrator.text.phrases import counted
from fsm_orchestrator.text.units import span_words
from fsm_orchestrator.vocabulary import StageStatus

ATTEMPTS_SHOWN_MAX: Final = 20
ARTIFACTS_SHOWN_MAX: Final = 50
UNREACHED_SHOWN_MAX: Final = 5
"""The most unreached stages that are shown individually; more of them are shown as one."""
_SHOWN_BY_THEMSELVES: Final = frozenset(
    {FactName.STDERR, FactName.STDOUT, FactName.ARTIFACT, FactName.LOG}
)
"""The facts that the page shows in more detail."""
_OPEN: Final = (StageFate.FAILED, StageFate.BLOCKED, StageFate.INTERRUPTED, StageFate.RUNNING)

_Executions = Mapping[tuple[int, str, int], StageExecution]


@dataclass(frozen=True, slots=True)
class ShownAttempt:
    """One attempt. If it has many artifacts, the first ones are shown."""

    record: ExplainedAttempt
    look: Look
    facts: Sequence[Fact]
    artifacts: Sequence[Artifact]
    artifacts_left_out: int
    outputs: Sequence[Output]


@dataclass(frozen=True, slots=True)
class ShownStage:
    """One stage. If it has many attempts, the latest are shown."""

    record: ExplainedStage
    fate: Look
    attempts: Latest[ShownAttempt]
    took_ms: int | None

    @property
    def is_open(self) -> bool:
        """True if the stage is shown open, for readers come for it; the others are folded."""
        return self.record.fate in _OPEN

    @property
    def summary(self) -> str:
        """The number of attempts and their total time, where known."""
        count = len(self.attempts.shown) + max(0, self.attempts.left_out)
        took = "" if self.took_ms is None else span_words(self.took_ms)
        return ", ".join(filter(None, (counted(count, "attempt") if count > 1 else "", took)))


def stages_of(view: InspectedRun, explanation: Explanation) -> list[ShownStage]:
    """Return all stages, in the lifecycle's order."""
    executions = {
        (visit.number, one.stage, one.attempt): one
        for visit in view.invocations
        for one in visit.stage_executions
        if one.attempt and one.status is not StageStatus.SKIPPED
    }
    outputs = Outputs(view)
    is_working = view.standing.is_held
    return [
        _stage(stage, executions, outputs, is_working=is_working) for stage in explanation.stages
    ]


def unreached_in(stages: Sequence[ShownStage]) -> list[ShownStage]:
    """Return the stages that are shown as one, because so many were not reached."""
    found = [
        one for one in stages if one.record.fate is StageFate.NOT_REACHED and not one.attempts.shown
    ]
    return found if len(found) > UNREACHED_SHOWN_MAX else []


def _stage(
    stage: ExplainedStage, executions: _Executions, outputs: Outputs, *, is_working: bool
) -> ShownStage:
    ran = latest([one for one in stage.attempts if one.facts], ATTEMPTS_SHOWN_MAX)
    shown = [
        _attempt(
            one,
            stage.stage,
            executions.get((one.invocation, stage.stage, one.attempt)),
            outputs,
            is_working=is_working,
        )
        for one in ran.shown
    ]
    spans = [one.duration_ms for (_, name, _), one in executions.items() if name == stage.stage]
    took_ms = sum(spans) if spans else None
    is_told_by_attempt = stage.fate is StageFate.FAILED and shown  # it may have timed out
    fate = shown[-1].look if is_told_by_attempt else FATES[stage.fate]
    return ShownStage(stage, fate, Latest(shown, ran.left_out), took_ms)


def _attempt(
    attempt: ExplainedAttempt,
    stage: str,
    execution: StageExecution | None,
    outputs: Outputs,
    *,
    is_working: bool,
) -> ShownAttempt:
    look, kept_stderr = look_of_open(is_working=is_working), ""
    artifacts: Sequence[Artifact] = ()
    if execution is not None:
        look = look_of(execution.status, execution.ending)
        kept_stderr, artifacts = execution.stderr_tail, execution.artifacts
    return ShownAttempt(
        record=attempt,
        look=look,
        facts=[fact for fact in attempt.facts if fact.name not in _SHOWN_BY_THEMSELVES],
        artifacts=artifacts[:ARTIFACTS_SHOWN_MAX],
        artifacts_left_out=len(artifacts) - ARTIFACTS_SHOWN_MAX,
        outputs=[
            *(() if execution is None else outputs.of_verifications(execution)),
            *outputs.of(stage, attempt.attempt, attempt.invocation, kept_stderr),
        ],
    )
