"""What a process has from its start, as plain data. Loads next to nothing: see fork_client.py."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import os
import resource

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

HEEDED_AT_START = (
    *("LD_", "DYLD_", "GLIBC_", "MALLOC_"),  # by the loader and the C library
    *("PYTHON", "LANG", "LC_"),  # by the interpreter
    *("NO_COLOR", "FORCE_COLOR", "PYDANTIC_", "PSUTIL_"),  # by libraries when they are imported
)
"""How the variables begin that are looked at once, before a command of its own begins."""
NAMESPACES = ("mnt", "net", "pid", "user", "uts")
BOUNDS = ("Cap", "NoNewPrivs", "Seccomp")
"""How the lines of /proc/self/status begin that say what a process may do."""
LIMITS = sorted({value for name, value in vars(resource).items() if name.startswith("RLIMIT_")})


def start_now(env: Mapping[str, str]) -> dict[str, Any]:
    """Return what a process would have that is started now with `env`.

    A command that is forked has it from its server.
    """
    signals = [int(one) for one in _signal.valid_signals()]
    return {
        "env": {key: value for key, value in env.items() if key.startswith(HEEDED_AT_START)},
        "limits": [resource.getrlimit(limit) for limit in LIMITS],
        "ignored": [one for one in sorted(signals) if _signal.getsignal(one) == _signal.SIG_IGN],
        "blocked": sorted(map(int, _signal.pthread_sigmask(_signal.SIG_BLOCK, ()))),
        "niceness": os.getpriority(os.PRIO_PROCESS, 0),
        "processors": sorted(getattr(os, "sched_getaffinity", lambda _: ())(0)),
        "bounds": [line for line in _lines("/proc/self/status") if line.startswith(BOUNDS)],
        "namespaces": [_inode(f"/proc/self/ns/{name}") for name in NAMESPACES],
        "users": [os.getuid(), os.geteuid(), os.getgid(), os.getegid(), *sorted(os.getgroups())],
    }


def _lines(path: str) -> list[str]:
    """Return the lines of a file; none where there is none."""
    try:
        with open(path, encoding="utf-8") as file:
            return file.read().splitlines()
    except OSError:
        return []


def _inode(path: str) -> int:
    """Return the inode of a file; 0 where there is none."""
    try:
        return os.stat(path).st_ino
    except OSError:
        return 0
