"""The process in which runs of a fleet are worked on, one after another.

It reads one order per line from stdin, and reports events on stdout. Its keepers serve one run
after another. When stdin ends, the fleet is gone: the current run is ended as by SIGTERM, so that
it can be resumed.
"""

from __future__ import annotations

import os
import queue
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from fsm_orchestrator.api import followed
from fsm_orchestrator.config import config_file, config_reading
from fsm_orchestrator.config.run_config import RunConfig
from fsm_orchestrator.engine.invocation import run_invocation
from fsm_orchestrator.engine.surroundings import QuietListener, Surroundings
from fsm_orchestrator.errors import BusyError, OrchestratorError
from fsm_orchestrator.fleet.messages import (
    WORDS_CHARACTERS_MAX,
    Busy,
    Ended,
    Message,
    Order,
    Refused,
    StageBegan,
    Words,
    line_of,
    order_in,
)
from fsm_orchestrator.inspection.inspected_run import standing_of
from fsm_orchestrator.processes.adoption import adopt_orphans
from fsm_orchestrator.processes.held_code import COMMAND
from fsm_orchestrator.processes.interrupts import Interrupts
from fsm_orchestrator.processes.keeper_pool import KeeperPool
from fsm_orchestrator.processes.undumpable import close_to_others
from fsm_orchestrator.record.report import Report
from fsm_orchestrator.vocabulary import EventName, ExitCode, HeldBy

READ_BYTES: Final = 65_536


def main() -> None:
    """Carry out orders until there are no more, or this process is asked to end."""
    to_fleet = os.dup(1)
    os.dup2(2, 1)  # other output does not end up among the messages
    orders: queue.SimpleQueue[Order | None] = queue.SimpleQueue()
    interrupts = Interrupts()
    with interrupts.installed(), KeeperPool() as keepers:
        close_to_others()
        adopt_orphans()
        _start_listening(orders, interrupts)
        worker = _Worker(to_fleet, interrupts, keepers)
        while interrupts.first is None and (order := orders.get()) is not None:
            worker.work_at(order)


def _start_listening(orders: queue.SimpleQueue[Order | None], interrupts: Interrupts) -> None:
    """Start a thread that reads orders, and that notices when the fleet is gone."""

    def listen() -> None:
        for line in _lines(sys.stdin.fileno()):
            orders.put(order_in(line))
        orders.put(None)
        interrupts.deliver(signal.SIGTERM)

    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    threading.Thread(target=listen, name="orders", daemon=True).start()
    signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def _lines(descriptor: int) -> Iterator[bytes]:
    """Yield the lines, without a buffer, whose lock would block the end of this process."""
    rest = b""
    while data := os.read(descriptor, READ_BYTES):
        *lines, rest = (rest + data).split(b"\n")
        yield from lines


class _Worker:
    """A worker, and the connection to its fleet."""

    def __init__(self, to_fleet: int, interrupts: Interrupts, keepers: KeeperPool) -> None:
        self._to_fleet = to_fleet
        self._interrupts = interrupts
        self._keepers = keepers

    def work_at(self, order: Order) -> None:
        """Carry out an order, and report how it ended."""
        caller = Surroundings(
            self._interrupts,
            QuietListener(self._on_event),
            self._keepers,
            HeldBy.COMMAND,
            self._on_words if order.are_words_wanted else None,
            code=COMMAND,
        )
        untold: list[str] = []
        try:
            report = run_invocation(_config_of(order), followed(caller, untold.append))
        except BusyError as error:
            self._tell(Busy(str(error)))
        except OrchestratorError as error:
            self._tell(Refused(error.exit_code, f"{error}; {error.remedy}".rstrip("; ")))
        else:
            self._tell(_ended(report, Path(order.output_directory), tuple(untold)))

    def _on_event(self, event: Mapping[str, Any]) -> None:
        if event["event"] == EventName.STAGE_STARTED:
            self._tell(StageBegan(event["stage"], event["attempt"], event["timeout_ms"]))

    def _on_words(self, _stage: str, words: str) -> None:
        self._tell(Words(words[:WORDS_CHARACTERS_MAX]))

    def _tell(self, message: Message) -> None:
        """Write a line. A fleet that does not read it is gone, which the other thread notices."""
        data = memoryview(line_of(message))
        while data:
            try:
                data = data[os.write(self._to_fleet, data) :]
            except OSError:
                return


def _config_of(order: Order) -> RunConfig:
    read = config_reading.load(Path(order.config), order.config)
    asked = RunConfig(
        output_directory=order.output_directory,
        directory=order.directory,
        resume=order.is_resume,
        state_key_file=order.state_key_file,
    )
    return config_file.with_file(asked, read.content, order.config, read.sha256)


def _ended(report: Report, directory: Path, untold: tuple[str, ...]) -> Ended:
    causes = [f"{one.name}: {one.error}" for one in report.failures if one.error is not None]
    return Ended(
        run_id=report.run_id,
        exit_code=ExitCode.INTERNAL if report.exit_code is None else report.exit_code,
        standing=standing_of(report, directory, None).value,
        reason="; ".join((*report.blocked_reason_codes, *causes[-1:])),
        untold=untold,
    )
