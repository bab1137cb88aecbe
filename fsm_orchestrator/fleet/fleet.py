"""A fleet at work: each run in its turn, as durable and contained as if it ran alone."""

from __future__ import annotations

import select
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple, assert_never

from fsm_orchestrator.constants import SIGNAL_BASE
from fsm_orchestrator.disk.where import current_directory
from fsm_orchestrator.fleet.books import Books
from fsm_orchestrator.fleet.crew import Worker
from fsm_orchestrator.fleet.definition import Fleet, FleetRun
from fsm_orchestrator.fleet.entries import entry_before, is_due
from fsm_orchestrator.fleet.holding import held
from fsm_orchestrator.fleet.messages import Busy, Ended, Message, Order, Refused, StageBegan, Words
from fsm_orchestrator.fleet.observing import FleetObserver, Working
from fsm_orchestrator.fleet.report import Course, FleetReport
from fsm_orchestrator.fleet.standing import Action, Decision, Retries, decide
from fsm_orchestrator.fleet.turns import Turns
from fsm_orchestrator.fleet.written_configs import CONFIG_DIRECTORY, write_configs
from fsm_orchestrator.processes.interrupts import Interrupts
from fsm_orchestrator.vocabulary import ExitCode, Standing

CRASHES_MAX: Final = 1
"""The number of times that a run whose worker was killed is tried again."""


class FleetOptions(NamedTuple):
    """The options of a fleet.

    Attributes:
        max_failures: the number of runs that did not end as they should after which no more are
            begun; None for no limit.
        only: the names of the selected runs; None for all.
        state_key_file: the full path of a file with the key that the records are proved by.
    """

    jobs: int
    retries: Retries = Retries()
    max_failures: int | None = None
    only: frozenset[str] | None = None
    state_key_file: str | None = None


def run_fleet(
    fleet: Fleet,
    directory: Path,
    options: FleetOptions,
    interrupts: Interrupts,
    observer: FleetObserver,
) -> FleetReport:
    """Work on the runs of a fleet, each in its own directory below `directory`; return a report.

    Raises:
        UsageError: a run that is done has another definition now, or a directory cannot be made.
        FleetBusyError: another fleet is at work there.
    """
    with held(directory):
        decisions = {run.name: decide(directory / run.name, options.retries) for run in fleet.runs}
        write_configs(fleet.runs, decisions, directory)
        return _FleetAtWork(fleet, directory, options, decisions, interrupts, observer).work()


