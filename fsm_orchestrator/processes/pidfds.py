"""Descriptors of processes, if they are available here, which is checked once.

The kernel may be too old for them, the platform may have none, or a filter (seccomp) may refuse
them.
"""

from __future__ import annotations

import errno
import os
import signal
from typing import Final

_NO_ROOM: Final = {errno.EMFILE, errno.ENFILE, errno.ENOMEM}
"""The errors of a shortage, which may be over the next time."""
_answers: list[bool] = []


def are_usable() -> bool:
    """Return whether a process can be waited for and signaled through a descriptor."""
    if _answers:
        return _answers[0]
    try:
        _probe()
    except (AttributeError, OSError) as error:
        if getattr(error, "errno", None) in _NO_ROOM:
            return True
        _answers.append(False)
    else:
        _answers.append(True)
    return _answers[0]


def _probe() -> None:
    descriptor = os.pidfd_open(os.getpid())
    try:
        signal.pidfd_send_signal(descriptor, 0)
    finally:
        os.close(descriptor)


def open_of(pid: int) -> int:
    """Open a descriptor of a process; return -1 if there are none, or no room for another.

    Raises:
        ProcessLookupError: there is no such process.
    """
    if not are_usable():
        return -1
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        raise
    except OSError:
        return -1
