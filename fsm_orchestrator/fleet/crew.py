"""Starts the worker processes of a fleet when needed, gives them orders, reads and ends them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Final

import msgspec

from fsm_orchestrator.fleet.messages import Message, Order, line_of, message_in

_BOOT: Final = "from fsm_orchestrator import __main__; __main__.start_worker()"
"""The code that a worker's interpreter runs: it prepares the process as a command's does."""
_COMMAND: Final = (sys.executable, "-P", "-c", _BOOT)
"""`-P`: no file in the directory where the fleet was started is imported by a worker."""
_LINE_BYTES_MAX: Final = 1024 * 1024
_READ_BYTES: Final = 65_536
_ENDS_WITHIN_SECONDS: Final = 10.0


class Worker:
    """A worker process, in a process group of its own: the fleet passes Ctrl-C on to it."""

    def __init__(self) -> None:
        its_orders, self._orders = os.pipe()
        self._told, its_words = os.pipe()
        try:
            self._process = subprocess.Popen(
                _COMMAND, stdin=its_orders, stdout=its_words, process_group=0
            )
        except BaseException:
            os.close(self._orders)
            os.close(self._told)
            raise
        finally:
            os.close(its_orders)
            os.close(its_words)
        self._unread = b""
        os.set_blocking(self._told, False)

    def fileno(self) -> int:
        """Return the descriptor that is readable once the worker sends a message or is gone."""
        return self._told

    def order(self, order: Order) -> None:
        """Send an order. If the worker is gone, the next read reports it."""
        with contextlib.suppress(OSError):
            os.write(self._orders, line_of(order))

    def heard(self) -> Iterator[Message | None]:
        """Yield the messages since the last call, then None if the worker is gone."""
        try:
            data = os.read(self._told, _READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        *lines, self._unread = (self._unread + data).split(b"\n")
        for line in lines:
            with contextlib.suppress(msgspec.DecodeError):  # a malformed line is ignored
                yield message_in(line)
        if not data or len(self._unread) > _LINE_BYTES_MAX:
            yield None

    def signal(self, signum: int) -> None:
        """Send a signal to the worker if it still runs."""
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, signum)

    def dismiss(self) -> None:
        """Let an idle worker end, by closing its stdin."""
        if self._orders >= 0:
            os.close(self._orders)
            self._orders = -1

    def bury(self) -> int:
        """Wait until the worker ends, kill it if it does not, and return its exit code."""
        self.dismiss()
        try:
            code = self._process.wait(_ENDS_WITHIN_SECONDS)
        except subprocess.TimeoutExpired:
            self.signal(signal.SIGKILL)
            code = self._process.wait()
        os.close(self._told)
        return code
