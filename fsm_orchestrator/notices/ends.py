"""The end that an invocation came to, and whether people were notified of the same one before."""

from __future__ import annotations

from pathlib import Path
from typing import assert_never

from fsm_orchestrator.inspection.inspected_run import standing_of
from fsm_orchestrator.model.told_ends import ToldEnd
from fsm_orchestrator.record.report import Report
from fsm_orchestrator.text.digest import sha256_of
from fsm_orchestrator.text.json_output import json_value
from fsm_orchestrator.vocabulary import StageStatus, Standing


def end_of(report: Report, directory: Path) -> ToldEnd:
    """Return the end of the invocation of a report, each as a single word."""
    if report.was_asked_to_end:
        return ToldEnd.INTERRUPTED
    match standing_of(report, directory, None):
        case Standing.DONE:
            return ToldEnd.DONE
        case Standing.NOT_CLOSABLE:
            return ToldEnd.NOT_CLOSABLE
        case Standing.WAITING:
            return ToldEnd.WAITING
        case Standing.BLOCKED:
            return ToldEnd.BLOCKED
        case Standing.FAILED:
            return ToldEnd.FAILED
        case Standing.TIMEOUT:
            return ToldEnd.TIMEOUT
        case Standing.INTERRUPTED | Standing.WORKING | Standing.SUSPENDED:
            return ToldEnd.INTERRUPTED
        case other:
            assert_never(other)


def standing_digest(report: Report, end: ToldEnd) -> str:
    """Return a digest that is equal for two ends after which a run stands as before.

    They are equal if nothing was run between them, and the same gates refuse for the same reasons
    or the same requests wait for the same people.
    """
    attempts = [
        (one.stage, one.attempt)
        for invocation in (*report.earlier_invocations, report.latest)
        for one in invocation.stage_executions
        if one.status is not StageStatus.SKIPPED
    ]
    awaited = [(one.gate, one.request, one.given, one.needed) for one in report.waiting_for]
    said = (end, report.current_state, report.blocked_reason_codes, awaited, attempts[-1:])
    return sha256_of(json_value(said).encode())[:32]
