"""The allowance of an invocation: the time left to the run, and the units that its stages meter.

Loaded only by runs that have a budget, a time for all stages, or a stage with a meter.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from fsm_orchestrator.engine.machine import Fact, TimeIsUpError
from fsm_orchestrator.model.budget import RunBudget, TimeStop
from fsm_orchestrator.model.limits import Limits
from fsm_orchestrator.model.open_attempt import AttemptRecord
from fsm_orchestrator.model.promises import OnUnmetered, TimeLimit
from fsm_orchestrator.processes.runner import ProcessRunner
from fsm_orchestrator.record.spending import nothing_left, spent_in, worked_ms
from fsm_orchestrator.stages.meter import Meter, MeterTerms, open_meter
from fsm_orchestrator.text.amounts import summed
from fsm_orchestrator.vocabulary import EventName, HeldBy, Operation, Trigger

if TYPE_CHECKING:
    from fsm_orchestrator.engine.context import RunContext
    from fsm_orchestrator.engine.surroundings import Surroundings

NO_BUDGET = RunBudget(run_timeout_ms=None, total_timeout_ms=None, units={})


class Left(NamedTuple):
    """The time left under the limit that is reached first."""

    limit: TimeLimit
    allowed_ms: int
    ms: int


class Allowance:
    """The budget of a run in one invocation."""

    def __init__(self, context: RunContext, caller: Surroundings) -> None:
        self._context = context
        self._interrupts = interrupts = caller.interrupts
        self._on_metered = caller.on_metered
        is_command = caller.held_by is HeldBy.COMMAND
        self._began = interrupts.began if is_command else interrupts.running_seconds()
        draft = context.recorder.draft
        self._budget = draft.budget or NO_BUDGET
        self._spent_before = {
            unit: summed(*by_stage.values()) for unit, by_stage in spent_in(draft).items()
        }
        self._meters: list[Meter] = []
        self._recorded: set[Operation] = set()
        self._worked_before_ms = worked_ms(context.recorder.draft)
        self._entered = interrupts.running_seconds()

    # -- time -------------------------------------------------------------------------------

    @property
    def worked_ms(self) -> int:
        """The milliseconds that the invocation has worked so far."""
        if self._context.clock.is_fixed:
            return 0
        return max(0, round((self._interrupts.running_seconds() - self._entered) * 1000))

    def left(self) -> Left | None:
        """Return the time that is left, at least 0, or None if there is no limit."""
        now, found = self._interrupts.running_seconds(), []
        for limit, used_ms in (
            (TimeLimit.RUN, (now - self._began) * 1000),
            (TimeLimit.TOTAL, self._worked_before_ms + (now - self._entered) * 1000),
        ):
            allowed_ms = self._budget.time(limit)
            if allowed_ms is not None:
                found.append(Left(limit, allowed_ms, max(0, int(allowed_ms - used_ms))))
        return min(found, key=lambda one: one.ms, default=None)

    def at_most(self, ms: int) -> int:
        """Return the given milliseconds, or those that are left if that is less."""
        left = self.left()
        return ms if left is None else min(ms, left.ms)

    @property
    def is_over(self) -> bool:
        """True if the time of the run is up."""
        left = self.left()
        return left is not None and left.ms == 0

    def within(self, limits: Limits) -> tuple[Limits, tuple[TimeLimit, int] | None]:
        """Return the limits cut to the time left, and the run's limit that cut them, or None."""
        left = self.left()
        if left is None or left.ms >= limits.timeout_ms:
            return limits, None
        return limits._replace(timeout_ms=max(1, left.ms)), (left.limit, left.allowed_ms)

    @contextlib.contextmanager
    def bounding(self, runner: ProcessRunner) -> Iterator[None]:
        """Keep everything that runs in the block within the time that is left.

        Raises:
            TimeIsUpError: the time is up before the block, or after it.
        """
        self.confirm()
        before, runner.within = runner.within, lambda limits: self.within(limits)[0]
        try:
            yield
        finally:
            runner.within = before
        self.confirm()

    def confirm(self) -> None:
        """Raise if the time of the run is up.

        Raises:
            TimeIsUpError: it is up.
        """
        if self.is_over:
            raise TimeIsUpError

    def time_is_up(self) -> Fact:
        """Record that the time of the run is up; return the fact."""
        left = self.left()
        assert left is not None  # noqa: S101 - what is over was limited
        stop = TimeStop(kind="time", limit=left.limit, allowed_ms=left.allowed_ms)
        self._record(Operation.RUN_TIMEOUT, stop.words)
        return Fact(Trigger.RUN_TIMED_OUT, stop.words)

    # -- metered units ----------------------------------------------------------------------

    def nothing_left(self) -> str | None:
        """Return why no stage may be started, or None if some of each unit is left."""
        stop = nothing_left(self._context.recorder.draft)
        return None if stop is None else stop.nothing_left

    def stops(self) -> Fact | None:
        """Record and return the fact that nothing more may start, or None if something may."""
        if self.is_over:
            return self.time_is_up()
        nothing_left = self.nothing_left()
        return None if nothing_left is None else self.budget_is_spent(nothing_left)

    def budget_is_spent(self, why: str) -> Fact:
        """Record that no more stages are started; return the fact."""
        self._record(Operation.BUDGET_VERIFY, why)
        return Fact(Trigger.RUN_ABORTED, why)

    def opener(self, record: AttemptRecord) -> Callable[[], AbstractContextManager[Meter]] | None:
        """Return a function that opens the meter of an attempt, or None if its stage has none."""
        has_limit = self._budget.units or self._budget.total_timeout_ms is not None
        settings = self._context.preparation.settings[record.stage]
        if not has_limit and settings.on_unmetered is None:
            return None
        return partial(self._meter_of, record.stage, record.attempt)

    @contextlib.contextmanager
    def _meter_of(self, stage: str, attempt: int) -> Iterator[Meter]:
        """Open the meter of an attempt that is about to start.

        Its readings count together with the units spent before the invocation and by the other
        meters of the invocation: other attempts may be at work at the same time.
        """
        must = self._context.preparation.settings[stage].on_unmetered
        terms = MeterTerms(
            budget=self._budget.units,
            elsewhere=lambda unit, own: summed(
                self._spent_before.get(unit, "0"),
                *(one.sum_of(unit) for one in self._meters if one is not own),
            ),
            must=must is OnUnmetered.FAIL,
            hides=self._context.masker.hides,
            on_metered=self._on_metered,
        )
        with open_meter(self._context.home, (stage, attempt), terms) as meter:
            self._meters.append(meter)
            yield meter

    def _record(self, operation: Operation, why: str) -> None:
        if operation in self._recorded:  # already recorded for another stage of a group
            return
        self._recorded.add(operation)
        failure = self._context.add_own_failure(operation, why)
        self._context.log.emit(EventName.BUDGET_SPENT, level="error", execution=failure)
