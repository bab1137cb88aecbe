"""The driver of one invocation: what the machine's callbacks do, and what follows from it.

Persist a transition before it is taken; on entering a state, judge the gates or run the stage;
answer with the fact that followed. How each is done is in recorder.py, gates.py and
stage_runner.py. Never prints, never exits, holds no lock.
"""

from __future__ import annotations

import contextlib
import traceback
from typing import assert_never

from fsm_orchestrator.disk import files
from fsm_orchestrator.engine.context import RunContext
from fsm_orchestrator.engine.enter_stage import EnterStage
from fsm_orchestrator.engine.machine import RunMachine
from fsm_orchestrator.errors import OperationError
from fsm_orchestrator.gates import judging
from fsm_orchestrator.lifecycle.model import Edge, State
from fsm_orchestrator.model.endings import signal_name
from fsm_orchestrator.model.invocation import GateDecision, TransitionRecord
from fsm_orchestrator.preparation.preparation import Preparation
from fsm_orchestrator.processes.interrupts import Interrupts
from fsm_orchestrator.processes.runner import ProcessRunner
from fsm_orchestrator.record import closure
from fsm_orchestrator.record.event_log import EventFile, RunLogger
from fsm_orchestrator.record.report import Report
from fsm_orchestrator.secrets import private_file
from fsm_orchestrator.stages.artifacts import ArtifactsVerdict
from fsm_orchestrator.vocabulary import (
    MANDATORY_GATES,
    EventName,
    ExitCode,
    Guard,
    Operation,
    Outcome,
    StateKind,
    Trigger,
)

KEEP_CHECKPOINT = (Operation.CHECKPOINT_PERSIST, Operation.ATTEMPT_END)
"""After these the checkpoint stays as it is: it cannot be written, or still names the attempt
whose processes are alive, for the next resume to end."""


