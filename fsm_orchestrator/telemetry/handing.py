"""Hands a run over to the process that sends it, and goes on at once.

Loaded by runs that are to be shown, once their record is durable. One process sends for all runs of
this one; it ends by itself a second after the last, and what it cannot send it notes beside the
logs of the run. Nothing here raises, or waits for a collector.
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
"""How long the first process of a container waits: with it all others of that are gone."""


class _BehindError(Exception):
    """Too many runs wait to be sent."""


class _Sender:
    """The line to the process that sends; without one until there is something to send."""

    def __init__(self) -> None:
        self._line: socket.socket | None = None
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def hand(self, order: Order) -> None:
        """Give it an order, and start it if there is none.

        Raises:
            OSError: it cannot be started.
            _BehindError: it is so far behind that it takes no more.
        """
        with self._lock:
            if self._line is None or not _is_told(self._line, order):
                self._start().sendall(line_of(order))

    def wait(self, seconds: float) -> None:
        """Wait until it has done what it was told, but no longer than that."""
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
        """Wait for the end of a process, so that nothing is left of it."""
        process.wait()
        with self._lock:
            line.close()
            if self._line is line:
                self._line = None

    def forget(self) -> None:
        """Begin anew in a process that was forked: what was started is its parent's."""
        if self._line is not None:
            self._line.close()
        self._line, self._process, self._lock = None, None, threading.Lock()


_SENDING: Final = _Sender()
os.register_at_fork(after_in_child=_SENDING.forget)


def hand_over(config: RunConfig, report: Report | None) -> None:
    """Have what an invocation did sent, by and by. Never raises.

    `report` is that of the invocation; None where it is on disk alone.
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
    """Tell an order; False where nobody listens any more.

    Raises:
        _BehindError: nobody listens yet, to so much.
    """
    try:
        line.sendall(line_of(order))
    except BlockingIOError as error:
        raise _BehindError from error
    except ConnectionError:
        return False
    return True


def _in_a_thread(do: Callable[[], None]) -> None:
    """Have a thread do something that takes long; signals are for the others."""
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        threading.Thread(target=do, name="telemetry", daemon=True).start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
