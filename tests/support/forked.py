"""Run the command in processes that a server forks, where that is the same as executing it."""

from __future__ import annotations

import atexit
import io
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from tests.support.fork_server import NUMBER_BYTES, decoded, encoded

OF_THE_INTERPRETER: Final = ("PYTHON", "LANG", "LC_")
"""How the variables begin that an interpreter heeds as it starts."""


class ForkServer:
    """A server, and the way to it; it runs one command at a time."""

    def __init__(self, env: Mapping[str, str]) -> None:
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
            try:
                seen = _read_all([reader for reader, _ in outputs], time.monotonic() + timeout)
            except BaseException:
                os.kill(pid, signal.SIGKILL)
                raise
            code = self._number()
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


_idle: list[ForkServer] = []


def prepare(base: Mapping[str, str]) -> None:
    """Start a server ahead of need: a test that looks at its own children must not meet it."""
    if not _idle and can_fork(base, base):
        _idle.append(ForkServer(base))


def can_fork(env: Mapping[str, str], base: Mapping[str, str]) -> bool:
    """Return whether a command with `env` may come from a server that was started with `base`.

    `FRESH=1` has every command executed.
    """
    is_possible = hasattr(socket, "send_fds") and "FRESH" not in os.environ
    return is_possible and _of_the_interpreter(env) == _of_the_interpreter(base)


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


def _of_the_interpreter(env: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in env.items() if key.startswith(OF_THE_INTERPRETER)}


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
