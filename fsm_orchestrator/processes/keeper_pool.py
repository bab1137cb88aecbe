"""Keepers that serve one run after another, for a program that makes many runs.

Starting a keeper takes longer than starting a stage. One that has proved that nothing is left of
its stage can serve the next run as well: as long as what stages would inherit through it is what
they would inherit from a new one. A run without a pool has a keeper of its own.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
import sys
import threading
import time
import warnings
import weakref
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from fsm_orchestrator.processes import table as process_table
from fsm_orchestrator.processes.keeper_client import Keeper, start_keeper
from fsm_orchestrator.processes.polling import readable

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
    "SigIgn",
    "Cap",
    "NoNewPrivs",
    "Seccomp",
    "Cpus_",
    "Mems_",
)
_NAMESPACES: Final = ("mnt", "net", "ipc", "uts", "user", "cgroup", "pid_for_children")
_ME: Final = "/proc/thread-self"
"""Niceness, processors, namespaces: a child has them of the thread that starts it."""

_Inherited = tuple[object, ...]


class KeeperPool:
    """Keepers for any number of runs at once, in any threads of one process.

    A context manager: when it is left, the keepers that are idle end; one that is still at work
    ends with its run. A process that was forked from this one starts keepers of its own.
    """

    def __init__(self) -> None:
        self._shelf = _Shelf()

    def take(self) -> Keeper | str:
        """A keeper that nobody else uses, new if need be; or why there can be none."""
        inherited = _inherited()
        while (keeper := self._shelf.pop()) is not None:
            if self._shelf.started[keeper] == inherited and _is_up(keeper):
                return keeper
            _dismiss(keeper)  # of another time, or gone
            keeper.close()
        started = start_keeper()
        if isinstance(started, Keeper):
            with self._shelf.guard:
                self._shelf.started[started] = inherited
        return started

    def give_back(self, keeper: Keeper) -> None:
        """Take a keeper back that has nothing left to keep; one too many is let go."""
        shelf = self._shelf
        with shelf.guard:
            is_ours = keeper in shelf.started
            if is_ours and not shelf.is_closed and len(shelf.idle) < IDLE_MAX:
                shelf.idle.append(keeper)
                return
        if is_ours:
            _dismiss(keeper)
        keeper.close()

    def close(self) -> None:
        """Let all idle keepers go, and take none back any more."""
        shelf = self._shelf
        with shelf.guard:
            shelf.is_closed = True
            idle, shelf.idle = shelf.idle, []
        for keeper in idle:
            _dismiss(keeper)
        for keeper in idle:  # they have ended meanwhile, all at once
            keeper.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class _Shelf:
    """What a pool has in this process: in one that is forked from it, nothing yet.

    Attributes:
        started: what each of its keepers inherited, the busy ones' too.
    """

    def __init__(self) -> None:
        self.is_closed = False
        self.renew()
        _SHELVES.add(self)

    def renew(self) -> None:
        """Begin with nothing; the guard too, for a thread that is not here may have held it."""
        self.guard = threading.Lock()
        self.idle: list[Keeper] = []
        self.started: weakref.WeakKeyDictionary[Keeper, _Inherited] = weakref.WeakKeyDictionary()

    def pop(self) -> Keeper | None:
        """The keeper that has been idle for the shortest time; None when there is none."""
        with self.guard:
            return self.idle.pop() if self.idle else None


_SHELVES: Final[weakref.WeakSet[_Shelf]] = weakref.WeakSet()


def _renew_shelves() -> None:
    """Forget the parent's keepers, in a process that was forked: they are its children, not ours.

    Our copies of their sockets are closed, and nothing is said through them.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        for shelf in tuple(_SHELVES):
            shelf.renew()


os.register_at_fork(after_in_child=_renew_shelves)


def _is_up(keeper: Keeper) -> bool:
    """Whether it is alive, as far as can be seen without a wait."""
    descriptors = [keeper.fileno()]
    if readable(descriptors, time.monotonic()) and keeper.unable():
        return False
    return not readable(descriptors, time.monotonic())  # where it had only said that it is ready


def _dismiss(keeper: Keeper) -> None:
    """Have an idle keeper end, also one that is stopped, or whose socket a forked process has."""
    with contextlib.suppress(OSError):
        if process_table.identity(keeper.pid) == keeper.identity:
            os.kill(keeper.pid, signal.SIGCONT)
    with (
        contextlib.suppress(OSError),
        socket.socket(fileno=os.dup(keeper.fileno())) as control,
    ):
        control.shutdown(socket.SHUT_RDWR)


def _inherited() -> _Inherited:
    """What a process that is started now would inherit, beside what a stage is given anyway."""
    limits = tuple(resource.getrlimit(limit) for limit in _LIMITS)
    return (limits, os.getpriority(os.PRIO_PROCESS, 0), *_policy(), *_status(), *_places())


def _policy() -> Iterator[int]:
    if sys.platform.startswith("linux"):
        yield os.sched_getscheduler(0)
        yield os.sched_getparam(0).sched_priority


def _status() -> Iterator[str]:
    try:
        text = Path(f"{_ME}/status").read_text(errors="replace")
    except OSError:
        return
    yield from (line for line in text.splitlines() if line.startswith(_STATUS_LINES))


def _places() -> Iterator[str]:
    for name in ("root", *(f"ns/{namespace}" for namespace in _NAMESPACES)):
        try:
            yield os.readlink(f"{_ME}/{name}")
        except OSError:
            yield ""
    for name in ("cgroup", "oom_score_adj"):
        try:
            yield Path(f"{_ME}/{name}").read_text(errors="replace")
        except OSError:
            yield ""