class _FleetAtWork:
    def __init__(
        self,
        fleet: Fleet,
        directory: Path,
        options: FleetOptions,
        decisions: Mapping[str, Decision],
        interrupts: Interrupts,
        observer: FleetObserver,
    ) -> None:
        self._fleet, self._directory, self._options = fleet, directory, options
        self._interrupts, self._observer = interrupts, observer
        self._cwd = current_directory()
        asked = [run for run in fleet.runs if options.only is None or run.name in options.only]
        names = frozenset(run.name for run in asked)
        self._turns = Turns(run for run in asked if is_due(decisions[run.name]))
        self._books = Books(fleet, directory, options.jobs, decisions, names, observer)
        self._view = self._books.view
        self._idle: list[Worker] = []
        self._at_work: dict[Worker, FleetRun] = {}
        self._crashes: dict[str, int] = {}

    def work(self) -> FleetReport:
        """Work until there is nothing left to do."""
        self._interrupts.before_stop = lambda: self._signal_all(signal.SIGTSTP)
        self._interrupts.after_stop = lambda: self._signal_all(signal.SIGCONT)
        self._books.write(None)
        try:
            while True:
                self._begin_more()
                if not self._at_work and (self._is_over or not len(self._turns)):
                    break
                self._wait()
                self._pass_on_requests()
                self._books.write_now_and_then()
            return self._finish()
        finally:
            for worker in (*self._idle, *self._at_work):
                worker.dismiss()
            for worker in (*self._idle, *self._at_work):
                worker.bury()

    @property
    def _is_over(self) -> bool:
        """True if no more runs are begun."""
        limit = self._options.max_failures
        return self._interrupts.first is not None or (
            limit is not None and self._books.failures >= limit
        )

    def _begin_more(self) -> None:
        while len(self._at_work) < self._options.jobs and not self._is_over:
            run = self._turns.next()
            if run is None:
                return
            decision = decide(self._directory / run.name, self._options.retries)
            if decision.action is Action.WAIT:
                self._put_off(run, decision.reason)
            elif is_due(decision):
                self._begin(run, is_resume=decision.action is Action.RESUME)
            else:  # another process has finished it in the meantime
                self._turns.has_ended(run)
                self._books.put(run.name, entry_before(run, decision, is_asked=True))

    def _begin(self, run: FleetRun, *, is_resume: bool) -> None:
        worker = self._idle.pop() if self._idle else Worker()
        order = Order(
            output_directory=str(self._directory / run.name),
            config=str(self._directory / CONFIG_DIRECTORY / f"{run.name}.toml"),
            directory=self._cwd,
            is_resume=is_resume,
            are_words_wanted=self._observer.wants_words,
            state_key_file=self._options.state_key_file,
        )
        now = time.monotonic()
        self._at_work[worker] = run
        self._view.working[run.name] = Working(run.name, is_resume, now, now)
        self._books.begin(run.name)
        worker.order(order)  # if it is gone, the next read reports it

    def _wait(self) -> None:
        """Wait for a worker's message, a request to end, or the next time that something is due."""
        due = [self._turns.seconds_until_next(), self._observer.interval_seconds]
        poll = select.poll()
        heard = {worker.fileno(): worker for worker in (*self._at_work, *self._idle)}
        for descriptor in (*heard, self._interrupts.fileno()):
            poll.register(descriptor, select.POLLIN)
        known = [one for one in due if one is not None]
        ready = poll.poll(min(known) * 1000 if known else None)
        for descriptor, _ in ready:
            if descriptor in heard:
                self._hear(heard[descriptor])
        self._observer.look(self._view)

    def _hear(self, worker: Worker) -> None:
        for message in worker.heard():
            if message is None:
                self._is_gone(worker)
            elif worker in self._at_work:
                self._take(worker, self._at_work[worker], message)

    def _take(self, worker: Worker, run: FleetRun, message: Message) -> None:
        working = self._view.working[run.name]
        match message:
            case StageBegan():
                working.stage, working.attempt = message.stage, message.attempt
                working.timeout_ms, working.since = message.timeout_ms, time.monotonic()
                working.words = ""
            case Words():
                working.words = message.text
            case Ended():
                self._release(worker, run)
                course = Course.RESUMED if working.is_resume else Course.RAN
                self._books.end(
                    run.name,
                    course,
                    message.reason,
                    message.exit_code,
                    standing=Standing(message.standing),
                    run_id=message.run_id,
                    untold=message.untold,
                )
            case Refused():
                self._release(worker, run)
                self._books.end(run.name, Course.REFUSED, message.reason, message.exit_code)
            case Busy():
                self._release(worker, run)
                self._put_off(run, message.reason)
            case _:
                assert_never(message)

    def _release(self, worker: Worker, run: FleetRun) -> None:
        del self._at_work[worker]
        working = self._view.working.pop(run.name)
        self._view.took_seconds.append(time.monotonic() - working.began)
        self._turns.has_ended(run)
        self._idle.append(worker)

    def _is_gone(self, worker: Worker) -> None:
        """Handle the end of a worker; its run is tried again once."""
        run = self._at_work.pop(worker, None)
        if worker in self._idle:
            self._idle.remove(worker)
        code = worker.bury()
        if run is None:
            return
        self._view.working.pop(run.name)
        self._turns.has_ended(run)
        how = f"by {signal.Signals(-code).name}" if code < 0 else f"with code {code}"
        reason = f"its worker ended {how}"
        self._crashes[run.name] = self._crashes.get(run.name, 0) + 1
        if self._crashes[run.name] > CRASHES_MAX or self._is_over or not self._turns.put_off(run):
            self._books.end(run.name, Course.REFUSED, reason, ExitCode.INTERNAL)
        else:
            self._books.update(run.name, course=Course.TO_COME, reason=reason)

    def _put_off(self, run: FleetRun, reason: str) -> None:
        if self._turns.put_off(run):
            self._books.put_off(run.name, reason)
        else:
            self._books.end(run.name, Course.REFUSED, reason, ExitCode.FAILED)

    def _pass_on_requests(self) -> None:
        """Pass each request to end on to the workers, which end their runs, or kill them."""
        self._interrupts.drain()
        first = self._interrupts.first
        if first is None:
            return
        self._view.stopped_by = first
        while self._view.requests < self._interrupts.count:
            self._view.requests += 1
            self._signal_all(first)

    def _signal_all(self, signum: int) -> None:
        for worker in self._at_work:
            worker.signal(signum)

    def _finish(self) -> FleetReport:
        why = "the fleet was asked to end" if self._interrupts.first else "too many runs had failed"
        left = (run.name for run in self._turns.give_up())
        self._books.leave(left, Course.NOT_STARTED, why)
        self._observer.close(self._view)
        signum = self._interrupts.first
        return self._books.write(self._books.worst_code if signum is None else SIGNAL_BASE + signum)
