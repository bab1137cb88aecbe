"""What a run has spent by now, with what the attempt at work has metered so far. Reads only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fsm_orchestrator.inspection.inspected_run import InspectedRun

if TYPE_CHECKING:
    from fsm_orchestrator.model.budget import BudgetReport


def spent_now(view: InspectedRun) -> BudgetReport | None:
    """Return what the run may take and what it took; None where it has no budget."""
    budget, attempt = view.report.budget, view.open_attempt
    if budget is None or attempt is None:
        return budget
    from fsm_orchestrator.inspection.quoting import Quoting  # noqa: PLC0415 - only with a budget
    from fsm_orchestrator.record.spending import with_amounts  # noqa: PLC0415 - only with a budget
    from fsm_orchestrator.stages.meter import read_again  # noqa: PLC0415 - likewise
    from fsm_orchestrator.stages.output_files import meter_name  # noqa: PLC0415 - likewise

    hides = Quoting(view).masker.hides
    metered, _ = read_again(view.directory / meter_name(attempt.stage, attempt.attempt), hides)
    return with_amounts(budget, attempt.stage, metered)
