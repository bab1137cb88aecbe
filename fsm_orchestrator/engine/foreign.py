"""Distinguishes what the calling program raises through a run from errors of the run itself.

A run that is called as a library shares its thread with its caller: Ctrl-C, the caller's signal
handlers and what other threads throw into this one can interrupt any line of this program.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from types import CodeType, TracebackType
from typing import Final

_OURS: Final = sys.stdlib_module_names | {
    *("builtins", __name__.partition(".")[0]),
    *("click", "msgspec", "psutil", "pydantic", "pydantic_core", "structlog", "transitions"),
}
"""The packages whose errors are bugs of this program if they arrive here."""


def is_foreign(error: BaseException) -> bool:
    """Return whether an error is the calling program's: neither a run's nor its libraries'."""
    package = type(error).__module__.partition(".")[0]
    return not isinstance(error, Exception) or package not in _OURS or came_by_signal(error)


def came_by_signal(error: BaseException) -> bool:
    """Return whether the error was raised by a signal handler of the calling program."""
    handlers = {_code_of(signal.getsignal(signum)) for signum in signal.valid_signals()} - {None}
    return any(code in handlers for code in _codes(error.__traceback__))


def _codes(traceback: TracebackType | None) -> Iterator[CodeType]:
    while traceback is not None:
        yield traceback.tb_frame.f_code
        traceback = traceback.tb_next


def _code_of(handler: object) -> CodeType | None:
    """Return the code of a function or a bound method."""
    code = getattr(getattr(handler, "__func__", handler), "__code__", None)
    return code if isinstance(code, CodeType) else None
