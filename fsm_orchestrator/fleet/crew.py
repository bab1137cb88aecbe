"""The worker processes of a fleet: started when they are needed, told what to do, heard, ended."""

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
"""What the interpreter of a worker runs: it is made ready as that of a command is."""
_COMMAND: Final = (sys.executable, "-P", "-c", _BOOT)
"""`-P`: whatever lies in the directory in which the fleet was started is no module of a worker."""
_LINE_BYTES_MAX: Final = 1024 * 1024
_READ_BYTES: Final = 65_536
_ENDS_WITHIN_SECONDS: Final = 10.0


class Worker:
    """One worker process. It is a process group of its own: Ctrl-C is for the fleet to pass on."""

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
        """Return the descriptor that can be read when it tells something, or is gone."""
        return self._told

    def order(self, order: Order) -> None:
        """Tell it what to do. Where it is gone, that is heard."""
        with contextlib.suppress(OSError):
            os.write(self._orders, line_of(order))

    def heard(self) -> Iterator[Message | None]:
        """Yield what it has told since the last call; None where it is gone."""
        try:
            data = os.read(self._told, _READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        *lines, self._unread = (self._unread + data).split(b"\n")
        for line in lines:
            with contextlib.suppress(msgspec.DecodeError):  # a line that is none is as good as none
                yield message_in(line)
        if not data or len(self._unread) > _LINE_BYTES_MAX:
            yield None

    def signal(self, signum: int) -> None:
        """Send it a signal, if it is there."""
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, signum)

    def dismiss(self) -> None:
        """Let it end: it works at nothing."""
        if self._orders >= 0:
            os.close(self._orders)
            self._orders = -1

    def bury(self) -> int:
        """Wait until it has ended, and return its exit code; one that does not end is killed."""
        self.dismiss()
        try:
            code = self._process.wait(_ENDS_WITHIN_SECONDS)
        except subprocess.TimeoutExpired:
            self.signal(signal.SIGKILL)
            code = self._process.wait()
        os.close(self._told)
        return code
