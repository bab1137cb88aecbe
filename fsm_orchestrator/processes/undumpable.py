"""Closes this process to others of the same user: debuggers, readers of its memory. Linux.

A stage runs with the operator's own rights. A process that is not dumpable (prctl(2)) refuses it
ptrace(2), pidfd_getfd(2), and everything below /proc/PID that shows memory, environment or open
files.
"""

from __future__ import annotations

import os
import sys

PR_SET_DUMPABLE = 4


def close_to_others() -> bool:
    """Close this process until it executes another program; return whether it is closed."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        return prctl(PR_SET_DUMPABLE, 0) == 0
    except (ImportError, AttributeError, OSError):
        return False


def prctl(option: int, value: int) -> int:
    """Set an option of this process in the kernel; return the kernel's answer. Linux.

    Raises:
        ImportError, AttributeError, OSError: prctl(2) cannot be called.
    """
    # The part of `ctypes` that does it, which takes a third of the time to load.
    import _ctypes  # noqa: PLC0415 - not on other platforms

    call = _ctypes.dlsym(_ctypes.dlopen(None, os.RTLD_NOW), "prctl")  # type: ignore[arg-type] # this program
    returned: int = _ctypes.call_function(call, (option, value, 0, 0, 0))
    return returned
