"""Run the command in processes that a server forks, where that is equivalent to executing it."""

from __future__ import annotations

import atexit
import contextlib
import io
import marshal
import math
import os
import select
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final, Self

from tests.support.fork_server import NUMBER_BYTES, decoded, encoded
from tests.support.start import start_now

DOOR_CHARACTERS_MAX: Final = 80
"""The longest name of a directory in which a socket can have a name."""
WORDS_BYTES_MAX: Final = 100_000
"""Much less than the arguments with which any system starts a process."""


class Process:
    """A running command, used like `subprocess.Popen`; it takes no input."""

    def __init__(
        self, arguments: Sequence[str], answers: socket.socket, readers: tuple[int, int]
    ) -> None:
        self.args = [*arguments]
        self.returncode: int | None = None
        self._answers = answers
        self.stdout, self.stderr = (os.fdopen(reader, encoding="utf-8") for reader in readers)
        self.pid = self._number()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.stdout.close()
        self.stderr.close()
        self.wait()

    def poll(self) -> int | None:
        """Return the exit code, or None while it runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self.wait(0)
        return None

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code once it has ended."""
        if self.returncode is None:
            if not select.select([self._answers], (), (), timeout)[0]:
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
            self.returncode = self._number()
            self._answers.close()
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Return its output once that is closed and the command has ended."""
        deadline = math.inf if timeout is None else time.monotonic() + timeout
        if self.stdout.closed:
            seen = [b"", b""]
        else:
            try:
                seen = _read_all([self.stdout.fileno(), self.stderr.fileno()], deadline)
            except TimeoutError:
                raise subprocess.TimeoutExpired(self.args, timeout or 0) from None
            self.stdout.close()
            self.stderr.close()
        self.wait(None if timeout is None else max(0.0, deadline - time.monotonic()))
        stdout, stderr = map(_text, seen)
        return stdout, stderr

    def send_signal(self, signum: int) -> None:
        """Send the command a signal, unless it has ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signum)

    def terminate(self) -> None:
        """Send SIGTERM to the command."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL to the command."""
        self.send_signal(signal.SIGKILL)

    def _number(self) -> int:
        data = self._answers.recv(NUMBER_BYTES, socket.MSG_WAITALL)
        if len(data) < NUMBER_BYTES:
            raise ConnectionError("the server of forked commands is gone")
        return decoded(data)


class ForkServer:
    """A server, and the connection to it: `start` is what it has had from its start."""

    def __init__(self, env: Mapping[str, str]) -> None:
        is_short = len(tempfile.gettempdir()) < DOOR_CHARACTERS_MAX
        self._folder = tempfile.TemporaryDirectory(dir=None if is_short else "/tmp")
        self.start, self.path = start_now(env), Path(self._folder.name, "door")
        self._tie, theirs = socket.socketpair()
        with theirs, socket.socket(socket.AF_UNIX) as door:
            door.bind(str(self.path))
            door.listen()
            given = (theirs.fileno(), door.fileno())
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.fork_server", *map(str, given)],
                cwd=Path(__file__).parents[2],
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,  # Python examines its streams once, at its start
                stderr=subprocess.PIPE,
                pass_fds=given,
            )
        atexit.register(self.close)

    def command(
        self,
        arguments: Sequence[str],
        cwd: Path,
        env: Mapping[str, str],
        limits: Mapping[int, int] = MappingProxyType({}),
    ) -> Process:
        """Start the command, with its own soft limits where they differ from the server's."""
        readers, writers = zip(os.pipe(), os.pipe(), strict=True)
        os.umask(umask := os.umask(0))
        body = marshal.dumps(
            {
                "arguments": arguments,
                "cwd": str(cwd),
                "env": dict(env),
                "umask": umask,
                "limits": dict(limits),
            }
        )
        answers = socket.socket(socket.AF_UNIX)
        try:
            answers.connect(str(self.path))
            socket.send_fds(answers, [encoded(len(body))], writers)
            answers.sendall(body)
        except OSError as error:
            ended = self._process.poll()
            said = "" if ended is None else f"{ended} {self._process.communicate()[1].decode()}"
            raise ConnectionError(f"no server of forked commands: {error} {said}") from error
        finally:
            for writer in writers:
                os.close(writer)
        return Process(arguments, answers, readers)

    def close(self) -> None:
        """End the server."""
        self._tie.close()
        self._process.communicate()
        self._folder.cleanup()
        atexit.unregister(self.close)


IS_POSSIBLE: Final = hasattr(socket, "send_fds") and "FRESH" not in os.environ
_servers: list[ForkServer] = []


def prepare(base: Mapping[str, str]) -> ForkServer | None:
    """Return a server for commands that start as one with `base` does now; None if there is none.

    Call it before it is needed: a test that looks at its children must not meet a new one.
    """
    if not IS_POSSIBLE:
        return None
    start = start_now(base)
    found = [server for server in _servers if server.start == start]
    if not found:
        found.append(ForkServer(base))
        _servers.append(found[0])
    return found[0]


def can_fork(
    arguments: Sequence[str], *, cwd: Path, env: Mapping[str, str], base: Mapping[str, str]
) -> bool:
    """Return True if this command, forked, would find what it would find if it were executed.

    A server started with `base` must have started as the command would, and the system must be able
    to execute the command. With `FRESH=1` every command is executed.
    """
    start = start_now(env)
    return (
        IS_POSSIBLE
        and start == start_now(base)
        and (not _servers or any(server.start == start for server in _servers))
        and cwd.is_dir()
        and os.access(cwd, os.X_OK)
        and _can_be_given([*arguments, *env, *env.values()])
    )


def start(
    arguments: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    base: Mapping[str, str],
    limits: Mapping[int, int] = MappingProxyType({}),
) -> Process:
    """Start the command in a process forked from a server that was started with `base`."""
    server = prepare(base)
    assert server is not None
    return server.command(arguments, cwd, env, limits)


def run(
    arguments: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    base: Mapping[str, str],
    timeout: float,
    limits: Mapping[int, int] = MappingProxyType({}),
) -> subprocess.CompletedProcess[str]:
    """Run the command to its end, and until its output is closed, as `subprocess.run` does."""
    with start(arguments, cwd=cwd, env=env, base=base, limits=limits) as process:
        try:
            stdout, stderr = process.communicate(timeout)
        except BaseException:
            process.kill()
            raise
    return subprocess.CompletedProcess(process.args, process.wait(), stdout, stderr)


def _can_be_given(words: Sequence[str]) -> bool:
    """Return True if a process can surely be given these words, and that many."""
    data = [os.fsencode(word) for word in words]
    return sum(map(len, data)) < WORDS_BYTES_MAX and not any(b"\0" in word for word in data)


def _read_all(readers: Sequence[int], deadline: float) -> list[bytes]:
    """Return the output of each descriptor until it is closed.

    Raises:
        TimeoutError: the deadline has passed.
    """
    found = {reader: bytearray() for reader in readers}
    with selectors.DefaultSelector() as selector:
        for reader in readers:
            selector.register(reader, selectors.EVENT_READ)
        while selector.get_map():
            left = deadline - time.monotonic()
            ready = selector.select(None if left == math.inf else max(0.0, left))
            if not ready:
                raise TimeoutError
            for key, _ in ready:
                data = os.read(key.fd, 65536)
                found[key.fd] += data
                if not data:
                    selector.unregister(key.fd)
    return [bytes(data) for data in found.values()]


def _text(data: bytes) -> str:
    """Return output as `subprocess` does in text mode."""
    return io.TextIOWrapper(io.BytesIO(data)).read()
