"""The budget that an invocation begins with, given now or kept, and unrecorded usage.

Loaded only by runs that have a budget, a time limit for all stages, or a stage with a meter.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from fsm_orchestrator.config.run_config import RunConfig
from fsm_orchestrator.constants import CHECKPOINT_FILE, EVENTS_FILE
from fsm_orchestrator.model.budget import RunBudget, StageAmount, UnitAmount, Used
from fsm_orchestrator.model.execution import StageExecution
from fsm_orchestrator.model.invocation import InvocationRecord
from fsm_orchestrator.model.open_attempt import AttemptRecord
from fsm_orchestrator.model.promises import TimeLimit
from fsm_orchestrator.preparation.preparation import Preparation
from fsm_orchestrator.secrets.masking import Masker
from fsm_orchestrator.stages.output_files import log_names, meter_name
from fsm_orchestrator.text.amounts import grouped
from fsm_orchestrator.text.hidden import copyable
from fsm_orchestrator.text.instants import instant
from fsm_orchestrator.text.units import exact_span
from fsm_orchestrator.vocabulary import StageStatus

_NOTHING = RunBudget(run_timeout_ms=None, total_timeout_ms=None, units={})


def budgeted(preparation: Preparation) -> Preparation:
    """Return a preparation with its budget; what an interrupted attempt had metered counts."""
    checkpoint, mask = preparation.checkpoint, preparation.masker.mask_all
    kept, now = checkpoint.budget, _in_force(preparation.config, checkpoint.budget)
    unseen, warnings = _unseen(preparation)
    if checkpoint.invocation.number > 1:
        warnings = (*_changes(kept or _NOTHING, now or _NOTHING), *warnings)
    begun = checkpoint.with_invocation(
        used=unseen, warnings=(*checkpoint.invocation.warnings, *mask(warnings))
    )
    return preparation._replace(checkpoint=begun.model_copy(update={"budget": now}))


def _in_force(config: RunConfig, kept: RunBudget | None) -> RunBudget | None:
    before = kept or _NOTHING
    run_ms, total_ms = config.run_timeout_ms, config.total_timeout_ms
    now = RunBudget(
        run_timeout_ms=before.run_timeout_ms if run_ms is None else run_ms,
        total_timeout_ms=before.total_timeout_ms if total_ms is None else total_ms,
        units={**before.units, **(config.budget or {})},
    )
    return None if now == _NOTHING else now


def _changes(before: RunBudget, now: RunBudget) -> Iterator[str]:
    """Yield what an operator has changed in a budget."""
    for limit, option in ((TimeLimit.RUN, "--run-timeout"), (TimeLimit.TOTAL, "--total-timeout")):
        was_ms, is_ms = before.time(limit), now.time(limit)
        if was_ms is not None and is_ms is not None and was_ms != is_ms:
            yield f"{option} is {exact_span(is_ms)} from now on, and was {exact_span(was_ms)}"
    for unit, amount in now.units.items():
        was = before.units.get(unit)
        if was is not None and was != amount:
            yield f"the budget of {unit} is {grouped(amount)} from now on, and was {grouped(was)}"


def _unseen(preparation: Preparation) -> tuple[Used, tuple[str, ...]]:
    """Return what the previous invocation used without recording it, and warnings about that.

    It was killed, or could not record how one of its attempts ended.
    """
    checkpoint = preparation.checkpoint
    nothing = Used(worked_ms=None, unseen_ms=0, unseen=())
    if checkpoint.invocation.number == 1:
        return nothing, ()
    before, output = checkpoint.invocations[-2], preparation.config.output_path
    if before.used is None:
        return nothing, ()
    unseen: list[StageAmount] = []
    warnings: list[str] = []
    for one in before.stage_executions:
        if one.attempt and one.status is StageStatus.INTERRUPTED and one.metering is None:
            metered, said = _metered(output, one, preparation.masker)
            unseen += (
                StageAmount(stage=one.stage, unit=more.unit, amount=more.amount) for more in metered
            )
            warnings += said
    was_killed, place = before.finished_at is None, None if preparation.is_copy else output
    used = Used(
        worked_ms=None,
        unseen_ms=_worked_ms(before, preparation.leftovers, place) if was_killed else 0,
        unseen=tuple(unseen),
    )
    return used, tuple(warnings)


def _metered(
    output: Path, attempt: StageExecution, masker: Masker
) -> tuple[tuple[UnitAmount, ...], tuple[str, ...]]:
    from fsm_orchestrator.stages.meter import read_again  # noqa: PLC0415 - after a kill

    path = output / meter_name(attempt.stage, attempt.attempt)
    metered, stop = read_again(path, masker.hides)
    if stop is None:
        return metered, ()
    what = f"attempt {attempt.attempt} of stage {attempt.stage!r}, which was cut off"
    said = f"{copyable(path)} of {what}, counts as far as it goes: {stop.words}"
    return metered, (said,)


def _worked_ms(
    before: InvocationRecord, attempts: Sequence[AttemptRecord], output: Path | None
) -> int:
    """Return how long a killed invocation worked, as far as it has left signs of that."""
    began = instant(before.started_at).timestamp()
    times = [*(one.at for one in before.transitions), *(one.started_at for one in attempts)]
    seen = [instant(one).timestamp() for one in times]
    if output is not None:  # a copy may have any times
        names = [EVENTS_FILE, CHECKPOINT_FILE]
        for one in attempts:
            mine = one.stage, one.attempt
            names += [*log_names(*mine), meter_name(*mine)]
        seen += [at for name in names if (at := _changed_at(output / name)) is not None]
    return max(0, round((max(seen, default=began) - began) * 1000))


def _changed_at(path: Path) -> float | None:
    try:
        return os.lstat(path).st_mtime
    except OSError:
        return None
