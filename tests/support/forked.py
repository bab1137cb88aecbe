"""Run the command in processes that a server forks, where that is the same as executing it."""

from __future__ import annotations

import atexit
import io
import json
import os
import resource
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from tests.support.fork_server import NUMBER_BYTES, decoded, encoded

HEEDED_AT_START: Final = (
    *("LD_", "DYLD_", "GLIBC_", "MALLOC_"),  # by the loader and the C library
    *("PYTHON", "LANG", "LC_"),  # by the interpreter
    *("NO_COLOR", "FORCE_COLOR", "PYDANTIC_", "PSUTIL_"),  # by libraries when they are imported
)
"""How the variables begin that are looked at once, before a command of its own begins."""
WORDS_BYTES_MAX: Final = 100_000
"""Much less than any system lets a process be started with."""
LIMITS: Final = sorted(
    {value for name, value in vars(resource).items() if name.startswith("RLIMIT_")}
)


class Start(NamedTuple):
    """What a process has from its start, and a command that is forked has from its server."""

    env: Mapping[str, str]
    limits: Sequence[tuple[int, int]]
    ignored: frozenset[int]
    blocked: frozenset[int]
    niceness: int
    processors: frozenset[int]
    users: tuple[int, ...]


def start_now(env: Mapping[str, str]) -> Start:
    """Return what a process would have that is started now with `env`."""
    getaffinity = getattr(os, "sched_getaffinity", lambda _: ())
    signals = signal.valid_signals()
    return Start(
        {key: value for key, value in env.items() if key.startswith(HEEDED_AT_START)},
        [resource.getrlimit(limit) for limit in LIMITS],
        frozenset(one for one in signals if signal.getsignal(one) is signal.SIG_IGN),
        frozenset(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
        os.getpriority(os.PRIO_PROCESS, 0),
        frozenset(getaffinity(0)),
        (os.getuid(), os.geteuid(), os.getgid(), os.getegid(), *sorted(os.getgroups())),
    )


class ForkServer:
    """A server, and the way to it; it runs one command at a time."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self.start = start_now(env)
        self._door, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.fork_server", str(theirs.fileno())],
                cwd=Path(__file__).parents[2],
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,  # Python looks at its streams once, as it starts
                stderr=subprocess.PIPE,
                pass_fds=(theirs.fileno(),),
            )
        atexit.register(self.close)

    def run(
        self, arguments: Sequence[str], cwd: Path, env: Mapping[str, str], timeout: float
    ) -> subprocess.CompletedProcess[str]:
        """Run the command to its end, and until its output is closed, as `subprocess.run` does.

        After an exception the server is closed, and the command killed.
        """
        outputs = [os.pipe(), os.pipe()]
        try:
            self._send(arguments, cwd, env, [writer for _, writer in outputs])
            pid = self._number()
            deadline = time.monotonic() + timeout
            try:
                seen = _read_all([reader for reader, _ in outputs], deadline)
                self._door.settimeout(max(0.001, deadline - time.monotonic()))
                code = self._number()
            except BaseException:
                os.kill(pid, signal.SIGKILL)
                raise
            self._door.settimeout(None)
        except BaseException as error:
            self.close()
            if isinstance(error, TimeoutError):
                raise subprocess.TimeoutExpired([*arguments], timeout) from None
            raise
        finally:
            for reader, _ in outputs:
                os.close(reader)
        return subprocess.CompletedProcess([*arguments], code, *map(_text, seen))

    def close(self) -> None:
        """End the server."""
        self._door.close()
        self._process.communicate()
        atexit.unregister(self.close)

    def _send(
        self, arguments: Sequence[str], cwd: Path, env: Mapping[str, str], writers: Sequence[int]
    ) -> None:
        """Ask for a command, handing over where its output goes."""
        os.umask(umask := os.umask(0))
        request = {"arguments": arguments, "cwd": str(cwd), "env": dict(env), "umask": umask}
        body = json.dumps(request).encode()
        try:
            socket.send_fds(self._door, [encoded(len(body))], writers)
            self._door.sendall(body)
        finally:
            for writer in writers:
                os.close(writer)

    def _number(self) -> int:
        data = self._door.recv(NUMBER_BYTES, socket.MSG_WAITALL)
        if len(data) < NUMBER_BYTES:
            raise ConnectionError(self._process.communicate()[1].decode())
        return decoded(data)


IS_POSSIBLE: Final = hasattr(socket, "send_fds") and "FRESH" not in os.environ
_idle: list[ForkServer] = []


def prepare(base: Mapping[str, str]) -> None:
    """Start a server ahead of need: a test that looks at its own children must not meet it."""
    if not _idle and IS_POSSIBLE:
        _idle.append(ForkServer(base))


def can_fork(
    arguments: Sequence[str], *, cwd: Path, env: Mapping[str, str], base: Mapping[str, str]
) -> bool:
    """Return whether this command, forked, would find what it would find if it were executed.

    A server started with `base` must have started as the command would, and the system must be
    able to execute the command. `FRESH=1` has every command executed.
    """
    start = start_now(env)
    return (
        IS_POSSIBLE
        and all(server.start == start for server in _idle)
        and start == start_now(base)
        and cwd.is_dir()
        and os.access(cwd, os.X_OK)
        and _can_be_given([*arguments, *env, *env.values()])
    )


def run(
    arguments: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    base: Mapping[str, str],
    timeout: float,
) -> subprocess.CompletedProcess[str]:
    """Run the command to its end in a process forked from a server that was started with `base`."""
    try:
        server = _idle.pop()
    except IndexError:
        server = ForkServer(base)
    done = server.run(arguments, cwd, env, timeout)
    _idle.append(server)
    return done


def _can_be_given(words: Sequence[str]) -> bool:
    """Return whether a process can surely be given so many words, and these."""
    data = [os.fsencode(word) for word in words]
    return sum(map(len, data)) < WORDS_BYTES_MAX and not any(b"\0" in word for word in data)


def _read_all(readers: Sequence[int], deadline: float) -> list[bytes]:
    """Return what comes out of each descriptor until it is closed; raises a TimeoutError."""
    found = {reader: bytearray() for reader in readers}
    with selectors.DefaultSelector() as selector:
        for reader in readers:
            selector.register(reader, selectors.EVENT_READ)
        while selector.get_map():
            ready = selector.select(max(0.0, deadline - time.monotonic()))
            if not ready:
                raise TimeoutError
            for key, _ in ready:
                data = os.read(key.fd, 65536)
                found[key.fd] += data
                if not data:
                    selector.unregister(key.fd)
    return [bytes(data) for data in found.values()]


def _text(data: bytes) -> str:
    """Return output as `subprocess` does when it is asked for text."""
    return io.TextIOWrapper(io.BytesIO(data)).read()
