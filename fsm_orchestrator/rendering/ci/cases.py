"""A run as test cases: whether it may be closed, its gates, its stages and their verifications."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import Final, NamedTuple, assert_never

from fsm_orchestrator.explanation.gate_table import evidence_words
from fsm_orchestrator.explanation.unrun_words import unrun_sentences
from fsm_orchestrator.inspection.inspected_run import InspectedRun, state_now
from fsm_orchestrator.model.execution import StageExecution
from fsm_orchestrator.model.invocation import GateDecision
from fsm_orchestrator.rendering.html.colors import plain_of
from fsm_orchestrator.rendering.html.output import Outputs
from fsm_orchestrator.text.hidden import shell_line
from fsm_orchestrator.text.phrases import span_ms
from fsm_orchestrator.vocabulary import Ending, StageStatus, Standing

CLOSURE: Final = "may be closed"
"""The name of the case that says whether a supervisor may close the run."""


class Suite(StrEnum):
    """The groups of cases, in the order in which they are shown."""

    RUN = "run"
    GATES = "gates"
    STAGES = "stages"
    VERIFICATION = "verification"

    @property
    def of_one(self) -> str:
        """The word for the subject of one case."""
        match self:
            case Suite.RUN | Suite.VERIFICATION:
                return self.value
            case Suite.GATES:
                return "gate"
            case Suite.STAGES:
                return "stage"
            case _:
                assert_never(self)


class Verdict(StrEnum):
    """The result of a case."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


class Case(NamedTuple):
    """One case.

    Attributes:
        kind: the kind of failure, for programs: a reason code, an ending, a standing.
        message: the failure, or the reason for skipping.
        stdout: the end of the captured stdout, masked.
        stderr: the end of the captured stderr, masked.
        execution: the execution that the case is about, where it is about one.
    """

    suite: Suite
    name: str
    duration_ms: int
    verdict: Verdict
    kind: str = ""
    message: str = ""
    stdout: str = ""
    stderr: str = ""
    execution: StageExecution | None = None


def cases_of(view: InspectedRun) -> tuple[Case, ...]:
    """Return the cases of a run: those of its latest invocation, as its report has them."""
    report, outputs = view.report, Outputs(view)
    return (
        _closure(view),
        *(_of_gate(one) for one in report.gate_decisions),
        *_of_stages(view, outputs),
        *_of_verifications(report.stage_executions, outputs),
    )


def _closure(view: InspectedRun) -> Case:
    """Return the case that fails whatever the others say: anything missing counts against it."""
    report = view.report
    took = 0 if report.finished_at is None else span_ms(report.started_at, report.finished_at)
    standing = view.standing
    wrong = state_now(view).wrong
    if standing is Standing.DONE and not wrong:
        return Case(Suite.RUN, CLOSURE, took, Verdict.PASSED)
    said = [f"the run is {standing.words}"] if standing is not Standing.DONE else []
    causes = [f"{one.name}: {one.error}" for one in report.failures if one.error is not None]
    unrun = unrun_sentences(report)
    message = "; ".join((*said, *report.blocked_reason_codes, *unrun, *causes, *wrong))
    return Case(Suite.RUN, CLOSURE, took, Verdict.FAILED, standing.value, message)


def _of_gate(decision: GateDecision) -> Case:
    if decision.passed:
        return Case(Suite.GATES, decision.gate, 0, Verdict.PASSED)
    words = evidence_words(decision)
    message = f"signal {decision.status}{'' if words is None else f': {words}'}"
    code = decision.reason_code or ""
    return Case(Suite.GATES, decision.gate, 0, Verdict.FAILED, code, message)


def _of_stages(view: InspectedRun, outputs: Outputs) -> Iterator[Case]:
    for one in view.report.stage_executions:
        name = _name(one)
        if one.status is StageStatus.SKIPPED or one.ending is Ending.DECLINED:
            said = one.error or one.reason
            yield Case(Suite.STAGES, name, 0, Verdict.SKIPPED, message=said, execution=one)
            continue
        told = dict(_printed(outputs, one, view.invocation_count))
        verdict = Verdict.PASSED if one.status.is_good else Verdict.FAILED
        kind = (one.ending or one.status).value
        yield Case(
            Suite.STAGES,
            name,
            one.duration_ms,
            verdict,
            kind,
            one.error or "",
            **told,
            execution=one,
        )


def _name(execution: StageExecution) -> str:
    attempt = execution.attempt
    return f"{execution.name} (attempt {attempt})" if attempt > 1 else execution.name


def _of_verifications(executions: Iterable[StageExecution], outputs: Outputs) -> Iterator[Case]:
    """Yield a case for each command that was run to verify the work of a stage."""
    for execution in executions:
        for one in execution.verifications:
            yield Case(
                Suite.VERIFICATION,
                f"{_name(execution)}: {shell_line(one.words)}",
                one.duration_ms,
                Verdict.PASSED if one.is_good else Verdict.FAILED,
                "" if one.ending is None else one.ending.value,
                "" if one.problem is None else one.problem.sentence,
                outputs.plain(one.stdout_tail),
                outputs.plain(one.stderr_tail),
                execution,
            )


def _printed(
    outputs: Outputs, execution: StageExecution, invocation: int
) -> Iterator[tuple[str, str]]:
    if execution.attempt > 0:
        of = outputs.of(execution.stage, execution.attempt, invocation, execution.stderr_tail)
        for one in of:
            if one.spans is not None:
                yield one.stream, plain_of(one.spans)
