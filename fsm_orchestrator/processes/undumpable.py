"""Closes this process to others of the same user: debuggers, readers of its memory. Linux.

A stage runs with the operator's own rights. What is not dumpable (prctl(2)) refuses it ptrace(2),
pidfd_getfd(2), and all below /proc/PID that shows memory, environment or open files.
"""

from __future__ import annotations

import os
import sys

PR_SET_DUMPABLE = 4


def close_to_others() -> bool:
    """Close this process for as long as it executes nothing else; return whether it is."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        return prctl(PR_SET_DUMPABLE, 0) == 0
    except (ImportError, AttributeError, OSError):
        return False


def prctl(option: int, value: int) -> int:
    """Have the kernel set an option of this process; return what it answers. Linux.

    Raises:
        ImportError, AttributeError, OSError: it cannot be reached.
    """
    # What `ctypes` is made of, which takes a third of the time to load.
    import _ctypes  # noqa: PLC0415 - not on other platforms

    call = _ctypes.dlsym(_ctypes.dlopen(None, os.RTLD_NOW), "prctl")  # type: ignore[arg-type] # this program
    returned: int = _ctypes.call_function(call, (option, value, 0, 0, 0))
    return returned
