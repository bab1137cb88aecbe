"""Starts a stage's first process in a cage, where it reaches only what it was given. Linux.

It runs in the keeper's interpreter, which cannot import this package. Landlock's rules, the filter
of system calls, the capabilities and the promise never to gain privileges belong to a *thread*: a
separate thread enters the cage, starts the process from there, and ends. Nothing else of the keeper
is confined, and no copy of the keeper is needed for a start.

An order for a cage is a list of fields: `abi N` (the version of Landlock to use, at most the
kernel's), `write PATH`, `read PATH`, `connect PORT`, `bind PORT`, the bare words `read`, `connect`
and `bind`, each if there is such a list (which may be empty), `signals`, `require PROMISE`.
"""

from __future__ import annotations

import _thread
import ctypes
import errno
import os
import struct

TYPE_CHECKING = False  # type checkers know this name; importing typing takes time
if TYPE_CHECKING:
    from collections.abc import Callable
if TYPE_CHECKING or __package__:
    from fsm_orchestrator.processes import landlock, seccomp
else:
    import landlock
    import seccomp

PR_SET_NO_NEW_PRIVS, PR_CAPBSET_DROP, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL = 38, 24, 47, 4
CAPABILITIES_MAX = 64
CAPABILITY_VERSION_3 = 0x20080522
_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.prctl.argtypes = (ctypes.c_int, *(ctypes.c_ulong,) * 4)
_FILTERS: dict[tuple[bool, bool, bool], bytes] = {}
"""The filters written so far."""


class CageError(OSError):
    """A failure to build a cage; `filename` is the path that caused it, if one did."""


class Order:
    """The resources that a stage may reach, from the fields of an order."""

    def __init__(self, fields: list[bytes]) -> None:
        self.abi = landlock.version()
        self.write: list[bytes] = []
        self.read: list[bytes] | None = None
        self.connect: list[int] | None = None
        self.bind: list[int] | None = None
        self.signals = False
        self.required: set[bytes] = set()
        for field in fields:
            self._take(*field.partition(b" ")[::2])

    def _take(self, word: bytes, value: bytes) -> None:
        match word:
            case b"abi":
                self.abi = min(self.abi, int(value))
            case b"write":
                self.write.append(value)
            case b"read":
                self.read = [*(self.read or ()), *([value] if value else ())]
            case b"connect":
                self.connect = [*(self.connect or ()), *([int(value)] if value else ())]
            case b"bind":
                self.bind = [*(self.bind or ()), *([int(value)] if value else ())]
            case b"require":
                self.required.add(value)
            case b"signals":
                self.signals = True
            case _:
                raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))


def held_by(order: Order) -> list[bytes]:
    """Return the names of the promises that this kernel keeps for an order."""
    abi, filtered = order.abi, seccomp.is_supported()
    promises = {
        b"write": abi >= landlock.ABI_FILES,
        b"truncate": abi >= landlock.ABI_TRUNCATE or (abi >= landlock.ABI_FILES and filtered),
        b"device_ioctl": abi >= landlock.ABI_IOCTL,
        b"read": order.read is not None and abi >= landlock.ABI_FILES,
        b"connect": order.connect is not None
        and filtered
        and (abi >= landlock.ABI_TCP or not order.connect),
        b"bind": order.bind is not None and abi >= landlock.ABI_TCP,
        b"signals": order.signals and abi >= landlock.ABI_SCOPES,
        b"abstract_sockets": order.signals and abi >= landlock.ABI_SCOPES,
        b"inspection": abi >= landlock.ABI_FILES and filtered,
        b"namespaces": filtered,
    }
    return [name for name, is_held in promises.items() if is_held]


def spawn(order: Order, start: Callable[[], int]) -> int:
    """Call `start`, which starts a process, from a thread in a cage; return its result.

    Raises:
        CageError: the cage could not be built; nothing was started.
        OSError: `start` raised it.
    """
    ruleset = -1
    try:
        if order.abi >= landlock.ABI_FILES:
            ruleset = landlock.ruleset(
                order.abi,
                write=order.write,
                read=order.read,
                connect=order.connect,
                bind=order.bind,
                is_scoped=order.signals,
            )
        filtering = b""
        if seccomp.is_supported():
            filtering = _filter(order)
    except OSError as error:
        raise _failed(error) from error
    try:
        return _in_thread(ruleset, filtering, start)
    finally:
        if ruleset >= 0:
            os.close(ruleset)


def _filter(order: Order) -> bytes:
    """Return the filter for an order; orders that need the same filter share it."""
    closes, below = order.connect is not None, order.abi < landlock.ABI_TRUNCATE
    kind = closes, order.connect == [], below
    if kind not in _FILTERS:
        _FILTERS[kind] = seccomp.program(sockets=closes, no_internet=kind[1], truncation=below)
    return _FILTERS[kind]


def _in_thread(ruleset: int, filtering: bytes, start: Callable[[], int]) -> int:
    done = _thread.allocate_lock()
    done.acquire()
    results: list[int | BaseException] = []

    def work() -> None:
        try:
            try:
                _enter(ruleset, filtering)
            except OSError as refused:
                results.append(_failed(refused))
            else:
                results.append(start())
        except BaseException as raised:  # noqa: BLE001 - raised again by who waits
            results.append(raised)
        finally:
            done.release()

    try:
        _thread.start_new_thread(work, ())
    except RuntimeError as error:  # no thread can be started
        raise CageError(errno.EAGAIN, os.strerror(errno.EAGAIN)) from error
    done.acquire()
    match results:
        case [int(pid)]:
            return pid
        case [BaseException() as failure]:
            raise failure
        case _:
            raise CageError(errno.EIO, os.strerror(errno.EIO))


def _enter(ruleset: int, filtering: bytes) -> None:
    """Put the calling thread into the cage permanently."""
    _prctl(PR_SET_NO_NEW_PRIVS, 1)
    if os.geteuid() == 0:
        _drop_capabilities()
    if ruleset >= 0:
        landlock.enter(ruleset)
    if filtering:
        seccomp.install(filtering)


def _drop_capabilities() -> None:
    """Give up all privileges that root has beyond what it owns.

    Raises:
        OSError: the kernel refuses.
    """
    for capability in range(CAPABILITIES_MAX):
        if _LIBC.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0):
            break  # past the last one
    _LIBC.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    header = struct.pack("=Ii", CAPABILITY_VERSION_3, 0)
    if _LIBC.capset(header, bytes(24)):
        _fail()


def _failed(error: OSError) -> CageError:
    return CageError(error.errno or 0, error.strerror, error.filename)


def _prctl(option: int, value: int) -> None:
    if _LIBC.prctl(option, value, 0, 0, 0):
        _fail()


def _fail() -> None:
    number = ctypes.get_errno()
    raise OSError(number, os.strerror(number))
