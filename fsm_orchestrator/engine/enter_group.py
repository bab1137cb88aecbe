"""Entering a group: its stages run side by side, and all must succeed.

Each stage has a keeper, and a thread that waits for its process. Their changes to the record are
made by the thread that drives the run: there is one writer, whatever runs.
"""

from __future__ import annotations

import errno
import math
import os
import signal
import threading
import time
from typing import Final

from fsm_orchestrator.engine.beginnings import Beginnings
from fsm_orchestrator.engine.context import RunContext
from fsm_orchestrator.engine.desk import Desk, DeskClosedError
from fsm_orchestrator.engine.enter_stage import EnterStage
from fsm_orchestrator.engine.hands import Hands
from fsm_orchestrator.engine.machine import Fact
from fsm_orchestrator.engine.settled import SettledStages
from fsm_orchestrator.errors import OperationError
from fsm_orchestrator.lifecycle.model import State
from fsm_orchestrator.model.together import worst_of
from fsm_orchestrator.processes.beside import InterruptsBeside, end_strays
from fsm_orchestrator.processes.interrupts import Interrupts
from fsm_orchestrator.processes.polling import readable
from fsm_orchestrator.processes.runner import ProcessRunner
from fsm_orchestrator.stages.last_words import OnWords
from fsm_orchestrator.text.phrases import counted
from fsm_orchestrator.vocabulary import Operation, Trigger

PARK_SECONDS_MAX: Final = 1.0
"""The seconds that stages have to come to a stop before this process is stopped. A stage that is
just being ended need not stop."""


class _Member:
    """One stage of a group at work."""

    def __init__(self, stage: str, work: EnterStage, interrupts: InterruptsBeside) -> None:
        self.stage = stage
        self.work = work
        self.interrupts = interrupts
        self.fact: Fact | None = None
        self.error: BaseException | None = None
        self.thread: threading.Thread | None = None
        self.has_ended = False
        self.is_noted = False
        """True once its end has been processed."""

    @property
    def is_at_work(self) -> bool:
        """True while its end is still to come, or to be processed."""
        return self.thread is not None and not (self.has_ended and self.is_noted)

    def start(self, desk: Desk) -> None:
        """Start its thread.

        Raises:
            OperationError: no more threads can be started.
        """
        self.thread = threading.Thread(
            target=self.see_through, args=(desk,), name=self.stage, daemon=True
        )
        try:
            self.thread.start()
        except RuntimeError as error:
            self.thread = None
            raise OperationError(
                Operation.DESCRIPTORS_RESERVE,
                f"no thread can be started for {self.stage}: {os.strerror(errno.EAGAIN)}",
                remedy="raise the limit (ulimit -u), then try again",
            ) from error

    def see_through(self, desk: Desk) -> None:
        """Run attempts of the stage, in its own thread."""
        try:
            self.fact = self.work.see_through(self.stage)
        except DeskClosedError:
            pass  # the thread that shut the desk reports why
        except BaseException as error:  # noqa: BLE001 - raised again by the thread that drives
            self.error = error
        finally:
            self.has_ended = True
            desk.wake()

    def join(self) -> None:
        """Wait for its thread to finish: its work has ended."""
        if self.thread is not None:
            self.thread.join()


