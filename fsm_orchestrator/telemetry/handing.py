"""Hands a run over to the process that sends it, and continues at once.

Loaded by runs that are to be shown, once their record is durable. One process sends for all runs of
this process; it ends on its own a second after the last, and notes beside a run's logs what it
cannot send. Nothing here raises, or waits for a collector.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from fsm_orchestrator.preparation.tracing import is_shown
from fsm_orchestrator.telemetry.orders import Order, line_of

if TYPE_CHECKING:
    from fsm_orchestrator.config.run_config import RunConfig
    from fsm_orchestrator.record.report import Report

_SENDER: Final = (sys.executable, "-P", "-m", "fsm_orchestrator.telemetry.sender")
_LAST_PROCESS_SECONDS: Final = 1.0
"""The seconds that the first process of a container waits: all others end with it."""


class _BehindError(Exception):
    """Too many runs wait to be sent."""


class _Sender:
    """The connection to the process that sends; there is none until there is something to send."""

    def __init__(self) -> None:
        self._line: socket.socket | None = None
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def hand(self, order: Order) -> None:
        """Give the process an order, and start it if there is none.

        Raises:
            OSError: it cannot be started.
            _BehindError: it is so far behind that it takes no more orders.
        """
        with self._lock:
            if self._line is None or not _is_told(self._line, order):
                self._start().sendall(line_of(order))

    def wait(self, seconds: float) -> None:
        """Wait until the process has carried out its orders, but no longer than `seconds`."""
        with self._lock:
            if self._line is not None:
                self._line.close()
                self._line = None
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(seconds)

    def _start(self) -> socket.socket:
        if self._line is not None:
            self._line.close()
        ours, its = socket.socketpair()
        try:
            ours.setblocking(False)
            self._process = subprocess.Popen(
                _SENDER,
                stdin=its.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except BaseException:
            ours.close()
            raise
        finally:
            its.close()
        self._line = ours
        _in_a_thread(partial(self._bury, self._process, ours))
        return ours

    def _bury(self, process: subprocess.Popen[bytes], line: socket.socket) -> None:
        """Wait for the end of a process, so that no zombie is left."""
        process.wait()
        with self._lock:
            line.close()
            if self._line is line:
                self._line = None

    def forget(self) -> None:
        """Forget the process in a child that was forked: it belongs to the parent."""
        if self._line is not None:
            self._line.close()
        self._line, self._process, self._lock = None, None, threading.Lock()


_SENDING: Final = _Sender()
os.register_at_fork(after_in_child=_SENDING.forget)


def hand_over(config: RunConfig, report: Report | None) -> None:
    """Have an invocation sent in the background. Never raises.

    `report` is the report of the invocation; None if it is only on disk.
    """
    if not is_shown(config):
        return
    output = config.output_path
    try:
        _SENDING.hand(Order(str(output), None if report is None else report.run_id))
        if os.getpid() == 1:
            _SENDING.wait(_LAST_PROCESS_SECONDS)
    except _BehindError:
        _note(output, report, "too many runs were waiting to be sent")
    except (OSError, RuntimeError) as error:
        _note(output, report, f"no process could be started to send it: {error}")


def _note(output: Path, report: Report | None, problem: str) -> None:
    from fsm_orchestrator.telemetry.note import untaken, write_note  # noqa: PLC0415 - rare

    if report is not None:
        write_note(output, untaken(report, problem))


def _is_told(line: socket.socket, order: Order) -> bool:
    """Send an order; return False if nobody listens any longer.

    Raises:
        _BehindError: too many orders wait to be read.
    """
    try:
        line.sendall(line_of(order))
    except BlockingIOError as error:
        raise _BehindError from error
    except ConnectionError:
        return False
    return True


def _in_a_thread(do: Callable[[], None]) -> None:
    """Run something slow in a thread; signals are left to the other threads."""
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        threading.Thread(target=do, name="telemetry", daemon=True).start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
