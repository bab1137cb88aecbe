"""The facts that a process has from its start, as plain data. Loads little: see fork_client.py."""

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
"""The prefixes of the variables that are read once, before a command itself begins."""
NAMESPACES = ("mnt", "net", "pid", "user", "uts")
BOUNDS = ("Cap", "NoNewPrivs", "Seccomp")
"""The prefixes of the lines of /proc/self/status that say what a process may do."""
LIMITS = sorted({value for name, value in vars(resource).items() if name.startswith("RLIMIT_")})


def start_now(env: Mapping[str, str]) -> dict[str, Any]:
    """Return the facts of a process that would start now with `env`.

    A forked command has them from its server.
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
    """Return the lines of a file; none if it does not exist."""
    try:
        with open(path, encoding="utf-8") as file:
            return file.read().splitlines()
    except OSError:
        return []


def _inode(path: str) -> int:
    """Return the inode of a file; 0 if it does not exist."""
    try:
        return os.stat(path).st_ino
    except OSError:
        return 0
