"""The part of its budget that a run has used, over all attempts, cycles and invocations. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeAlias

from fsm_orchestrator.model.budget import (
    BudgetReport,
    StageAmount,
    UnitAmount,
    UnitReport,
    UnitStop,
    UsedBefore,
)
from fsm_orchestrator.model.invocation import InvocationRecord
from fsm_orchestrator.record.checkpoint import Checkpoint
from fsm_orchestrator.text.amounts import summed, written

Spent: TypeAlias = dict[str, dict[str, str]]
"""The metered amounts: by unit, then by stage."""


def spent_in(checkpoint: Checkpoint) -> Spent:
    """Return the amounts metered in a run so far, over all attempts that have ended."""
    before = None if checkpoint.earlier is None else checkpoint.earlier.totals.used
    return _by_unit(_amounts(checkpoint.invocations, before))


def worked_ms(checkpoint: Checkpoint) -> int:
    """Return how long the ended invocations of a run have worked, in milliseconds."""
    before = None if checkpoint.earlier is None else checkpoint.earlier.totals.used
    return (0 if before is None else before.worked_ms) + _worked(checkpoint.invocations)


def nothing_left(checkpoint: Checkpoint) -> UnitStop | None:
    """Return the first unit whose budget is used up, or None."""
    budget = checkpoint.budget
    if budget is None or not budget.units:
        return None
    spent = spent_in(checkpoint)
    for unit, allowed in budget.units.items():
        total = summed(*spent.get(unit, {}).values())
        if total >= summed(allowed):
            return UnitStop(kind="unit", unit=unit, spent=written(total), allowed=allowed)
    return None


def used_by(going: Iterable[InvocationRecord], before: UsedBefore | None) -> UsedBefore:
    """Return what invocations used, together with those before them."""
    invocations = tuple(going)
    spent = _by_unit(_amounts(invocations, before))
    return UsedBefore(
        worked_ms=(0 if before is None else before.worked_ms) + _worked(invocations),
        metered=tuple(
            StageAmount(stage=stage, unit=unit, amount=amount)
            for unit, by_stage in spent.items()
            for stage, amount in by_stage.items()
        ),
    )


def budget_report(checkpoint: Checkpoint) -> BudgetReport:
    """Return what a run may take over all its stages, and what it took."""
    budget, spent = checkpoint.budget, spent_in(checkpoint)
    allowed = {} if budget is None else budget.units
    total_ms = None if budget is None else budget.total_timeout_ms
    return BudgetReport(
        run_timeout_ms=None if budget is None else budget.run_timeout_ms,
        total_timeout_ms=total_ms,
        worked_ms=None if total_ms is None else worked_ms(checkpoint),
        units=tuple(
            UnitReport(
                unit=unit,
                spent=written(summed(*spent.get(unit, {}).values())),
                allowed=allowed.get(unit),
                by_stage=spent.get(unit, {}),
            )
            for unit in dict.fromkeys((*allowed, *spent))
        ),
    )


def with_amounts(budget: BudgetReport, stage: str, metered: Iterable[UnitAmount]) -> BudgetReport:
    """Return what a run took, including amounts that a stage has metered since."""
    units = {one.unit: one for one in budget.units}
    for more in metered:
        known = units.get(more.unit)
        if known is None:
            known = UnitReport(unit=more.unit, spent="0", allowed=None, by_stage={})
        own = written(summed(known.by_stage.get(stage, "0"), more.amount))
        units[more.unit] = known.model_copy(
            update={
                "spent": written(summed(known.spent, more.amount)),
                "by_stage": {**known.by_stage, stage: own},
            }
        )
    return budget.model_copy(update={"units": tuple(units.values())})


def _worked(invocations: Iterable[InvocationRecord]) -> int:
    used = (one.used for one in invocations)
    return sum((one.worked_ms or 0) + one.unseen_ms for one in used if one is not None)


def _amounts(
    invocations: Iterable[InvocationRecord], before: UsedBefore | None
) -> Iterator[tuple[str, str, str]]:
    """Yield each amount with its stage and unit."""
    for one in () if before is None else before.metered:
        yield one.stage, one.unit, one.amount
    for invocation in invocations:
        for one in () if invocation.used is None else invocation.used.unseen:
            yield one.stage, one.unit, one.amount
        for execution in invocation.stage_executions:
            metering = execution.metering
            for amount in () if metering is None else metering.metered:
                yield execution.stage, amount.unit, amount.amount


def _by_unit(amounts: Iterable[tuple[str, str, str]]) -> Spent:
    spent: Spent = {}
    for stage, unit, amount in amounts:
        of_unit = spent.setdefault(unit, {})
        of_unit[stage] = written(summed(of_unit.get(stage, "0"), amount))
    return spent
