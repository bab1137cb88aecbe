"""Closes this process to others of the same user: debuggers, readers of its memory. Linux.

A stage runs with the operator's own rights. What is not dumpable (prctl(2)) refuses it ptrace(2),
pidfd_getfd(2), and all below /proc/PID that shows memory, environment or open files.
"""

from __future__ import annotations

import sys

PR_SET_DUMPABLE = 4


def close_to_others() -> bool:
    """Close this process for as long as it executes nothing else; return whether it is."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        # What `ctypes` is made of, which takes a third of the time to load.
        import _ctypes  # noqa: PLC0415 - not on other platforms

        prctl = _ctypes.dlsym(_ctypes.dlopen(None, 0), "prctl")  # type: ignore[arg-type] # this program
        closed: int = _ctypes.call_function(prctl, (PR_SET_DUMPABLE, 0, 0, 0, 0))
    except (ImportError, AttributeError, OSError):
        return False
    return closed == 0
