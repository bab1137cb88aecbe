"""A connection to a server that a test can hold up in either direction, or cut."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from enum import Enum


class Way(Enum):
    """The directions: from the client to the server, and back."""

    THERE = "there"
    BACK = "back"


class Proxy:
    """Passes on what comes to `address`, until it is held or cut."""

    def __init__(self, target: str) -> None:
        host, _, port = target.rpartition(":")
        self._target = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._open = {way: threading.Event() for way in Way}
        self._is_cut = False
        self._sockets: list[socket.socket] = []
        self.release()
        threading.Thread(target=self._accept, daemon=True).start()

    def hold(self, *ways: Way) -> None:
        """Pass nothing on in these directions, without an error."""
        for way in ways:
            self._open[way].clear()

    def cut(self) -> None:
        """End every connection, and each that is tried from now on."""
        self._is_cut = True
        for one in self._sockets:
            _end(one)

    def release(self) -> None:
        """Pass on what was held, and whatever comes from now on."""
        self._is_cut = False
        for event in self._open.values():
            event.set()

    def close(self) -> None:
        """End the proxy."""
        self.cut()
        self.release()
        _end(self._listener)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                try:
                    if self._is_cut:
                        raise ConnectionRefusedError
                    server = socket.create_connection(self._target)
                except OSError:
                    client.close()
                    continue
                self._sockets += [client, server]
                for way, source, sink in ((Way.THERE, client, server), (Way.BACK, server, client)):
                    copy = (source, sink, self._open[way])
                    threading.Thread(target=_copy, args=copy, daemon=True).start()


@contextlib.contextmanager
def proxied(target: str) -> Iterator[Proxy]:
    """Pass on to a server until the end of the block."""
    proxy = Proxy(target)
    try:
        yield proxy
    finally:
        proxy.close()


def _copy(source: socket.socket, sink: socket.socket, may_pass: threading.Event) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            may_pass.wait()
            sink.sendall(data)
    _end(source)
    _end(sink)


def _end(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()
