"""The row of a screen that shows what a run has spent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fsm_orchestrator.explanation.budget_words import brief_words

if TYPE_CHECKING:
    from fsm_orchestrator.model.budget import BudgetReport


def spent_rows(budget: BudgetReport | None) -> list[tuple[str, str]]:
    """Return the row of what was spent, or no row if nothing is metered."""
    spent = "" if budget is None else brief_words(budget)
    return [("spent", spent)] if spent else []
