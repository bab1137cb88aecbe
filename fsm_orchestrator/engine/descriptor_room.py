"""Room for descriptors: found missing before anything is started, and told as what it is."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from typing import Final

from fsm_orchestrator.errors import OperationError
from fsm_orchestrator.vocabulary import Operation

NEEDED: Final = 24
"""What a run has open at once, at the most, and some more."""
BESIDE: Final = 10
"""What each stage more has open that runs at once with another."""
_AMPLE: Final = 64


def require_room(descriptor: int, stages: int = 1) -> None:
    """Find out whether enough descriptors can be had; `descriptor` is any that is open.

    `stages` is how many run at once, at the most.

    Raises:
        OperationError: too few can.
    """
    with contextlib.suppress(OSError):
        more = (stages - 1) * BESIDE
        os.close(fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, _AMPLE + more))
        return
    copies: list[int] = []
    failure = None
    try:
        copies.extend(os.dup(descriptor) for _ in range(NEEDED + (stages - 1) * BESIDE))
    except OSError as error:
        failure = error
    finally:
        for copy in copies:
            os.close(copy)
    if failure is not None:  # now there is room to say so
        raise no_room(failure, stages) from failure


def is_no_room(error: BaseException) -> bool:
    """Answer whether an error says that there is no descriptor left, here or on the machine."""
    return isinstance(error, OSError) and error.errno in {errno.EMFILE, errno.ENFILE}


def no_room(error: OSError, stages: int = 1) -> OperationError:
    """Return what an error means that says that there is no descriptor left."""
    limit = os.sysconf("SC_OPEN_MAX")
    return OperationError(
        Operation.DESCRIPTORS_RESERVE,
        f"too few files can be opened: {os.strerror(error.errno or 0)}; a process may have {limit}"
        f" open, and a run needs {NEEDED + (stages - 1) * BESIDE} beside those that are",
        remedy="raise the limit (ulimit -n), or close what is open; then try again",
    )
