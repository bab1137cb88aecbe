"""A run's budget over all its stages, and what the run has used of it, as text.

Loaded only for runs that have a budget or metered anything.
"""

from __future__ import annotations

from collections.abc import Iterator

from fsm_orchestrator.model.budget import BudgetReport, UnitReport
from fsm_orchestrator.text.amounts import grouped
from fsm_orchestrator.text.units import exact_span, span_words


def budget_lines(budget: BudgetReport) -> Iterator[str]:
    """Yield a line for each unit, and one for each time limit of the run."""
    for one in budget.units:
        by_stage = [f"{stage} {grouped(amount)}" for stage, amount in one.by_stage.items()]
        share = f": {', '.join(by_stage)}" if by_stage else ""
        yield spent_words(one) + share
    yield from time_lines(budget)


def time_lines(budget: BudgetReport) -> Iterator[str]:
    """Yield a line for each time limit of the run."""
    if budget.total_timeout_ms is not None:
        worked = span_words(budget.worked_ms or 0)
        yield f"{worked} of {exact_span(budget.total_timeout_ms)} at work, in all invocations"
    if budget.run_timeout_ms is not None:
        yield f"at most {exact_span(budget.run_timeout_ms)} for each invocation"


def brief_words(budget: BudgetReport) -> str:
    """Return what was spent, in one line; empty if nothing is metered."""
    return ", ".join(map(spent_words, budget.units))


def spent_words(one: UnitReport) -> str:
    """Return a text such as `1.6 of 5 usd`; without a budget `1.6 usd`."""
    return amount_words(one.unit, one.spent, one.allowed)


def amount_words(unit: str, spent: str, allowed: str | None) -> str:
    """Return such a text for an amount of one unit."""
    of = "" if allowed is None else f" of {grouped(allowed)}"
    return f"{grouped(spent)}{of} {unit}"
