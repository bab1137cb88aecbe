"""The causes of a run's standing, the first cause first, each with its facts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, assert_never

from fsm_orchestrator.constants import SIGNAL_BASE
from fsm_orchestrator.explanation.attempt_facts import AttemptFacts, open_attempts_facts
from fsm_orchestrator.explanation.explanation import Cause, Fact
from fsm_orchestrator.explanation.facts import FactName
from fsm_orchestrator.explanation.gate_table import evidence_words
from fsm_orchestrator.explanation.stages import blocking_gates
from fsm_orchestrator.inspection.inspected_run import (
    ORCHESTRATOR_STOPPED,
    InspectedRun,
    StateNow,
)
from fsm_orchestrator.model.endings import PostmortemGap, signal_name
from fsm_orchestrator.model.execution import StageExecution
from fsm_orchestrator.model.open_attempt import AttemptRecord
from fsm_orchestrator.model.stop_words import stop_words
from fsm_orchestrator.record.report import Report
from fsm_orchestrator.text.phrases import counted
from fsm_orchestrator.vocabulary import (
    Operation,
    Outcome,
    StageStatus,
    Standing,
    StopReason,
    Trigger,
)

NOTHING_TO_CLOSE: Final = "there was nothing to do, so there is nothing to close"


def causes_of(view: InspectedRun, attempt_facts: AttemptFacts, now: StateNow) -> tuple[Cause, ...]:
    """Return the causes, the first cause first.

    Args:
        view: the run.
        attempt_facts: the facts that its attempts have left.
        now: what has changed since it was done.
    """
    causes = tuple(_causes(view, attempt_facts, now))
    said = " ".join(cause.in_full for cause in causes)
    if view.trouble is None or view.trouble in said:
        return causes
    return (*causes, Cause(sentence=view.trouble, facts=()))


def _causes(view: InspectedRun, attempt_facts: AttemptFacts, now: StateNow) -> Iterator[Cause]:
    match view.standing:
        case Standing.WORKING:
            yield _working(view)
        case Standing.SUSPENDED:
            yield Cause(sentence=ORCHESTRATOR_STOPPED, facts=_working(view).facts)
        case Standing.INTERRUPTED:
            yield _cut_short(view)
        case Standing.BLOCKED | Standing.WAITING:
            yield from _refusals(view, attempt_facts)
        case Standing.FAILED | Standing.TIMEOUT:
            yield from _failures(view, attempt_facts)
        case Standing.DONE | Standing.NOT_CLOSABLE:
            yield from _done(view, attempt_facts, now)
        case standing:
            assert_never(standing)


def _working(view: InspectedRun) -> Cause:
    holder = view.holder
    at_work = (
        "not known yet"
        if holder is None or holder.pid is None
        else (f"process {holder.pid} on {holder.host}, since {holder.since}")
    )
    orchestrator = Fact(name=FactName.ORCHESTRATOR, value=at_work)
    attempts = view.open_attempts
    if not attempts:
        return Cause(
            sentence=f"the run is at work, in state {view.report.current_state}",
            facts=(orchestrator,),
        )
    verb = "is at work" if len(attempts) == 1 else "are at work side by side"
    return Cause(
        sentence=f"{_named(attempts)}, {verb}",
        facts=(*open_attempts_facts(attempts), orchestrator),
    )


def _named(attempts: Sequence[AttemptRecord]) -> str:
    """Name attempts: `stage lint, attempt 1`; several: `stages lint (attempt 1), test (…)`."""
    if len(attempts) == 1:
        return f"stage {attempts[0].stage}, attempt {attempts[0].attempt}"
    return "stages " + ", ".join(f"{one.stage} (attempt {one.attempt})" for one in attempts)


def _cut_short(view: InspectedRun) -> Cause:
    handed_over = view.report.handed_over_words
    if handed_over is not None:
        place = view.report.transitions[-1].source
        return Cause(sentence=f"the run {handed_over}, which {place} needs", facts=())
    attempts = view.open_attempts
    what = view.cut_short_words
    its_end = "not seen; anything left of it belongs to the other directory"
    if view.where.has_processes:
        what = f"{what}: it was killed, or the machine went down"
        its_end = "not seen; a resume ends what is left of it and reports that"
    if not attempts:
        return Cause(sentence=f"{what}, in state {view.report.current_state}", facts=())
    verb = "was" if len(attempts) == 1 else "were"
    where = f" while {_named(attempts)}, {verb} at work"
    note = Fact(name=FactName.ITS_END, value=its_end)
    gap = Fact(name=FactName.NO_POSTMORTEM, value=PostmortemGap.ORCHESTRATOR_DIED.words)
    return Cause(sentence=f"{what},{where}", facts=(*open_attempts_facts(attempts), note, gap))


def _refusals(view: InspectedRun, attempt_facts: AttemptFacts) -> Iterator[Cause]:
    ran = [one for one in view.report.stage_executions if one.attempt]
    if view.report.blocking_stage is not None:
        yield from (_failure(one, attempt_facts) for one in view.report.failures)
    for gate in blocking_gates(view):
        decision = gate.decision
        sentence = (
            f"gate {gate.words} refused: its signal is {decision.status}, and only"
            f" {gate.passing} passes"
        )
        facts = [Fact(name=FactName.REASON_CODE, value=decision.reason_code or "")]
        if decision.evidence is not None and decision.evidence.problem is not None:
            from fsm_orchestrator.explanation.evidence_remedies import evidence_facts  # noqa: PLC0415 - rare

            sentence = f"gate {gate.words} refused: {evidence_words(decision)}"
            facts += evidence_facts(decision.evidence, attempt_facts.directory)
            if decision.evidence.approval is not None:
                from fsm_orchestrator.explanation.approvals import approval_facts, waiting_words  # noqa: PLC0415 - rare

                facts += approval_facts(view, decision.gate)
                sentence = waiting_words(view, decision.gate) or sentence
        yield Cause(sentence=sentence, facts=tuple(facts))
    if not ran:
        yield Cause(sentence="nothing was started", facts=())


def _failures(view: InspectedRun, attempt_facts: AttemptFacts) -> Iterator[Cause]:
    report = view.report
    if report.was_asked_to_end:
        yield Cause(sentence=f"the run {_asked_words(report)}", facts=())
    found = report.failures
    for execution in found:
        yield _failure(execution, attempt_facts)
    last = report.transitions[-1] if report.transitions else None
    if last is not None and (not found or last.trigger is Trigger.REWORK_REQUESTED):
        # The reason why it was not sent back again; the request for that is stated above.
        said = (last.cause, *last.details)[-1] if found else last.cause
        yield Cause(sentence=said, facts=())


def _asked_words(report: Report) -> str:
    """Return how a run was asked to end; a signal is described as the request that it carried."""
    reason, name = report.stop_reason, signal_name((report.exit_code or 0) - SIGNAL_BASE)
    if reason is None or reason is StopReason.SIGNAL:
        reason = StopReason.REQUESTED
    return stop_words(reason, name)


def _failure(execution: StageExecution, attempt_facts: AttemptFacts) -> Cause:
    problem = execution.problem
    cause = execution.status.value if problem is None else problem.cause
    if execution.operation in {Operation.RUN_TIMEOUT, Operation.BUDGET_VERIFY}:
        sentence = cause  # nothing failed: the time or the budget of the run is used up
    elif execution.attempt == 0:
        sentence = f"{execution.command} failed: {cause}"
    else:
        sentence = f"stage {execution.stage}, attempt {execution.attempt}: {cause}"
    return Cause(
        sentence=sentence,
        details=() if problem is None else problem.details,
        facts=attempt_facts.of_end(execution),
    )


def _done(view: InspectedRun, attempt_facts: AttemptFacts, now: StateNow) -> Iterator[Cause]:
    for sentence in now.wrong:
        yield Cause(sentence=sentence, facts=())
    if view.report.is_unearned:
        from fsm_orchestrator.explanation.unrun_words import unrun_sentences  # noqa: PLC0415 - rare

        yield from (Cause(sentence=one, facts=()) for one in unrun_sentences(view.report))
    if view.report.terminal_state is Outcome.DONE and not view.report.closure_ready:
        doubt = None if view.checkpoint is None else view.checkpoint.doubt
        if doubt is not None:
            yield Cause(
                sentence=f"invocation {doubt.invocation} continued from a record that may not"
                f" be the one that had been left: {doubt.cause.words}",
                facts=(),
            )
        for execution in view.report.failures:
            # The artifacts' current problems are stated above.
            if not (now.wrong and execution.operation is Operation.CLOSURE_VERIFY):
                yield _failure(execution, attempt_facts)
        if view.report.nothing_to_do:
            yield from _nothing_to_do(view, attempt_facts)
    if view.standing is Standing.DONE and not now.wrong:
        yield Cause(sentence=_why_done(view), facts=())


def _nothing_to_do(view: InspectedRun, attempt_facts: AttemptFacts) -> Iterator[Cause]:
    declined = [_failure(one, attempt_facts) for one in view.report.declined]
    yield from declined or (Cause(sentence="a stage had nothing to do", facts=()),)
    yield Cause(sentence=NOTHING_TO_CLOSE, facts=())


def _why_done(view: InspectedRun) -> str:
    completed = {
        one.stage
        for visit in view.invocations
        for one in visit.stage_executions
        if one.status is StageStatus.SUCCESS
    }
    if view.checkpoint is not None:  # it also has what old invocations completed
        completed.update(one.stage for one in view.checkpoint.completions)
    elif view.report.invocations_moved:
        return "every gate passed, and the expected artifacts are there"
    stages = f"{counted(len(completed), 'stage')} succeeded" if completed else "no stage had work"
    return f"every gate passed, {stages}, and the expected artifacts are there"
