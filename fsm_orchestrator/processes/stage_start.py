"""Starts the first process of a stage from a message: the keeper's part of a start. Linux.

It runs in the keeper's interpreter, which cannot import this package.
"""

from __future__ import annotations

import os
import resource
import signal
import sys

TYPE_CHECKING = False  # type checkers know this name; importing typing takes time
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

_IN_A_CAGE = ("landlock", "seccomp", "cage")
"""The modules that only a stage in a cage needs, in this order: loading them takes a quarter of a
keeper's start."""


def _read(name: str) -> bytes:
    with open(os.path.join(os.path.dirname(__file__), f"{name}.py"), "rb") as file:
        return file.read()


# Read now, because a stage may replace the package.
_TEXTS = {} if __package__ else {name: _read(name) for name in (*_IN_A_CAGE, "tree_cgroup")}


class NotStartedError(Exception):
    """A failure to start anything; `reply` is the answer to send."""

    def __init__(self, reply: list[bytes]) -> None:
        super().__init__(reply)
        self.reply = reply


class Order:
    """The process to start, from the fields of a message."""

    def __init__(self, signals: bytes, file_bytes: int, fields: list[bytes]) -> None:
        self.signals = [int(one) for one in signals.split()]
        self.file_bytes = file_bytes
        self.program, self.cwd = fields[:2]
        self.arguments, rest = _counted(fields[2:])
        self.cage, pairs = _counted(rest)
        split = (pair.partition(b"=") for pair in pairs)
        self.environment = {key: value for key, _, value in split}


def start(order: Order, writers: Sequence[int]) -> tuple[int, list[bytes]]:
    """Start the leader of a new session, stdin from /dev/null, its output to `writers`.

    Returns:
        Its pid, and for a cage the version of Landlock and the promises held.

    Raises:
        NotStartedError: it could not be started, or not in the cage that it needs.
    """
    try:
        os.chdir(order.cwd)
    except OSError as error:
        raise _refused(b"cwd", error) from error
    try:
        return _caged(order, writers) if order.cage else (_spawn(order, writers), [])
    except OSError as error:
        raise _refused(b"program", error) from error
    finally:
        os.chdir("/")


def _caged(order: Order, writers: Sequence[int]) -> tuple[int, list[bytes]]:
    if TYPE_CHECKING or __package__:
        from fsm_orchestrator.processes import cage  # noqa: PLC0415 - as in the keeper's process
    else:
        cage = loaded(_IN_A_CAGE)
    try:
        asked = cage.Order(order.cage)
        held = [b"%d" % asked.abi, *cage.held_by(asked)]
        if not asked.required <= {*held}:
            raise NotStartedError([b"unheld", *held])
        return cage.spawn(asked, lambda: _spawn(order, writers)), held
    except cage.CageError as error:
        raise _refused(b"cage", error) from error


def loaded(names: Sequence[str]) -> ModuleType:
    """Create the named modules from their text, and return the last of them."""
    for name in names:
        if name not in sys.modules:
            sys.modules[name] = made = type(sys)(name)
            exec(compile(_TEXTS[name], f"{name}.py", "exec"), vars(made))  # noqa: S102 - our own
    return sys.modules[names[-1]]


def _spawn(order: Order, writers: Sequence[int]) -> int:
    if order.file_bytes < 0:
        return _start(order, writers)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    limit = order.file_bytes if hard < 0 else min(order.file_bytes, hard)
    # The new process has the limit from its start; in the meantime this process writes nothing.
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        pid = _start(order, writers)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (limit, limit))
    return pid


def _start(order: Order, writers: Sequence[int]) -> int:
    return os.posix_spawn(
        order.program,
        order.arguments,
        order.environment,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, writers[0], 1),
            (os.POSIX_SPAWN_DUP2, writers[1], 2),
        ],
        setsid=True,
        setsigmask=order.signals,
        setsigdef=[signal.SIGPIPE, signal.SIGXFSZ],  # ignored by Python, not by programs
    )


def _refused(where: bytes, error: OSError) -> NotStartedError:
    path = os.fsencode(error.filename) if isinstance(error.filename, bytes | str) else b""
    return NotStartedError([b"refused", where, b"%d" % (error.errno or 0), path])


def _counted(fields: list[bytes]) -> tuple[list[bytes], list[bytes]]:
    """Return as many fields as the first of them says, and the rest."""
    count = int(fields[0])
    return fields[1 : 1 + count], fields[1 + count :]
