"""Compares a report with the checkpoint that it is made from, and decides which one to believe.

Pure. The checkpoint decides. A report may be behind it, because it is written second; and that of
an invocation that could not write its record says more than the checkpoint does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from fsm_orchestrator.model.execution import StageExecution
from fsm_orchestrator.record.checkpoint import Checkpoint
from fsm_orchestrator.record.report import Report
from fsm_orchestrator.record.report_building import build_report
from fsm_orchestrator.vocabulary import ExitCode, Outcome

_JUDGED_ANEW: Final = frozenset({"version", "closure_ready", "terminal_state"})
_OF_THE_END: Final = frozenset(
    {
        *("finished_at", "exit_code", "stop_reason", "stage_executions", "warnings"),
        "containment",
        *("gate_decisions", "events_head"),
    }
)
"""The fields that a failing invocation may still add to in its report and not in its checkpoint."""
_OF_ITS_BEGINNING: Final = frozenset(
    {
        "earlier_invocations",
        "invocations_moved",
        "started_at",
        "execution_mode",
        "transitions",
        "blocked_reason_codes",
        "waiting_for",
    }
)
"""The fields that differ as well if not even its beginning could be written."""


class CheckedReport(NamedTuple):
    """The report to believe.

    Attributes:
        report: the written one, or the one that the checkpoint implies.
        contradicted: the fields in which the written one contradicts the checkpoint; empty if it is
            only behind it, or reports a failure to write it.
    """

    report: Report
    contradicted: tuple[str, ...] = ()


def checked(
    report: Report, checkpoint: Checkpoint, are_artifacts_intact: Callable[[], bool]
) -> CheckedReport:
    """Return the report to believe, and the fields in which the written one contradicts.

    The artifacts are judged only if the written one is not believed.
    """
    was_intact = report.closure_ready and checkpoint.invocation.exit_code == ExitCode.DONE
    implied = build_report(checkpoint, artifacts_intact=was_intact)
    differing = [name for name in Report.model_fields if _differs(name, report, implied)]
    if not differing or _tells_of_a_failure(report, implied, differing):
        return CheckedReport(report)
    told = build_report(checkpoint, artifacts_intact=are_artifacts_intact())
    return CheckedReport(told, () if _is_behind(report, checkpoint) else tuple(differing))


def _differs(name: str, report: Report, implied: Report) -> bool:
    return bool(getattr(report, name) != getattr(implied, name))


def _tells_of_a_failure(report: Report, implied: Report, differing: list[str]) -> bool:
    """Return whether a report is of a run that could not do its own part, and fits the rest."""
    own = [one for one in report.stage_executions if one.operation is not None]
    if not own or report.closure_ready or report.run_id != implied.run_id:
        return False
    if report.lifecycle is None:  # refused before its record was looked at
        return report.terminal_state is Outcome.FAILED and len(report.stage_executions) == 1
    is_done = implied.terminal_state is Outcome.DONE
    if report.terminal_state is not (Outcome.DONE if is_done else Outcome.FAILED):
        return False
    may_differ = _JUDGED_ANEW | _OF_THE_END
    if report.latest.number == implied.latest.last_number + 1:
        return not report.transitions and (may_differ | _OF_ITS_BEGINNING).issuperset(differing)
    has_all = _begins_with(_others(report.stage_executions), _others(implied.stage_executions))
    return has_all and may_differ.issuperset(differing)


def _is_behind(report: Report, checkpoint: Checkpoint) -> bool:
    """Return whether a report is one that the checkpoint had before it continued."""
    before, now = report.latest, checkpoint.invocation
    if report.run_id != checkpoint.run_id or before.number > now.number:
        return False
    if before.number == now.number:
        return (
            report.finished_at is None
            and report.terminal_state is None
            and report.started_at == now.started_at
            and report.earlier_invocations == checkpoint.invocations[:-1]
            and _begins_with(now.transitions, before.transitions)
            and _begins_with(now.stage_executions, before.stage_executions)
        )
    then = next((one for one in checkpoint.invocations if one.number == before.number), None)
    same = {"passed_over": before.passed_over, "rerun": before.rerun, "repeats": None}
    return then is not None and then.model_copy(update=same) == before


def _others(executions: tuple[StageExecution, ...]) -> tuple[StageExecution, ...]:
    return tuple(one for one in executions if one.operation is None)


def _begins_with(whole: tuple[object, ...], part: tuple[object, ...]) -> bool:
    return whole[: len(part)] == part
