"""Keepers that serve one run after another, for a program that starts many runs.

Starting a keeper takes longer than starting a stage. A keeper that has proved that nothing is left
of its stage can serve the next run as well, as long as stages inherit through it what they would
inherit from a new one. A run without a pool has its own keeper.
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
from typing import Final, Self

from fsm_orchestrator.processes.freezing import kernel_bytes
from fsm_orchestrator.processes.keeper_client import Keeper, KeeperLostError, start_keeper
from fsm_orchestrator.processes.polling import readable
from fsm_orchestrator.processes.table import identity

IDLE_MAX: Final = 64
"""The number of keepers that may wait for work: more than the threads that make sense at once."""
_LIMITS: Final = sorted(
    getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")
)
_STATUS_LINES: Final = (
    b"Umask",
    b"Uid",
    b"Gid",
    b"Groups",
    b"SigIgn",
    b"Cap",
    b"NoNewPrivs",
    b"Seccomp",
    b"Cpus_",
    b"Mems_",
)
_NAMESPACES: Final = ("mnt", "net", "ipc", "uts", "user", "cgroup", "pid_for_children")
_ME: Final = "/proc/thread-self"
"""The calling thread: a child gets niceness, processors and namespaces from the thread that starts
it."""

_Inherited = tuple[object, ...]


class KeeperPool:
    """Keepers for any number of concurrent runs, in any threads of one process.

    As a context manager it ends the idle keepers at the end of the block; one that is still at work
    ends with its run. A process that was forked from this one starts its own keepers.
    """

    def __init__(self) -> None:
        self._shelf = _Shelf()

    def take(self) -> Keeper | str:
        """Return a keeper that is not in use, a new one if necessary, or why there can be none."""
        inherited = _inherited()
        while (keeper := self._shelf.pop()) is not None:
            if self._shelf.started[keeper] == inherited and _is_up(keeper):
                return keeper
            _dismiss(keeper)  # would pass on something else, or is gone
            keeper.close()
        started = start_keeper()
        if isinstance(started, Keeper):
            with self._shelf.guard:
                self._shelf.started[started] = inherited
        return started

    def give_back(self, keeper: Keeper) -> None:
        """Take back a keeper that has nothing left to keep; release it if there are too many.

        The keeper no longer obeys the lease of the run that had it.
        """
        shelf = self._shelf
        with contextlib.suppress(KeeperLostError):  # noticed when it is next taken
            keeper.lend(None)
        with shelf.guard:
            is_ours = keeper in shelf.started
            if is_ours and not shelf.is_closed and len(shelf.idle) < IDLE_MAX:
                shelf.idle.append(keeper)
                return
        if is_ours:
            _dismiss(keeper)
        keeper.close()

    def close(self) -> None:
        """Release all idle keepers, and take none back from now on."""
        shelf = self._shelf
        with shelf.guard:
            shelf.is_closed = True
            idle, shelf.idle = shelf.idle, []
        for keeper in idle:
            _dismiss(keeper)
        for keeper in idle:  # they have all been ending at the same time
            keeper.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()


class _Shelf:
    """The keepers of a pool in this process; a forked process begins with none.

    Attributes:
        started: the attributes that each keeper inherited, including busy ones.
    """

    def __init__(self) -> None:
        self.is_closed = False
        self.renew()
        _SHELVES.add(self)

    def renew(self) -> None:
        """Begin empty, with a new guard: a thread that was not forked may hold the old one."""
        self.guard = threading.Lock()
        self.idle: list[Keeper] = []
        self.started: weakref.WeakKeyDictionary[Keeper, _Inherited] = weakref.WeakKeyDictionary()

    def pop(self) -> Keeper | None:
        """Take the keeper that has been idle for the shortest time; None if there is none."""
        with self.guard:
            return self.idle.pop() if self.idle else None


_SHELVES: Final[weakref.WeakSet[_Shelf]] = weakref.WeakSet()


def _renew_shelves() -> None:
    """Forget the parent's keepers in a forked process: they are not its children.

    Closes the copies of their sockets, and sends nothing through them.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        for shelf in tuple(_SHELVES):
            shelf.renew()


os.register_at_fork(after_in_child=_renew_shelves)


def _is_up(keeper: Keeper) -> bool:
    """Return whether it is alive, as far as can be seen without waiting."""
    descriptors = [keeper.fileno()]
    if readable(descriptors, time.monotonic()) and keeper.unable():
        return False
    # Readable again: there is more than the message that it is ready.
    return not readable(descriptors, time.monotonic())


def _dismiss(keeper: Keeper) -> None:
    """Make an idle keeper end, even if it is stopped or a forked process has its socket."""
    with contextlib.suppress(OSError):
        if identity(keeper.pid) == keeper.identity:
            os.kill(keeper.pid, signal.SIGCONT)
    with (
        contextlib.suppress(OSError),
        socket.socket(fileno=os.dup(keeper.fileno())) as control,
    ):
        control.shutdown(socket.SHUT_RDWR)


def _inherited() -> _Inherited:
    """Return the process attributes that a new keeper would inherit and pass on to stages.

    A keeper with others would silently give a stage the umask or the limits of an earlier moment or
    of another thread.
    """
    limits = _told("limits") or tuple(resource.getrlimit(limit) for limit in _LIMITS)
    return (limits, os.getpriority(os.PRIO_PROCESS, 0), *_policy(), *_status(), *_places())


def _policy() -> Iterator[int]:
    if sys.platform.startswith("linux"):
        yield os.sched_getscheduler(0)
        yield os.sched_getparam(0).sched_priority


def _status() -> Iterator[bytes]:
    yield from (line for line in _told("status").splitlines() if line.startswith(_STATUS_LINES))


def _places() -> Iterator[str | bytes]:
    for name in ("root", *(f"ns/{namespace}" for namespace in _NAMESPACES)):
        try:
            yield os.readlink(f"{_ME}/{name}")
        except OSError:
            yield ""
    yield from map(_told, ("cgroup", "oom_score_adj"))


def _told(name: str) -> bytes:
    """Return what the system reports of this thread under a name; nothing if it cannot be read."""
    try:
        return kernel_bytes(f"{_ME}/{name}")
    except OSError:
        return b""
