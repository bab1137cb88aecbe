"""Begins attempts: each is in the record, and durable, before its process is started.

The first attempt of a visit begins with the transition into the stage's state, in one step.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from fsm_orchestrator.engine.context import RunContext
from fsm_orchestrator.engine.machine import Fact
from fsm_orchestrator.errors import InternalError, OperationError
from fsm_orchestrator.lifecycle.model import State
from fsm_orchestrator.model.execution import StageExecution
from fsm_orchestrator.model.open_attempt import AttemptRecord, cycle_in
from fsm_orchestrator.processes.interrupts import Interrupts
from fsm_orchestrator.processes.runner import ProcessRunner
from fsm_orchestrator.text.digest import sha256_of
from fsm_orchestrator.text.hidden import copyable
from fsm_orchestrator.text.phrases import option_prefix
from fsm_orchestrator.vocabulary import Containment, EventName, Operation, StateKind

if TYPE_CHECKING:
    from fsm_orchestrator.stages.guarding import Guard

if TYPE_CHECKING:
    from fsm_orchestrator.processes.beside import InterruptsBeside, RunnerBeside
    from fsm_orchestrator.processes.keeper_client import Keeper
    from fsm_orchestrator.processes.keeper_pool import KeeperPool


class Beginnings:
    """The beginnings of attempts in one invocation."""

    def __init__(
        self,
        context: RunContext,
        interrupts: Interrupts,
        runner: ProcessRunner,
        why_not: Callable[[str], str | None],
        keepers: KeeperPool | None = None,
        task_queue: str | None = None,
    ) -> None:
        """Begin no attempts yet.

        `why_not` returns why a stage may not run now, or None; `task_queue` is the queue that this
        process serves, or None if any stage may run here.
        """
        self.why_not = why_not
        self.refused: str | None = None
        """The reason why the stage that was entered last may not run, if any."""
        self.nothing_left: str | None = None
        """The reason why no budget is left for the stage that was entered last, if any."""
        self.next_task_queue: str | None = None
        """The task queue to which the stage that was entered last is left, if any."""
        self._task_queue = task_queue
        self._guards: dict[str, Guard | None] = {}
        """The guards of the protected paths of attempts, by stage."""
        self._context = context
        self._recorder = context.recorder
        self._settings = context.preparation.settings
        self._interrupts = interrupts
        self._runner = runner
        self._keepers = keepers
        self._beside: dict[str, tuple[InterruptsBeside, RunnerBeside]] = {}
        """The interrupts and the runner of each stage of the group that was entered last."""

    def on_entering(self, state: State) -> tuple[AttemptRecord, ...]:
        """Begin the attempts that come with the transition into a state: several for a group.

        They are in the draft, and must be kept together with the transition.

        Raises:
            InternalError: values that an attempt needs are missing.
        """
        draft, self.refused, self.nothing_left = self._recorder.draft, None, None
        self.next_task_queue = None
        self.close_beside(is_recorded=False)
        if self._interrupts.first is not None:
            return ()
        stages = [
            stage
            for stage in draft.lifecycle.stages_in(state.name)
            if draft.completion_of(stage) is None and stage in self._settings
        ]
        self.refused = next(filter(None, map(self.why_not, stages)), None)
        if self.refused is not None or self._is_spent(stages):
            return ()
        self.next_task_queue = self._elsewhere(stages)
        if self.next_task_queue is not None:
            return ()
        if state.kind is StateKind.GROUP:
            self._run_beside(stages)
        return tuple(map(self._begin, stages))

    def beside(self, stage: str) -> tuple[InterruptsBeside, RunnerBeside]:
        """Return the interrupts and the runner of a stage of the group that was entered last."""
        return self._beside[stage]

    def close_beside(self, *, is_recorded: bool) -> None:
        """Release the keepers of a group; `is_recorded` means the same as for a runner."""
        for interrupts, runner in self._beside.values():
            runner.close(is_recorded=is_recorded)
            interrupts.close()
        self._beside = {}

    def _run_beside(self, stages: Iterable[str]) -> None:
        """Start a keeper for each of several stages; the keepers start in parallel."""
        from fsm_orchestrator.processes.beside import InterruptsBeside, RunnerBeside  # noqa: PLC0415 - for a group

        for stage in stages:
            interrupts = InterruptsBeside()
            code, lease = self._runner.code, self._runner.lease
            runner = RunnerBeside(interrupts, keepers=self._keepers, code=code, lease=lease)
            if lease is not None:
                interrupts.hold(lease)
            self._beside[stage] = interrupts, runner
            runner.warm_up()

    def at_end(self, stage: str) -> AttemptRecord:
        """Begin the attempt of the stage that always runs, to be kept with the end of the run.

        Raises:
            InternalError: values that the attempt needs are missing.
        """
        return self._begin(stage)

    def budget_is_spent(self) -> Fact:
        """Record that no budget is left for a stage; return the fact."""
        assert self._context.allowance is not None  # noqa: S101 - who else says so
        return self._context.allowance.budget_is_spent(self.nothing_left or "")

    def _is_spent(self, stages: Sequence[str]) -> bool:
        """Return whether no time or no budget is left for the stages to run."""
        allowance = self._context.allowance
        if allowance is None or not stages:
            return False
        self.nothing_left = None if allowance.is_over else allowance.nothing_left()
        return allowance.is_over or self.nothing_left is not None

    def _elsewhere(self, stages: Sequence[str]) -> str | None:
        """Return the task queue that the stages need, or None if they can run here."""
        if self._task_queue is None:
            return None
        needed = map(self._context.preparation.task_queue_of, stages)
        return next((one for one in needed if one not in {None, self._task_queue}), None)

    def here(self, stage: str) -> AttemptRecord:
        """Return the attempt begun with the transition, or begin another and keep it.

        Raises:
            RecordingError: it could not be kept.
        """
        begun = self._recorder.draft.open_attempt_of(stage)
        if begun is None:
            begun = self._begin(stage)
            self._recorder.keep(partial(self.log, begun))
        return begun

    def log(self, attempt: AttemptRecord) -> None:
        """Log the beginning of an attempt: from then on it counts as made, however it ends."""
        self._context.log.emit(
            EventName.ATTEMPT_BEGUN,
            level="debug",
            stage=attempt.stage,
            attempt=attempt.attempt,
            record=attempt.model_copy(update={"keeper_pid": None, "keeper_identity": None}),
            containment=self.reach.value,
        )

    def work_of(self, stage: str) -> StageExecution | None:
        """Return the work to verify again instead of running a stage, or None to run it."""
        if not self._context.preparation.config.reverify:
            return None
        from fsm_orchestrator.engine.verifying import work_to_verify  # noqa: PLC0415 - rare

        return work_to_verify(self._context, stage)

    @property
    def reach(self) -> Containment:
        """The reach of the ending of processes, as recorded."""
        return self._recorder.draft.invocation.containment or Containment.PROCESS_GROUP

    def confirm_pins(self, stage: str) -> None:
        """Raise if the files that a stage runs have changed since they were pinned.

        Raises:
            OperationError: one has changed.
        """
        settings = self._settings[stage]
        if settings.pins is not None:
            from fsm_orchestrator.config.program_files import changed  # noqa: PLC0415 - rare

            path = changed(settings)
            if path is not None:
                said = f"{copyable(path)} has changed since stage {stage!r} was pinned"
                raise OperationError(
                    Operation.CONTROL_VERIFY,
                    self._context.masker.mask(said),
                    remedy="find out who changed it; to run it as it is now, resume with"
                    f" {option_prefix(stage)}-bin",
                )

    def _begin(self, stage: str) -> AttemptRecord:
        if not self._settings[stage].is_known:
            raise InternalError(f"values are missing for {stage!r}, which must run")
        runner = self._beside[stage][1] if stage in self._beside else self._runner
        self._note_reach(runner)
        attempt = self._next(stage, runner.keeper())
        self._recorder.draft = self._recorder.draft.attempt_begun(attempt)
        return attempt

    def _note_reach(self, runner: ProcessRunner) -> None:
        """Record how far the ending of processes reaches here, before there is a process."""
        reach = runner.reach()
        if self._recorder.draft.invocation.containment is Containment.PROCESS_GROUP:
            reach = Containment.PROCESS_GROUP  # the record covers the whole invocation
        self._recorder.update_invocation(containment=reach)
        if runner.unable:
            self._context.warn(
                "processes that leave their group and session cannot be found and ended here:"
                f" {runner.unable}"
            )

    def _next(self, stage: str, keeper: Keeper | None) -> AttemptRecord:
        draft = self._recorder.draft
        number = draft.next_attempt(stage)
        reason = "first attempt" if number == 1 else f"attempt {number - 1} did not complete it"
        if number > 1 and draft.cycle_of(stage) > 1 and not draft.attempts_made(stage):
            reason = "sent back for rework"
        if stage in draft.invocation.rerun:
            reason = "run again as asked"
        if draft.outcome is not None:
            reason = f"the run has ended: {draft.outcome.value}"
        work = self.work_of(stage)
        if work is not None:
            reason = f"the work of attempt {work.attempt} is verified again, as asked"
        guard = self._guard(stage, number, is_done=work is not None)
        self._guards[stage] = guard
        return AttemptRecord(
            stage=stage,
            cycle=draft.cycle_of(stage),
            attempt=number,
            reason=reason,
            token=self._token(stage, number),
            started_at=self._context.now(),
            pid=None,
            pid_identity=None,
            keeper_pid=None if keeper is None else keeper.pid,
            keeper_identity=None if keeper is None else keeper.identity,
            protection=None if guard is None else guard.protection,
        )

    def guard_of(self, stage: str) -> Guard | None:
        """Return the guard of a stage's protected paths, made before its attempt."""
        return self._guards.get(stage)

    def _guard(self, stage: str, number: int, *, is_done: bool) -> Guard | None:
        """Return a guard of a stage's protected paths before an attempt, or None if it has none."""
        roots = self._settings[stage].protect
        if not roots:
            return None
        from fsm_orchestrator.stages.guarding import Place, guard_of  # noqa: PLC0415 - rare

        draft, context = self._recorder.draft, self._context
        here = [one for one in draft.attempts_of(stage) if cycle_in(one) == draft.cycle_of(stage)]
        return guard_of(
            roots,
            here[-1] if here else None,
            Place(context.home, context.output_directory, stage, number),
            lambda: self._interrupts.first,
            is_done=is_done,
        )

    def _token(self, stage: str, number: int) -> str:
        """Return the token that marks only this attempt's processes; equal in equal runs."""
        if not self._context.clock.is_fixed:
            return os.urandom(16).hex()
        home = self._recorder.draft.home.directory
        told = (home, self._recorder.draft.run_id, stage, str(number))
        return sha256_of("\0".join(told).encode())[:32]