class Driver:
    """An invocation at work in an output directory whose lock the caller holds."""

    def __init__(
        self,
        preparation: Preparation,
        interrupts: Interrupts,
        runner: ProcessRunner,
        log: RunLogger,
        event_file: EventFile,
    ) -> None:
        draft = preparation.checkpoint
        self._preparation = preparation
        self._interrupts = interrupts
        self._invocation = RunContext(preparation, log, event_file)
        self._recorder = self._invocation.recorder
        self._stage_entry = EnterStage(self._invocation, interrupts, runner)
        self._cause = ""
        self._machine = RunMachine(
            draft.lifecycle,
            draft.current_state,
            before_transition=self._before_transition,
            enter_state=self._enter_state,
            guards={
                Guard.ARTIFACTS_INTACT: self._are_artifacts_intact,
                Guard.GATES_HOLD: self._do_gates_hold,
            },
            may_repeat=self._may_repeat,
            guard_failed=self._on_guard_failed,
        )

    def execute(
        self, ended_pids: tuple[int, ...] = (), failure: OperationError | None = None
    ) -> Report:
        """Run the invocation to its end; its report, on disk too unless it says why it is not.

        `ended_pids` are what was left of an interrupted attempt; `failure` says what went wrong
        before the machine could be started at all.
        """
        try:
            self._begin(ended_pids)
            if failure is not None:
                raise failure
            match self._preparation.first_trigger:
                case None:
                    self._visit_done()
                case Trigger() as entry:
                    self._cause = f"{entry.value} asked for by the operator"
                    self._machine.fire(entry)
        except OperationError as error:
            return self._fail(error)
        return self._recorder.latest or self._recorder.report()

    def crash(self, error: Exception) -> None:
        """Leave a traceback in the log and a report that says failed: a bug of ours."""
        self._recorder.is_degraded = True
        failure = self._invocation.add_own_failure(
            Operation.ORCHESTRATOR_RUN, f"internal error: {type(error).__name__}"
        )
        self._invocation.finish(ExitCode.INTERNAL)
        self._invocation.log.emit(
            EventName.RUN_CRASHED,
            level="critical",
            traceback=self._invocation.masker.mask("".join(traceback.format_exception(error))),
            exit_code=int(ExitCode.INTERNAL),
            finished_at=self._recorder.draft.invocation.finished_at,
            execution=failure,
        )
        self._invocation.settle_open_attempt(
            "interrupted: the orchestrator ended with an internal error"
        )
        self._recorder.write_report_if_possible(Outcome.FAILED)

    @property
    def is_recorded(self) -> bool:
        """Whether all that happened could be recorded."""
        return not self._recorder.is_degraded

    # -- before the machine moves -----------------------------------------------------------

    def _begin(self, ended_pids: tuple[int, ...]) -> None:
        draft = self._recorder.draft
        self._invocation.log.emit(
            EventName.RUN_STARTED,
            execution_mode=draft.invocation.execution_mode.value,
            invocation=draft.invocation.number,
            lifecycle=draft.lifecycle.name,
            lifecycle_sha256=draft.lifecycle_sha256,
            rerun=list(draft.invocation.rerun),
            started_at=draft.invocation.started_at,
            version=draft.version,
        )
        leftover = self._preparation.leftover
        if leftover is not None and len(draft.invocations) == 1:
            self._invocation.emit_interrupted(leftover, ended_pids, None, None)
        elif leftover is not None:
            settled = draft.invocations[-2]  # resumption.py put the attempt there
            self._invocation.emit_interrupted(
                leftover, ended_pids, settled.number, settled.stage_executions[-1]
            )
        self._keep_secrets()
        for warning in self._recorder.draft.invocation.warnings:
            self._invocation.log.emit(EventName.WARNING, level="warning", message=warning)

    def _keep_secrets(self) -> None:
        private, ref = self._preparation.private, self._recorder.draft.private_ref
        if private is None or ref is None:
            return
        try:
            private_file.save(ref, private)
        except OSError as error:
            self._recorder.add_warning(
                f"environment values cannot be kept for a resume in"
                f" {private_file.state_directory()} ({files.reason(error)}): it will ask for them"
            )

    def _visit_done(self) -> None:
        """A done run is resumed: nothing happens, and that is recorded."""
        draft = self._recorder.draft
        for stage in draft.lifecycle.stages:
            completion = draft.completion_of(stage)
            if completion is not None:
                self._stage_entry.skip(completion)
        verdict = self._invocation.judge_artifacts()
        if not verdict.is_good:
            self._note_wrong_artifacts(verdict)
        self._invocation.finish(ExitCode.DONE if verdict.is_good else ExitCode.FAILED)
        self._invocation.check_events()
        self._recorder.save_with_report()
        self._invocation.emit_end(Outcome.DONE)
        self._invocation.check_events()
        self._forget_secrets()

    # -- the machine's callbacks ------------------------------------------------------------

    def _before_transition(self, trigger: Trigger, source: str, dest: str) -> None:
        """Make the transition durable, in checkpoint, report and log; raising, it is not taken."""
        before, log_before = self._recorder.draft, self._invocation.log
        record = TransitionRecord(
            seq=before.last_seq + 1,
            trigger=trigger,
            source=source,
            dest=dest,
            at=self._invocation.now(),
            cause=self._invocation.masker.mask_path(self._cause),
        )
        outcome = before.lifecycle.states[dest].outcome
        changes = (
            {} if outcome is None else self._invocation.ending(self._exit_code(outcome, trigger))
        )
        self._recorder.take(record, **changes)
        self._invocation.log = self._invocation.log.bind(state=dest)
        self._invocation.log.emit(EventName.TRANSITION, transition=record)
        if outcome is not None:
            self._invocation.emit_end(outcome)
        try:
            self._invocation.check_events()
        except OperationError:
            self._recorder.undo(before)
            self._invocation.log = log_before
            raise
        if outcome is Outcome.DONE:
            self._forget_secrets()

    def _enter_state(self, state: State) -> Trigger | None:
        match state.kind:
            case StateKind.TERMINAL | StateKind.INITIAL:
                return None
            case StateKind.GATE | StateKind.STAGE if self._interrupts.first is not None:
                self._cause = f"received {signal_name(self._interrupts.first)}"
                return Trigger.RUN_ABORTED
            case StateKind.GATE:
                return self._judge_gates(state)
            case StateKind.STAGE:
                fact, self._cause = self._stage_entry.enter(state.name)
                return fact
            case _:
                assert_never(state.kind)

    def _judge_gates(self, state: State) -> Trigger:
        decisions = judging.judge(self._recorder.draft.gate_signals)
        self._note_decisions(decisions)
        if judging.have_passed(decisions, state.judged_gates):
            self._cause = ", ".join(f"{gate.value} passed" for gate in state.judged_gates)
            return Trigger.GATES_PASSED
        self._cause = "refused: " + ", ".join(judging.reason_codes(decisions))
        return Trigger.GATES_REFUSED

    def _note_decisions(self, decisions: tuple[GateDecision, ...]) -> None:
        self._recorder.update_invocation(gate_decisions=decisions)
        for decision in decisions:
            level = "info" if decision.passed else "warning"
            self._invocation.log.emit(EventName.GATE_DECIDED, level=level, decision=decision)

    def _may_repeat(self, edge: Edge) -> bool:
        """Whether a loop has a time left; over all invocations, for a budget is the run's."""
        taken = self._recorder.draft.times_taken(edge)
        if taken < (edge.at_most or 0):
            return True
        self._cause = f"{self._cause}; {edge.dest} was sent back {taken} times, as often as it may"
        return False

    def _are_artifacts_intact(self) -> bool:
        verdict = self._invocation.judge_artifacts()
        masker = self._invocation.masker
        for path in closure.changed_artifacts(self._recorder.draft, verdict, masker):
            self._invocation.warn(f"{path} was changed after the stage that made it completed")
        if not verdict.is_good:
            self._note_wrong_artifacts(verdict)
            self._cause = f"closing refused: {verdict.summary()}"
        return verdict.is_good

    def _do_gates_hold(self) -> bool:
        decisions = judging.judge(self._recorder.draft.gate_signals)
        if judging.have_passed(decisions, MANDATORY_GATES):
            return True
        self._note_decisions(decisions)
        self._cause = "closing refused: " + ", ".join(judging.reason_codes(decisions))
        return False

    def _on_guard_failed(self, guard: Guard, error: Exception) -> None:
        self._cause = f"closing refused: the guard {guard.value} failed"
        failure = self._invocation.add_own_failure(
            Operation.CLOSURE_VERIFY,
            f"the guard {guard.value} raised {type(error).__name__}: {error}",
        )
        self._invocation.log.emit(EventName.CLOSURE_REFUSED, level="error", execution=failure)

    # -- the end ----------------------------------------------------------------------------

    def _note_wrong_artifacts(self, verdict: ArtifactsVerdict) -> None:
        refusal = closure.refused_execution(
            self._invocation.run_id, verdict, self._invocation.masker, at=self._invocation.now()
        )
        self._recorder.add_execution(refusal)
        self._invocation.log.emit(EventName.CLOSURE_REFUSED, level="error", execution=refusal)

    def _fail(self, failure: OperationError) -> Report:
        """The program could not do its part: the run fails, as durably as can be."""
        self._recorder.is_degraded = True
        self._cause = str(failure)
        self._invocation.settle_open_attempt(f"interrupted: {failure}")
        self._invocation.log.emit(
            EventName.RECORDING_FAILED,
            level="error",
            operation=failure.operation,
            error=str(failure),
            execution=self._invocation.add_own_failure(failure.operation, str(failure)),
        )
        is_done = self._recorder.is_done
        try:
            if failure.operation not in KEEP_CHECKPOINT:
                self._abort()
                return self._recorder.report(None if is_done else Outcome.FAILED)
        except OperationError as second:
            self._invocation.log.emit(
                EventName.RECORDING_FAILED,
                level="error",
                operation=second.operation,
                error=str(second),
            )
        self._invocation.finish(ExitCode.FAILED)
        outcome = None if is_done else Outcome.FAILED
        self._recorder.write_report_if_possible(outcome)
        self._invocation.emit_end(outcome or Outcome.DONE)
        return self._recorder.report(outcome)

    def _abort(self) -> None:
        """Take the edge for an aborted run; from a terminal state there is none to take."""
        if Trigger.RUN_ABORTED in self._machine.triggers_here:
            self._machine.fire(Trigger.RUN_ABORTED)
            return
        self._invocation.finish(ExitCode.FAILED)
        self._recorder.save_with_report(None if self._recorder.is_done else Outcome.FAILED)
        self._invocation.emit_end(Outcome.DONE if self._recorder.is_done else Outcome.FAILED)

    def _exit_code(self, outcome: Outcome, trigger: Trigger) -> ExitCode:
        match outcome:
            case Outcome.DONE:
                return ExitCode.DONE
            case Outcome.BLOCKED:
                return ExitCode.BLOCKED
            case Outcome.TIMEOUT:
                return ExitCode.TIMEOUT
            case Outcome.FAILED:
                signum = self._interrupts.first
                if trigger is Trigger.RUN_ABORTED and signum and not self._recorder.is_degraded:
                    return ExitCode(128 + signum)
                return ExitCode.FAILED
            case _:
                assert_never(outcome)

    def _forget_secrets(self) -> None:
        """The run is about to be done: its values are not needed any more, the key is."""
        private, ref = self._preparation.private, self._recorder.draft.private_ref
        if private is None or ref is None:
            return
        # Too late to be told in the report: what cannot be removed now is pruned one day.
        with contextlib.suppress(OSError):
            private_file.save(ref, private.model_copy(update={"stages": {}}))
