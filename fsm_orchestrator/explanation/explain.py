"""The explanation of a run: why it stands where it does, who can change it, what to type.

Reads the output directory, the private file and the artifacts of completed stages; starts and
writes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fsm_orchestrator.constants import ARCHIVE_DIRECTORY
from fsm_orchestrator.explanation.attempt_facts import AttemptFacts
from fsm_orchestrator.explanation.causes import causes_of
from fsm_orchestrator.explanation.changed_files import changed_files_of
from fsm_orchestrator.explanation.explanation import Explanation
from fsm_orchestrator.explanation.next_step import next_step_of
from fsm_orchestrator.explanation.stages import explained_gates, explained_stages
from fsm_orchestrator.inspection.inspected_run import InspectedRun, state_now
from fsm_orchestrator.vocabulary import Standing

if TYPE_CHECKING:
    from fsm_orchestrator.model.budget import BudgetReport


def explain(view: InspectedRun, shown: str) -> Explanation:
    """Explain why a run stands where it does. `shown` is OUT as commands and paths name it."""
    report = view.report
    is_below = view.is_archived and view.bundle is None
    directory = f"{shown}/{ARCHIVE_DIRECTORY}/{report.run_id}" if is_below else shown
    attempt_facts, now = AttemptFacts(view, directory), state_now(view)
    return Explanation(
        output_directory=view.bundle or str(view.run_directory),
        run_id=report.run_id,
        lifecycle=None if report.lifecycle is None else report.lifecycle.name,
        subject=report.subject,
        standing=Standing.NOT_CLOSABLE if now.wrong else view.standing,
        current_state=report.current_state,
        exit_code=report.exit_code,
        since=view.since,
        invocations=view.invocation_count,
        origin=report.origin,
        rebuilt=report.rebuilt,
        invocations_moved=report.invocations_moved,
        budget=_budget(view),
        causes=causes_of(view, attempt_facts, now),
        next_step=next_step_of(view, shown, now),
        gates=explained_gates(view),
        stages=explained_stages(view, attempt_facts),
        changed_files=changed_files_of(view),
        warnings=_warnings(view),
    )


def _budget(view: InspectedRun) -> BudgetReport | None:
    if view.report.budget is None:
        return None
    from fsm_orchestrator.inspection.spent_now import spent_now  # noqa: PLC0415 - only with a budget

    return spent_now(view)


def _warnings(view: InspectedRun) -> tuple[str, ...]:
    sentence, known = view.relocation_sentence, view.report.warnings
    return known if sentence is None or sentence in known else (sentence, *known)
