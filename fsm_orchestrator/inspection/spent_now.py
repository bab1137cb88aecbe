"""The spending of a run so far, with what the attempts at work have metered. Reads only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fsm_orchestrator.inspection.inspected_run import InspectedRun

if TYPE_CHECKING:
    from fsm_orchestrator.model.budget import BudgetReport


def spent_now(view: InspectedRun) -> BudgetReport | None:
    """Return the allowed and the spent amounts of a run, or None if it has no budget."""
    budget = view.report.budget
    if budget is None or not view.open_attempts:
        return budget
    from fsm_orchestrator.inspection.quoting import Quoting  # noqa: PLC0415 - only with a budget
    from fsm_orchestrator.record.spending import with_amounts  # noqa: PLC0415 - only with a budget
    from fsm_orchestrator.stages.meter import read_again  # noqa: PLC0415 - likewise
    from fsm_orchestrator.stages.output_files import meter_name  # noqa: PLC0415 - likewise

    hides = Quoting(view).masker.hides
    for one in view.open_attempts:
        metered, _ = read_again(view.directory / meter_name(one.stage, one.attempt), hides)
        budget = with_amounts(budget, one.stage, metered)
    return budget
