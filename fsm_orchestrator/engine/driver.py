"""The driver of one invocation: the machine's callbacks.

They persist a transition before it is taken; on entering a state, they judge the gates or run the
stage, and return the fact that followed. The details are in recorder.py, enter_gate.py,
enter_stage.py and ending.py. The driver never prints, never exits and holds no lock.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, assert_never

from fsm_orchestrator.disk.lock import OutputLock
from fsm_orchestrator.engine.beginnings import Beginnings
from fsm_orchestrator.engine.context import Ended, RunContext
from fsm_orchestrator.engine.descriptor_room import is_no_room, no_room
from fsm_orchestrator.engine.ending import RunEnd
from fsm_orchestrator.engine.enter_gate import EnterGate
from fsm_orchestrator.engine.enter_stage import EnterStage
from fsm_orchestrator.engine.hands import Hands
from fsm_orchestrator.engine.machine import CalledOffError, Fact, RunMachine, TimeIsUpError, Verdict
from fsm_orchestrator.engine.settled import SettledStages
from fsm_orchestrator.engine.surroundings import Surroundings
from fsm_orchestrator.errors import OperationError, not_loaded
from fsm_orchestrator.lifecycle.model import Edge, State
from fsm_orchestrator.model.endings import stop_reason_of
from fsm_orchestrator.model.invocation import TransitionRecord
from fsm_orchestrator.model.open_attempt import AttemptRecord
from fsm_orchestrator.preparation.preparation import Preparation
from fsm_orchestrator.processes.runner import ProcessRunner
from fsm_orchestrator.record.event_file import EventFile
from fsm_orchestrator.record.event_log import RunLogger
from fsm_orchestrator.record.leaving import Leaving
from fsm_orchestrator.record.report import Report
from fsm_orchestrator.text.phrases import counted, with_details
from fsm_orchestrator.vocabulary import EventName, Guard, Outcome, StateKind, Trigger

if TYPE_CHECKING:
    from fsm_orchestrator.engine.finishing import Finishing


class Driver:
    """An invocation at work in an output directory whose lock the caller holds."""

    def __init__(
        self,
        preparation: Preparation,
        home: OutputLock,
        caller: Surroundings,
        runner: ProcessRunner,
        log: RunLogger,
        event_file: EventFile,
        leaving: Leaving,
    ) -> None:
        draft = preparation.checkpoint
        self._first_trigger = preparation.first_trigger
        interrupts = caller.interrupts
        self._interrupts = interrupts
        self._context = RunContext(preparation, home, log, event_file, caller, leaving)
        self._allowance = self._context.allowance
        self._recorder, self._tell_kept = self._context.recorder, event_file.tell_kept
        self._gates = EnterGate(self._context, interrupts, runner)
        self._beginnings = Beginnings(
            self._context,
            interrupts,
            runner,
            self._gates.why_not,
            caller.keepers,
            caller.task_queue,
        )
        hands = Hands(runner, interrupts)
        self._fence = caller.fence
        self._runner, self._on_words = runner, caller.on_words
        self._settled = SettledStages(self._context)
        self._stages = EnterStage(
            self._context, interrupts, hands, self._settled, self._beginnings, caller.on_words
        )
        self._end = RunEnd(self._context, interrupts)
        self._finishing: Finishing | None = None
        if draft.lifecycle.finally_stage is not None:
            from fsm_orchestrator.engine.finishing import Finishing  # noqa: PLC0415 - most have none

            self._finishing = Finishing(
                self._context, interrupts, self._stages, self._settled, self._beginnings, self._end
            )
        self._machine = self._machine_in(draft.current_state)

    def _machine_in(self, state: str) -> RunMachine:
        machine = RunMachine(
            self._recorder.draft.lifecycle,
            state,
            before_transition=self._before_transition,
            enter_state=self._enter_state,
            guards={
                Guard.ARTIFACTS_INTACT: self._end.are_artifacts_intact,
                Guard.GATES_HOLD: self._gates.do_hold,
                Guard.NOTHING_OWED: self._end.is_nothing_owed,
            },
            may_repeat=self._may_repeat,
            guard_failed=self._end.guard_failed,
        )
        if self._allowance is not None:
            machine.let_time_end_it()
        return machine

    def execute(self, ended: Ended | None = None, failure: OperationError | None = None) -> Report:
        """Run the invocation to its end; return its report, which says so if it is not on disk.

        `ended` names the ended processes of interrupted attempts; `failure` is an error from before
        the machine could be started.
        """
        try:
            self._context.begin(ended or {})
            if failure is not None:
                raise failure
            self._context.check_earlier_events()
            self._context.move_old_invocations()
            match self._first_trigger:
                case None if self._finishing is not None and self._finishing.visit():
                    pass
                case None:
                    self._end.visit_done(self._settled)
                case Trigger() as entry:
                    self._fire(Fact(entry, f"{entry.value} asked for by the operator"))
        except OperationError as error:
            return self._end.fail(error, self._machine)
        except ImportError as error:
            return self._end.fail(not_loaded(error), self._machine)
        except OSError as error:
            if not is_no_room(error):
                raise
            return self._end.fail(no_room(error), self._machine)
        return self._recorder.latest or self._recorder.report()

    def _fire(self, fact: Fact) -> None:
        """Run the machine to its end, or until a request to end comes first."""
        try:
            self._machine.fire(fact)
        except TimeIsUpError:
            assert self._allowance is not None  # noqa: S101 - who else measures time
            self._machine.fire(self._allowance.time_is_up())
        except CalledOffError as request:
            from fsm_orchestrator.engine.interruptions import take_back_by_request  # noqa: PLC0415 - rare

            take_back_by_request(self._context, request.signum)
            self._machine.fire(_aborted(request.signum))

    def cut_short(self, error: BaseException) -> None:
        """Record that the calling program raised something through the run, which ends it."""
        state = self._recorder.draft.current_state
        if self._machine.state != state:  # the error came between the record and the step
            self._machine = self._machine_in(state)
        try:
            self._end.cut_short(error, self._machine)
        except OperationError as failure:
            self._end.fail(failure, self._machine)

    def close(self) -> None:
        """Free the resources of the run."""
        self._beginnings.close_beside(is_recorded=False)
        self._context.close()

    def crash(self, error: Exception) -> None:
        """Record a bug of this program, as far as possible."""
        self._end.crash(error)

    @property
    def is_recorded(self) -> bool:
        """True if everything that happened could be recorded."""
        return not self._recorder.is_degraded

    # -- the machine's callbacks ------------------------------------------------------------

    def _before_transition(self, fact: Fact, source: str, dest: str) -> None:
        """Make the transition durable in log, checkpoint and report; raising prevents it."""
        self._context.note_surroundings()
        before, log_before = self._recorder.draft, self._context.log
        mask = self._context.masker.mask
        details = tuple(map(mask, fact.details))
        record = TransitionRecord(
            seq=1 + before.last_seq,
            trigger=fact.trigger,
            source=source,
            dest=dest,
            at=self._context.now(),
            cause=with_details(mask(fact.cause), details),
            details=details,
        )
        outcome = before.lifecycle.states[dest].outcome
        ended = None if outcome is not None and self._is_finally_due() else outcome
        changes = {} if ended is None else self._end.changes(ended, fact.trigger)
        self._recorder.draft = self._recorder.draft.taken(record, **changes)
        try:
            attempts = self._beginnings.on_entering(before.lifecycle.states[dest])
            if self._finishing is not None and ended is not outcome:
                attempts = (self._finishing.begin(),)
            self._context.log = log_before.bind(state=dest)
            self._recorder.keep(
                partial(self._log_step, record, attempts, ended),
                is_durable=not self._is_settled_by_the_next(fact.trigger, dest),
                is_told=False,
                last_look=partial(self._last_look, fact.trigger, outcome),
            )
        except BaseException:
            self._recorder.draft, self._context.log = before, log_before
            raise
        if ended is Outcome.DONE:
            self._context.forget_secrets()
        self._tell_kept()

    @property
    def _is_finishing(self) -> bool:
        """True if the run has ended, and the stage that always runs was begun with the end."""
        return self._recorder.draft.invocation.finished_at is None

    def _is_finally_due(self) -> bool:
        return self._finishing is not None and self._finishing.is_due()

    def _log_step(
        self,
        record: TransitionRecord,
        attempts: tuple[AttemptRecord, ...],
        outcome: Outcome | None,
    ) -> None:
        """Log a transition with the attempts that it begins, or the end that it causes."""
        self._context.log.emit(EventName.TRANSITION, transition=record)
        for attempt in attempts:
            self._beginnings.log(attempt)
        if outcome is not None:
            self._context.emit_end(outcome)

    def _is_settled_by_the_next(self, trigger: Trigger, dest: str) -> bool:
        """Return whether a transition need not be durable before the next one is.

        The start of an invocation at its gates permits nothing that a crash could lose.
        """
        kind = self._recorder.draft.lifecycle.states[dest].kind
        return trigger in {Trigger.START, Trigger.RESUME} and kind is StateKind.GATE

    def _last_look(self, trigger: Trigger, outcome: Outcome | None) -> None:
        """Call off a step that settles a success or closes the run, if the run is to end by now.

        A run that is lost can only go to its end.

        Raises:
            CalledOffError: the step is called off.
            OperationError: a log has changed.
        """
        self._context.log_seals.confirm()
        if self._fence is not None:
            self._fence.confirm(self._interrupts)
        signum = self._interrupts.first
        if signum is None:
            return
        settles = trigger is Trigger.STAGE_SUCCEEDED or outcome is Outcome.DONE
        if settles or (stop_reason_of(signum).is_lost and self._may_be_aborted(trigger)):
            raise CalledOffError(signum)

    def _may_be_aborted(self, trigger: Trigger) -> bool:
        """Return whether the run can be aborted in its present state instead of continuing."""
        aborted = Trigger.RUN_ABORTED
        return trigger is not aborted and aborted in self._machine.triggers_here

    def _enter_state(self, state: State) -> Fact | None:
        match state.kind:
            case StateKind.TERMINAL if self._finishing is not None and self._is_finishing:
                self._finishing.run()
                return None
            case StateKind.TERMINAL | StateKind.INITIAL:
                return None
            case _ if self._interrupts.first is not None:
                return _aborted(self._interrupts.first)
            case _ if self._allowance is not None and self._allowance.is_over:
                return self._allowance.time_is_up()
            case StateKind.GATE:
                return self._gates.enter(state)
            case StateKind.STAGE | StateKind.GROUP if self._beginnings.nothing_left is not None:
                return self._beginnings.budget_is_spent()
            case StateKind.STAGE | StateKind.GROUP if self._beginnings.refused is not None:
                return Fact(Trigger.RUN_ABORTED, self._beginnings.refused)
            case StateKind.STAGE | StateKind.GROUP if self._beginnings.next_task_queue is not None:
                return self._end.hand_over(self._beginnings.next_task_queue)
            case StateKind.STAGE:
                return self._stages.enter(state.name)
            case StateKind.GROUP:
                return self._enter_group(state)
            case _:
                assert_never(state.kind)

    def _enter_group(self, state: State) -> Fact:
        from fsm_orchestrator.engine.enter_group import EnterGroup  # noqa: PLC0415 - few lifecycles have one

        context, interrupts = self._context, self._interrupts
        group = EnterGroup(
            context, interrupts, self._runner, self._settled, self._beginnings, self._on_words
        )
        return group.enter(state)

    def _may_repeat(self, edge: Edge) -> Verdict:
        """Return whether a loop may repeat: `at_most` counts over all invocations of the run."""
        taken = self._recorder.draft.times_taken(edge)
        if taken < (edge.at_most or 0):
            return Verdict(holds=True)
        times = counted(taken, "time")
        return Verdict(holds=False, why=f"{edge.dest} was sent back {times}, the maximum (at_most)")


def _aborted(signum: int) -> Fact:
    """Return the fact that a request to end means to the machine."""
    from fsm_orchestrator.model.stop_words import asked_words  # noqa: PLC0415 - rare

    return Fact(Trigger.RUN_ABORTED, asked_words(signum))
