"""Executes a command that the kernel kills once the process that asked for it is gone.

`python -I -S tethered.py PID COMMAND...`, where PID is the process that starts it. Where the kernel
makes no such promise the command is executed all the same. Loads next to nothing.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h; kept by execve


def tethered(*command: str) -> tuple[str, ...]:
    """Return the command to start instead, from a thread that lives as long as it should."""
    return (sys.executable, "-I", "-S", __file__, str(os.getpid()), *command)


def main() -> None:
    """Tie this process to its parent, and become the command."""
    parent, command = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it ended before the tie took effect
        sys.exit(1)
    os.execvp(command[0], command)  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main()
