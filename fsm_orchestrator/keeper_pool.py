"""Keepers that serve one run after another, for a program that makes many runs.

Starting a keeper takes longer than starting a stage. One that has proved that nothing is left of
its stage can serve the next run as well: as long as what stages would inherit through it is what
they would inherit from a new one. A run without a pool has a keeper of its own.
"""

from __future__ import annotations

import os
import resource
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from fsm_orchestrator.keeper_client import Keeper, start_keeper
from fsm_orchestrator.polling import readable

IDLE_MAX: Final = 64
"""How many keepers wait for work; more than threads that are of use at once."""
_LIMITS: Final = sorted(
    getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")
)
_STATUS_LINES: Final = (
    "Umask",
    "Uid",
    "Gid",
    "Groups",
    "Cap",
    "NoNewPrivs",
    "Seccomp",
    "Cpus_",
    "Mems_",
)
_NAMESPACES: Final = ("mnt", "net", "ipc", "uts", "user", "cgroup", "pid_for_children")

_Inherited = tuple[object, ...]


class KeeperPool:
    """Keepers for any number of runs at once, in any threads of one process.

    A context manager: when it is left, the keepers that are idle end; one that is still at work
    ends with its run. A process that was forked from this one starts keepers of its own.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._idle: list[tuple[_Inherited, Keeper]] = []
        self._owner = os.getpid()
        self._is_closed = False

    def take(self) -> Keeper | str:
        """A keeper that nobody else uses, new if need be; or why there can be none."""
        inherited = _inherited()
        while (kept := self._pop()) is not None:
            then, keeper = kept
            if then == inherited and not readable([keeper.fileno()], time.monotonic()):
                return keeper
            keeper.close()  # of another time, or gone
        return start_keeper()

    def give_back(self, keeper: Keeper) -> None:
        """Take a keeper back that has nothing left to keep; one too many is let go."""
        inherited = _inherited()
        with self._guard:
            may_stay = not self._is_closed and len(self._idle) < IDLE_MAX
            if may_stay and self._owner == os.getpid():
                self._idle.append((inherited, keeper))
                return
        keeper.close()

    def close(self) -> None:
        """Let all idle keepers go, and take none back any more."""
        with self._guard:
            self._is_closed = True
        while (kept := self._pop()) is not None:
            kept[1].close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _pop(self) -> tuple[_Inherited, Keeper] | None:
        with self._guard:
            if self._owner != os.getpid():  # forked: they are the parent's
                self._owner, self._idle = os.getpid(), []
            return self._idle.pop() if self._idle else None


def _inherited() -> _Inherited:
    """What a process that is started now would inherit, beside what a stage is given anyway."""
    limits = tuple(resource.getrlimit(limit) for limit in _LIMITS)
    return (limits, os.getpriority(os.PRIO_PROCESS, 0), *_status(), *_places())


def _status() -> Iterator[str]:
    try:
        text = Path("/proc/self/status").read_text(errors="replace")
    except OSError:
        return
    yield from (line for line in text.splitlines() if line.startswith(_STATUS_LINES))


def _places() -> Iterator[str]:
    for name in ("root", *(f"ns/{namespace}" for namespace in _NAMESPACES)):
        try:
            yield os.readlink(f"/proc/self/{name}")
        except OSError:
            yield ""
    for name in ("cgroup", "oom_score_adj"):
        try:
            yield Path(f"/proc/self/{name}").read_text(errors="replace")
        except OSError:
            yield ""
