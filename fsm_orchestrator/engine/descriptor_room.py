"""Room for descriptors: a shortage is found before anything is started, and reported as such."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from typing import Final

from fsm_orchestrator.errors import OperationError
from fsm_orchestrator.vocabulary import Operation

NEEDED: Final = 24
"""The number of descriptors that a run has open at once, at most, with a margin."""
BESIDE: Final = 10
"""The number of descriptors that each further stage has open while stages run side by side."""
_AMPLE: Final = 64


def require_room(descriptor: int, stages: int = 1) -> None:
    """Raise if too few descriptors are available; `descriptor` is any open one.

    `stages` is the largest number of stages that run at once.

    Raises:
        OperationError: too few are available.
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
    if failure is not None:  # now there is room to raise this
        raise no_room(failure, stages) from failure


def is_no_room(error: BaseException) -> bool:
    """Return whether an error means that no descriptor is left, here or on the machine."""
    return isinstance(error, OSError) and error.errno in {errno.EMFILE, errno.ENFILE}


def no_room(error: OSError, stages: int = 1) -> OperationError:
    """Return the error to raise for one that means that no descriptor is left."""
    limit = os.sysconf("SC_OPEN_MAX")
    return OperationError(
        Operation.DESCRIPTORS_RESERVE,
        f"too few files can be opened: {os.strerror(error.errno or 0)}; a process may have {limit}"
        f" open, and a run needs {NEEDED + (stages - 1) * BESIDE} besides those already open",
        remedy="raise the limit (ulimit -n), or close what is open; then try again",
    )
