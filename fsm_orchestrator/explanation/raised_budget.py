"""Raises what a resume needs more of than the run had: a spent budget, time that is up."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fsm_orchestrator.constants import MILLISECONDS_MAX
from fsm_orchestrator.explanation.begin_again import budget_words
from fsm_orchestrator.inspection.inspected_run import InspectedRun
from fsm_orchestrator.model.budget import RunBudget, UnitStop
from fsm_orchestrator.record.checkpoint import Checkpoint
from fsm_orchestrator.record.spending import nothing_left, worked_ms
from fsm_orchestrator.text.amounts import summed, written


def raised_budget(
    view: InspectedRun, checkpoint: Checkpoint
) -> tuple[tuple[str, ...], dict[str, Any]]:
    """Return the options that double whatever the run has used up, and their settings.

    The time limit of an invocation is not raised: the next invocation has all of it again.
    """
    budget = checkpoint.budget
    if budget is None:
        return (), {}
    total_ms = budget.total_timeout_ms
    is_over = total_ms is not None and worked_ms(checkpoint) >= total_ms
    units = {unit: _doubled(budget.units[unit], spent) for unit, spent in _spent(view, checkpoint)}
    raised = RunBudget(
        run_timeout_ms=None,
        total_timeout_ms=min(2 * (total_ms or 0), MILLISECONDS_MAX) if is_over else None,
        units=units,
    )
    return tuple(budget_words(raised)), raised.given


def _spent(view: InspectedRun, checkpoint: Checkpoint) -> Iterator[tuple[str, str]]:
    """Yield the units that are used up, and the spent amount of each."""
    for execution in view.report.failures:
        stop = None if execution.metering is None else execution.metering.stopped_by
        if isinstance(stop, UnitStop):
            yield stop.unit, stop.spent
    stop = nothing_left(checkpoint)
    if stop is not None:
        yield stop.unit, stop.spent


def _doubled(allowed: str, spent: str) -> str:
    """Return twice the allowed amount, or twice the spent amount if that is more."""
    return written(summed(*(max(allowed, spent, key=summed),) * 2))
