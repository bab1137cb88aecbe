"""The desk where the thread that keeps the record does what other threads ask, one by one.

A run has one writer. The threads that wait for stages side by side ask it to do everything that
touches the record, the log or an observer, and wait for the answer.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

Answer = TypeVar("Answer")


class DeskClosedError(Exception):
    """The desk is closed: the thread that asked only has to end the process it waits for."""


class _Errand:
    """A function to call for another thread, and its result."""

    def __init__(self, do: Callable[[], Any]) -> None:
        self.do = do
        self.answer: Any = None
        self.is_refused = False
        self.is_done = threading.Event()


class Desk:
    """The errands of other threads for the one that made this. `close` it when all have ended."""

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)
        self._errands: deque[_Errand] = deque()
        self.is_shut = False
        """True to refuse every errand from now on."""

    def fileno(self) -> int:
        """Return a descriptor that is readable when an errand has come or a thread has ended."""
        return self._reader

    def ask(self, do: Callable[[], Answer]) -> Answer:
        """Have the thread that keeps the record call `do`; return what that returned.

        Raises:
            DeskClosedError: no more errands are done, or `do` raised something, which the thread
                that called it reports.
        """
        errand = _Errand(do)
        self._errands.append(errand)
        self.wake()
        errand.is_done.wait()
        if errand.is_refused:
            raise DeskClosedError
        answer: Answer = errand.answer
        return answer

    def wake(self) -> None:
        """Make the descriptor readable."""
        with contextlib.suppress(BlockingIOError):
            os.write(self._writer, b"!")

    def work_off(self) -> None:
        """Do the errands. What one raises propagates, and the errand is refused.

        Whatever interrupts this (Ctrl-C in a calling program), no thread is left waiting: the
        errand stays at the head until it is answered.
        """
        with contextlib.suppress(BlockingIOError):
            while os.read(self._reader, 512):
                pass
        while self._errands:
            errand = self._errands[0]
            if not errand.is_done.is_set():
                self._answer(errand)
            self._errands.popleft()

    def _answer(self, errand: _Errand) -> None:
        errand.is_refused = True
        try:
            if not self.is_shut:
                errand.answer = errand.do()
                errand.is_refused = False
        finally:
            errand.is_done.set()

    def close(self) -> None:
        """Close the descriptors."""
        os.close(self._reader)
        os.close(self._writer)
