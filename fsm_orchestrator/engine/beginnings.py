"""Beginning attempts: each is in the record, and durable, before its process is started.

The first attempt of a visit begins with the transition into the stage's state, in one step.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from fsm_orchestrator.engine.context import RunContext
from fsm_orchestrator.engine.machine import Fact
from fsm_orchestrator.errors import InternalError, OperationError
from fsm_orchestrator.lifecycle.model import State
from fsm_orchestrator.model.execution import AttemptRecord, StageExecution, cycle_in
from fsm_orchestrator.processes.interrupts import Interrupts
from fsm_orchestrator.processes.runner import ProcessRunner
from fsm_orchestrator.text.digest import sha256_of
from fsm_orchestrator.text.hidden import copyable
from fsm_orchestrator.text.phrases import option_prefix
from fsm_orchestrator.vocabulary import Containment, EventName, Operation, StateKind

if TYPE_CHECKING:
    from fsm_orchestrator.stages.guarding import Guard


class Beginnings:
    """The beginnings of attempts in one invocation."""

    def __init__(
        self,
        context: RunContext,
        interrupts: Interrupts,
        runner: ProcessRunner,
        why_not: Callable[[str], str | None],
    ) -> None:
        """Begin none yet. `why_not` returns why a stage may not be run now, or None."""
        self.why_not = why_not
        self.refused: str | None = None
        """Why the stage that was entered last may not be run."""
        self.nothing_left: str | None = None
        """Why there is no budget left for the stage that was entered last."""
        self.guard: Guard | None = None
        """What the protected paths of the attempt that began last were before it."""
        self._context = context
        self._recorder = context.recorder
        self._settings = context.preparation.settings
        self._interrupts = interrupts
        self._runner = runner

    def on_entering(self, state: State) -> AttemptRecord | None:
        """Begin the attempt that comes with the transition into a state; None where none does.

        It is in the draft, and to be kept together with the transition.

        Raises:
            InternalError: values are missing that it needs.
        """
        draft, self.refused, self.nothing_left = self._recorder.draft, None, None
        if state.kind is not StateKind.STAGE or self._interrupts.first is not None:
            return None
        if draft.completion_of(state.name) is not None or state.name not in self._settings:
            return None
        self.refused = self.why_not(state.name)
        allowance = self._context.allowance
        if allowance is not None:
            if allowance.is_over:
                return None
            self.nothing_left = allowance.nothing_left()
        is_refused = self.refused is not None or self.nothing_left is not None
        return None if is_refused else self._begin(state.name)

    def budget_is_spent(self) -> Fact:
        """Record that there is no budget left for a stage; return the fact."""
        assert self._context.allowance is not None  # noqa: S101 - who else says so
        return self._context.allowance.budget_is_spent(self.nothing_left or "")

    def here(self, stage: str) -> AttemptRecord:
        """Return the attempt that was begun on the way here; else begin another, and keep it.

        Raises:
            RecordingError: it could not be kept.
        """
        begun = self._recorder.draft.open_attempt
        if begun is None:
            begun = self._begin(stage)
            self._recorder.keep(partial(self.log, begun))
        return begun

    def log(self, attempt: AttemptRecord) -> None:
        """Log an attempt that begins: from then on it has been made, whatever becomes of it."""
        self._context.log.emit(
            EventName.ATTEMPT_BEGUN,
            level="debug",
            stage=attempt.stage,
            attempt=attempt.attempt,
            record=attempt.model_copy(update={"keeper_pid": None, "keeper_identity": None}),
            containment=self.reach.value,
        )

    def work_of(self, stage: str) -> StageExecution | None:
        """Return the work that is to be verified again instead of running a stage."""
        if not self._context.preparation.config.reverify:
            return None
        from fsm_orchestrator.engine.verifying import work_to_verify  # noqa: PLC0415 - rare

        return work_to_verify(self._context, stage)

    @property
    def reach(self) -> Containment:
        """How far the ending of processes reaches, as the record says."""
        return self._recorder.draft.invocation.containment or Containment.PROCESS_GROUP

    def confirm_pins(self, stage: str) -> None:
        """Make sure that what a stage runs is what was pinned.

        Raises:
            OperationError: it is not.
        """
        settings = self._settings[stage]
        if settings.pins is not None:
            from fsm_orchestrator.config.program_files import changed  # noqa: PLC0415 - rare

            path = changed(settings)
            if path is not None:
                said = f"{copyable(path)} is not what it was when stage {stage!r} was pinned"
                raise OperationError(
                    Operation.CONTROL_VERIFY,
                    self._context.masker.mask(said),
                    remedy="find out who changed it; to run it as it is now, resume with"
                    f" {option_prefix(stage)}-bin",
                )

    def _begin(self, stage: str) -> AttemptRecord:
        if not self._settings[stage].is_known:
            raise InternalError(f"values are missing for {stage!r}, which must run")
        self._note_reach()
        attempt = self._next(stage)
        self._recorder.draft = self._recorder.draft.attempt_begun(attempt)
        return attempt

    def _note_reach(self) -> None:
        """Record how far the ending of processes reaches here, before there is one."""
        reach = self._runner.reach()
        if self._recorder.draft.invocation.containment is Containment.PROCESS_GROUP:
            reach = Containment.PROCESS_GROUP  # the record is about all of the invocation
        self._recorder.update_invocation(containment=reach)
        if self._runner.unable:
            self._context.warn(
                "processes that leave their group and session cannot be found and ended here:"
                f" {self._runner.unable}"
            )

    def _next(self, stage: str) -> AttemptRecord:
        draft = self._recorder.draft
        number = draft.next_attempt(stage)
        reason = "first attempt" if number == 1 else f"attempt {number - 1} did not complete it"
        if number > 1 and draft.cycle_of(stage) > 1 and not draft.attempts_made(stage):
            reason = "sent back for rework"
        if stage in draft.invocation.rerun:
            reason = "run again as asked"
        work = self.work_of(stage)
        if work is not None:
            reason = f"what attempt {work.attempt} did is verified again, as asked"
        keeper = self._runner.keeper()
        self.guard = self._guard(stage, number)
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
            protection=None if self.guard is None else self.guard.protection,
        )

    def _guard(self, stage: str, number: int) -> Guard | None:
        """Return what the protected paths of a stage are before an attempt at it."""
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
        )

    def _token(self, stage: str, number: int) -> str:
        """Return what marks the processes of an attempt, no others here; equal in equal runs."""
        if not self._context.clock.is_fixed:
            return os.urandom(16).hex()
        home = self._recorder.draft.home.directory
        told = (home, self._recorder.draft.run_id, stage, str(number))
        return sha256_of("\0".join(told).encode())[:32]
