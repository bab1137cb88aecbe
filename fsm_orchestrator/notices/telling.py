"""Notifies people of the end of an invocation, and returns what could not be delivered.

The run has ended, all is durable, and its directory is free again. Whatever goes wrong here is a
sentence for the operator: never an outcome, an exit code, or an exception.
"""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, NamedTuple

from fsm_orchestrator.clock import SystemClock, timestamp
from fsm_orchestrator.constants import NOTICES_FILE, REPORT_FILE
from fsm_orchestrator.disk import files
from fsm_orchestrator.disk.where import run_of
from fsm_orchestrator.errors import OrchestratorError
from fsm_orchestrator.notices.body import bytes_of, notice_of
from fsm_orchestrator.notices.command import run_command
from fsm_orchestrator.notices.ends import end_of, standing_digest
from fsm_orchestrator.notices.told import (
    PROBLEM_CHARACTERS_MAX,
    WAY_CHARACTERS_MAX,
    Told,
    note,
    told_of,
)
from fsm_orchestrator.notices.webhook import Delivery, deliver
from fsm_orchestrator.processes.interrupts import Interrupts
from fsm_orchestrator.processes.runner import ProcessRunner
from fsm_orchestrator.record.report_reader import read_report
from fsm_orchestrator.secrets.masking import Masker

if TYPE_CHECKING:
    from pathlib import Path

    from fsm_orchestrator.config.notice import Notice as NoticeGiven
    from fsm_orchestrator.engine.surroundings import Surroundings
    from fsm_orchestrator.notices.body import Notice
    from fsm_orchestrator.preparation.preparation import Preparation
    from fsm_orchestrator.record.report import Report

LOOK_SECONDS: Final = 0.05
"""The seconds that a request to end may go unnoticed while others answer."""
LATE_SECONDS: Final = 1.0
"""The seconds that a webhook may take beyond its time before it is abandoned."""
GIVEN_UP: Final = "it was given up: this program was asked to end"


class Ended(NamedTuple):
    """An invocation that has ended.

    Attributes:
        given: the notices that its run has.
        directory: the run's output directory.
    """

    given: tuple[NoticeGiven, ...]
    report: Report
    directory: Path
    masker: Masker


def tell_of(
    preparation: Preparation, report: Report | None, caller: Surroundings
) -> tuple[str, ...]:
    """Notify those who are due a notice of this end; return who could not be notified.

    The report is None if it is only on disk.
    """
    directory = preparation.config.output_path
    try:
        if report is None:
            report = read_report(directory / REPORT_FILE)
        given = preparation.checkpoint.notify
        return _tell(Ended(given, report, directory, preparation.output_masker), caller)
    except Exception as error:  # noqa: BLE001 - a notice decides nothing, whatever is wrong with it
        return (f"not every notice of the end of the run was sent: {type(error).__name__}",)


def _tell(ended: Ended, caller: Surroundings) -> tuple[str, ...]:
    report, directory = ended.report, ended.directory
    end = end_of(report, directory)
    standing = standing_digest(report, end)
    known = told_of(directory, report.run_id)
    last = {one.name: one for one in known}
    due = [
        one
        for one in ended.given
        if end in one.on and not _has_been_told(last.get(one.name), standing)
    ]
    if not due:
        return ()
    notice = notice_of(report, end, run_of(directory))
    deliveries = deliver_all(due, notice, caller)
    now = timestamp(SystemClock().now())
    lines = tuple(
        Told(
            schema_version=1,
            run_id=report.run_id,
            invocation=notice.invocation,
            at=now,
            event=end,
            standing=standing,
            name=one.name,
            to=ended.masker.mask(one.words)[:WAY_CHARACTERS_MAX],
            tries=delivery.tries,
            problem=_shown(delivery.problem, ended.masker),
        )
        for one, delivery in zip(due, deliveries, strict=True)
    )
    untold = [one.sentence for one in lines if one.problem is not None]
    failure = note(directory, lines)
    if failure is not None:
        untold.append(f"{NOTICES_FILE} cannot be written: {files.reason(failure)}")
    return tuple(untold)


def _shown(problem: str | None, masker: Masker) -> str | None:
    return None if problem is None else masker.mask(problem)[:PROBLEM_CHARACTERS_MAX]


def _has_been_told(last: Told | None, standing: str) -> bool:
    """Return whether the last notice of this kind said that the run stands as it does now."""
    return last is not None and last.problem is None and last.standing == standing


def deliver_all(due: list[NoticeGiven], notice: Notice, caller: Surroundings) -> list[Delivery]:
    """Deliver all notices: webhooks at the same time, commands one after another."""
    results: dict[int, Delivery] = {}
    stopping = threading.Event()
    threads = {
        number: _started(one, notice, number, results, stopping)
        for number, one in enumerate(due)
        if one.command is None
    }
    began = time.monotonic()
    with _hearing(caller.interrupts) as interrupts:
        commands = [(number, one) for number, one in enumerate(due) if one.command is not None]
        if commands:
            runner = ProcessRunner(
                interrupts, keepers=caller.keepers, code=caller.code, lease=caller.lent
            )
            try:
                for number, one in commands:
                    if interrupts.first is not None:
                        results[number] = Delivery(0, GIVEN_UP)
                        continue
                    results[number] = _run(one, notice, runner)
            finally:
                runner.close(is_recorded=True)
        for number, thread in threads.items():
            until = began + due[number].timeout / 1000 + LATE_SECONDS
            while thread.is_alive() and interrupts.first is None and time.monotonic() < until:
                thread.join(LOOK_SECONDS)
        stopping.set()
        is_asked = interrupts.first is not None
    late = Delivery(1, GIVEN_UP if is_asked else "it did not answer in time")
    return [results.get(number, late) for number in range(len(due))]


def _run(given: NoticeGiven, notice: Notice, runner: ProcessRunner) -> Delivery:
    try:
        return run_command(given, notice, bytes_of(notice, given.format), runner)
    except (OSError, OrchestratorError) as error:
        return Delivery(0, f"it cannot be started: {error}")


def _started(
    given: NoticeGiven,
    notice: Notice,
    number: int,
    results: dict[int, Delivery],
    stopping: threading.Event,
) -> threading.Thread:
    """Post in its own thread, which is abandoned if it does not end in time."""

    def post() -> None:
        body = bytes_of(notice, given.format)
        try:
            results[number] = deliver(given, body, notice.id, stopping)
        except Exception as error:  # noqa: BLE001 - as in `tell`
            results[number] = Delivery(1, type(error).__name__)

    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    thread = threading.Thread(target=post, name="notice", daemon=True)
    try:
        thread.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    return thread


@contextlib.contextmanager
def _hearing(callers: Interrupts) -> Iterator[Interrupts]:
    """Yield new requests to end: those that come from now on, not the one that ended the run."""
    own, before = Interrupts(), callers.on_request

    def pass_on() -> None:
        before()
        own.deliver(signal.SIGTERM)

    callers.on_request = pass_on
    try:
        yield own
    finally:
        callers.on_request = before
        own.close()