class EnterGroup:
    """The work on the stages of a group when the machine enters it."""

    def __init__(
        self,
        context: RunContext,
        interrupts: Interrupts,
        runner: ProcessRunner,
        settled: SettledStages,
        beginnings: Beginnings,
        on_words: OnWords | None,
    ) -> None:
        self._context = context
        self._interrupts = interrupts
        self._runner = runner
        self._settled = settled
        self._beginnings = beginnings
        self._on_words = on_words
        self._desk = Desk()
        self._fail_fast = True
        self._members: list[_Member] = []
        self._passed_on = 0
        """The number of requests to end the run that were passed on to the members."""
        self._calls_off = 0

    def enter(self, state: State) -> Fact:
        """Skip, pass over or run each stage; return the fact that followed for all of them.

        Raises:
            OperationError: a record could not be made durable; no process is left alive.
        """
        stages = state.stages or ()
        self._fail_fast = state.fail_fast
        facts = {stage: self._settled.fact_of(stage) for stage in stages}
        to_run = [stage for stage, fact in facts.items() if fact is None]
        if to_run:
            self._settled.warn_of_later(state.name)
            facts |= self._run(to_run)
        return self._fact(state, {stage: fact for stage, fact in facts.items() if fact is not None})

    def _fact(self, state: State, facts: dict[str, Fact]) -> Fact:
        """Return the combined fact of the stages; its cause starts with those that failed."""
        trigger = worst_of([fact.trigger for fact in facts.values()])
        if trigger is Trigger.STAGE_SUCCEEDED:
            stages = counted(len(facts), "stage")
            return Fact(trigger, f"all {stages} of {state.name} succeeded or had no work")
        culprits = [one for one in facts.values() if one.trigger is trigger]
        rest = [
            one for one in facts.values() if one.trigger not in {trigger, Trigger.STAGE_SUCCEEDED}
        ]
        first, *others = culprits
        told = (*first.details, *(one.cause for one in (*others, *rest)))
        return Fact(trigger, first.cause, told)

    def _run(self, stages: list[str]) -> dict[str, Fact | None]:
        """Run stages in parallel, each to its end."""
        self._members = [self._member(stage) for stage in stages]
        is_recorded = False
        try:
            with self._interrupts.stop_deferred():
                self._see_through()
            is_recorded = True
        finally:
            self._beginnings.close_beside(is_recorded=is_recorded)
            self._desk.close()
        self._end_strays()
        return {member.stage: member.fact for member in self._members if member.fact is not None}

    def _member(self, stage: str) -> _Member:
        interrupts, runner = self._beginnings.beside(stage)
        interrupts.on_parked = self._desk.wake
        hands = Hands(runner, interrupts, self._desk.ask, is_in_group=True)
        work = EnterStage(
            self._context,
            self._interrupts,
            hands,
            self._settled,
            self._beginnings,
            self._on_words,
        )
        return _Member(stage, work, interrupts)

    def _see_through(self) -> None:
        """Do the errands of the members until all have ended; then raise the first exception."""
        troubles: list[BaseException] = []
        to_start = list(self._members)
        while True:
            try:
                while to_start and not troubles:
                    to_start.pop(0).start(self._desk)
                while any(member.is_at_work for member in self._members):
                    self._call_off(len(troubles))
                    self._turn()
                for member in self._members:
                    member.join()
                break
            except BaseException as error:  # noqa: BLE001 - raised once nothing runs any more
                troubles.append(error)
        if troubles:
            raise troubles[0]

    def _turn(self) -> None:
        """Wait for news and act on it."""
        descriptors = [self._desk.fileno(), self._interrupts.fileno()]
        if self._interrupts.fileno() in readable(descriptors, self._interrupts.until(math.inf)):
            self._interrupts.drain()
        self._pass_on_requests()
        if self._interrupts.is_stop_due:
            self._stand_still()
        self._desk.work_off()
        for member in self._members:
            if member.has_ended and not member.is_noted:
                member.is_noted = True
                self._note_end(member)

    def _pass_on_requests(self) -> None:
        while self._passed_on < self._interrupts.count:
            self._passed_on += 1
            for member in self._members:
                member.interrupts.signaled(self._interrupts.first or signal.SIGTERM)

    def _note_end(self, ended: _Member) -> None:
        """Raise the error that ended a member; end the others if its stage failed."""
        if ended.error is not None:
            raise ended.error
        if ended.fact is None or ended.fact.trigger is Trigger.STAGE_SUCCEEDED:
            return
        if self._interrupts.first is None and (self._fail_fast or ended.work.has_lost_one):
            for member in self._members:
                member.interrupts.end_for(ended.stage)

    def _call_off(self, times: int) -> None:
        """End all members because of an exception: gently the first time, then at once."""
        while self._calls_off < times:
            self._calls_off += 1
            self._desk.is_shut = True
            for member in self._members:
                member.interrupts.deliver(signal.SIGTERM)

    def _stand_still(self) -> None:
        """Suspend the stages together with this process, then let both continue (Ctrl-Z)."""
        deadline = time.monotonic() + PARK_SECONDS_MAX
        try:
            for member in self._members:
                member.interrupts.stop_soon()
            while time.monotonic() < deadline and any(
                one.interrupts.is_at_work and not one.interrupts.is_parked for one in self._members
            ):
                readable([self._desk.fileno()], deadline)
                self._desk.work_off()
            self._interrupts.stop_here()
        finally:
            for member in self._members:
                member.interrupts.go_on()

    def _end_strays(self) -> None:
        if not any(member.work.has_lost_one for member in self._members):
            return
        survivors = end_strays(self._runner)
        if survivors:
            from fsm_orchestrator.stages.problems import not_ended  # noqa: PLC0415 - rare

            lost = next(one for one in self._members if one.work.has_lost_one)
            raise not_ended(lost.stage, survivors)
