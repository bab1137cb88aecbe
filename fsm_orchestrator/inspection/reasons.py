"""The reason for a run's standing, in one line: the error, the awaited gates, what is missing."""

from __future__ import annotations

from typing import Final, assert_never

from fsm_orchestrator.gates.judging import is_awaited
from fsm_orchestrator.inspection.blame import last_words_of, why_words
from fsm_orchestrator.inspection.inspected_run import ORCHESTRATOR_STOPPED
from fsm_orchestrator.model.invocation import GateDecision
from fsm_orchestrator.model.waiting import WaitingFor
from fsm_orchestrator.record.report import Report
from fsm_orchestrator.text.phrases import first_of, listed
from fsm_orchestrator.text.terminal import shown_line
from fsm_orchestrator.vocabulary import Standing

REASON_CHARACTERS_MAX: Final = 500
_NAMED_MAX: Final = 3


def reason_of(report: Report, standing: Standing) -> str:
    """Return the reason for a run's standing; empty if the standing says it all."""
    return _reason(report, standing).replace("\n", " ")[:REASON_CHARACTERS_MAX]


def waiting_words(one: WaitingFor) -> str:
    """Return what a run waits for: `review`, `review by ann or bob, 1 of 2`."""
    if one.request is None:
        return one.gate
    who = f" by {' or '.join(first_of(one.approvers, _NAMED_MAX))}" if one.approvers else ""
    count = f", {one.given} of {one.needed}" if one.needed > 1 else ""
    return f"{one.gate}{who}{count}"


def _reason(report: Report, standing: Standing) -> str:
    match standing:
        case Standing.WORKING | Standing.DONE:
            return ""
        case Standing.INTERRUPTED:
            return report.handed_over_words or ""
        case Standing.SUSPENDED:
            return ORCHESTRATOR_STOPPED
        case Standing.WAITING:
            return f"waits for {listed([waiting_words(one) for one in report.waiting_for])}"
        case Standing.BLOCKED:
            return _refusals(report) or _failure(report)
        case Standing.FAILED | Standing.TIMEOUT:
            return _failure(report)
        case Standing.NOT_CLOSABLE:
            return _what_is_missing(report)
        case _:
            assert_never(standing)


def _refusals(report: Report) -> str:
    codes = report.blocked_reason_codes
    refused = [one for one in report.gate_decisions if one.reason_code in codes]
    outright = [one for one in refused if not is_awaited(one)]
    return "; ".join(_refusal(report, one) for one in outright or refused)


def _refusal(report: Report, decision: GateDecision) -> str:
    passing = report.gates[decision.gate].passing
    return f"gate {decision.gate} is {decision.status}, and only {passing} passes"


def _failure(report: Report) -> str:
    """Return the error of the first failure, and its last words; else why the run ended."""
    for one in report.failures:
        why = why_words(one) if one.problem is None else one.problem.cause
        words = [shown_line(line).strip() for line in last_words_of(one, 1)]
        return ": ".join(filter(None, (one.name, why, *words)))
    return report.transitions[-1].cause if report.transitions else ""


def _what_is_missing(report: Report) -> str:
    if report.nothing_ran:
        return "no stage had a binary: nothing was run"
    if report.unrun_stages:
        return f"no binary: {', '.join(first_of(report.unrun_stages, _NAMED_MAX))}"
    if report.failures:
        return _failure(report)
    if report.nothing_to_do:
        return "nothing to do, so there is nothing to close"
    return report.warnings[-1] if report.warnings else ""
