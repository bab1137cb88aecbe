"""The process that sends what runs have left, one after another, and ends when no more come.

It gets its orders on stdin, a socket: when none comes for a while it closes that for more, sends
what was on the way, and ends. The next run finds at once that nobody listens, and starts another.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from fsm_orchestrator.errors import OrchestratorError
from fsm_orchestrator.inspection.inspected_run import inspect_run
from fsm_orchestrator.processes.undumpable import close_to_others
from fsm_orchestrator.telemetry.delivery import Due, deliver
from fsm_orchestrator.telemetry.orders import Order, order_in

IDLE_SECONDS: Final = 1.0
REST_SECONDS: Final = 30.0
"""The seconds without another try after something was not taken: what comes in the meantime is
noted as not taken, so that runs do not pile up before a silent collector."""
_READ_BYTES: Final = 65_536


def main() -> None:
    """Carry out the orders on stdin, until no more come."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    close_to_others()
    with contextlib.suppress(OSError):
        os.nice(5)
    os.chdir("/")
    with socket.socket(fileno=0) as line:
        problem, tries_at = None, 0.0
        for order in _orders(line):
            found = _carried_out(order, problem if time.monotonic() < tries_at else None)
            if found is not None and found != problem:
                tries_at = time.monotonic() + REST_SECONDS
            problem = found


def _orders(line: socket.socket) -> Iterator[Order]:
    """Yield the orders, until none comes for a while or nobody is left to give one."""
    unread = b""
    with selectors.DefaultSelector() as selector:
        selector.register(line, selectors.EVENT_READ)
        while True:
            if not selector.select(IDLE_SECONDS):
                with contextlib.suppress(OSError):
                    line.shutdown(socket.SHUT_RD)  # what is on the way can still be read
            data = line.recv(_READ_BYTES)
            if not data:
                return
            *lines, unread = (unread + data).split(b"\n")
            for one in lines:
                with contextlib.suppress(msgspec.MsgspecError):
                    yield order_in(one)


def _carried_out(order: Order, problem: str | None) -> str | None:
    """Send a run, unless there is a problem; return why it was not taken, or None if it was."""
    output = Path(order.output_directory)
    with contextlib.suppress(OrchestratorError, OSError):
        view = inspect_run(output)
        if order.run_id is not None and view.report.run_id != order.run_id:
            view = inspect_run(output, order.run_id)
        return deliver(view, Due(is_by_hand=False), problem).problem
    return problem


if __name__ == "__main__":
    main()
