"""The entries of runs that have not had a turn, by their standing."""

from __future__ import annotations

from typing import assert_never

from fsm_orchestrator.fleet.definition import FleetRun
from fsm_orchestrator.fleet.report import Course, FleetEntry
from fsm_orchestrator.fleet.standing import Action, Decision, code_of
from fsm_orchestrator.vocabulary import ExitCode


def is_due(decision: Decision) -> bool:
    """Return whether the run still has to have a turn."""
    return decision.action in {Action.START, Action.RESUME, Action.WAIT}


def entry_before(run: FleetRun, decision: Decision, *, is_asked: bool) -> FleetEntry:
    """Return the entry of a run that has not had its turn, or gets none."""
    overview = decision.overview
    course, code = _course_before(decision)
    return FleetEntry(
        name=run.name,
        course=course if is_asked else Course.NOT_STARTED,
        reason=decision.reason if is_asked else "it was not asked for",
        run_id=None if overview is None else overview.run_id,
        standing=None if overview is None else overview.standing,
        exit_code=code if is_asked else None,
        concurrency_key=run.concurrency_key,
        priority=run.priority,
        started_at=None,
        finished_at=None,
    )


def _course_before(decision: Decision) -> tuple[Course, int | None]:
    overview = decision.overview
    match decision.action:
        case Action.START | Action.RESUME | Action.WAIT:
            return Course.TO_COME, None
        case Action.SKIP:
            return Course.SKIPPED, ExitCode.DONE
        case Action.LEAVE:
            return Course.LEFT, ExitCode.FAILED if overview is None else code_of(overview)
        case Action.REFUSE:
            return Course.REFUSED, ExitCode.FAILED
        case _:
            assert_never(decision.action)
