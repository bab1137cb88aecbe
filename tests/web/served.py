"""A server of runs as an operator starts it, and raw HTTP to it."""

from __future__ import annotations

import contextlib
import json
import select
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.support.command import start
from tests.support.patience import PATIENCE_SECONDS


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of the server."""

    status: int
    headers: dict[str, str]
    body: bytes


class Served:
    """A server, and the address that it printed."""

    def __init__(self, directory: Path | str, *options: str, cwd: Path) -> None:
        self.process = start("serve", str(directory), *options, cwd=cwd)
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()
        if not self.url:
            raise AssertionError(self.process.communicate(timeout=PATIENCE_SECONDS))
        parts = urlsplit(self.url)
        self.port = parts.port or 0
        self.secret = parts.path.strip("/")

    def raw(self, data: bytes) -> bytes:
        """Send bytes, and return the response until its end or until the server closes."""
        with self.connected() as connection:
            with contextlib.suppress(ConnectionError):
                connection.sendall(data)
            got = b""
            with contextlib.suppress(ConnectionError):
                while chunk := connection.recv(65536):
                    got += chunk
            return got

    def ask(
        self, path: str, *, method: str = "GET", host: str | None = "localhost", more: str = ""
    ) -> Answer:
        """Request a path below the secret, or any path that begins with a slash."""
        full = path if path.startswith("/") else f"/{self.secret}/{path}"
        named = "" if host is None else f"Host: {host}\r\n"
        return answer_of(
            self.raw(f"{method} {full} HTTP/1.1\r\n{named}{more}Connection: close\r\n\r\n".encode())
        )

    def connected(self) -> socket.socket:
        """Return a connection."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_SECONDS)
        connection.settimeout(PATIENCE_SECONDS)
        return connection

    @contextlib.contextmanager
    def events(self, path: str = "events") -> Iterator[Iterator[tuple[str, Any]]]:
        """Yield the events of a stream, each with its name."""
        with self.connected() as connection:
            request = f"GET /{self.secret}/{path} HTTP/1.1\r\nHost: localhost\r\n\r\n"
            connection.sendall(request.encode())
            yield _events(connection)

    def end(self, signum: int) -> tuple[int, str]:
        """Send a signal; return the exit code and stderr."""
        self.process.send_signal(signum)
        _, said = self.process.communicate(timeout=PATIENCE_SECONDS)
        return self.process.wait(), said


@contextlib.contextmanager
def served(directory: Path | str, *options: str, cwd: Path) -> Iterator[Served]:
    """Serve until the end of the block."""
    server = Served(directory, *options, cwd=cwd)
    try:
        yield server
    finally:
        server.process.kill()
        server.process.communicate(timeout=PATIENCE_SECONDS)


def answer_of(data: bytes) -> Answer:
    """Return the parts of an answer."""
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    if headers.get("transfer-encoding") == "chunked":
        body = _unchunked(body)
    return Answer(int(first.split()[1]), {k.lower(): v for k, v in headers.items()}, body)


def _unchunked(body: bytes) -> bytes:
    found = b""
    while body:
        size, _, rest = body.partition(b"\r\n")
        found, body = found + rest[: int(size, 16)], rest[int(size, 16) + 2 :]
    return found


def _events(connection: socket.socket) -> Iterator[tuple[str, Any]]:
    """Yield events; chunks of HTTP end with them, for each is sent as one."""
    rest, deadline = b"", time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        while b"\n\n" in rest:
            one, rest = rest.split(b"\n\n", 1)
            name = one.split(b"event: ", 1)[1].split(b"\n", 1)[0].decode()
            yield name, json.loads(one.split(b"data: ", 1)[1])
        if select.select([connection], [], [], 0.5)[0]:
            data = connection.recv(1 << 20)
            if not data:
                return
            rest += data
    raise AssertionError("no event comes")
