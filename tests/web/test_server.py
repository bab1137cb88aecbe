"""Connections of the server: one without a request is closed, and a watcher's stays."""

from __future__ import annotations

import asyncio
import os
import queue
import signal
import socket
import threading
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import pytest
from uvicorn.server import ServerState

from fsm_orchestrator.web import server
from fsm_orchestrator.web.board import Board, Listing
from fsm_orchestrator.web.site import Site
from tests.support.patience import PATIENCE_SECONDS


def test_connection_on_which_nothing_is_asked_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a request does not count; an answer that takes longer is not cut off."""
    monkeypatch.setattr(server, "ASK_SECONDS_MAX", 0.1)

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await asyncio.sleep(0.4)
        await send({"type": "http.response.body", "body": b"later"})

    async def asked(port: int, words: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(words)
        got = await reader.read()
        writer.close()
        return got

    async def all_of_it() -> list[bytes]:
        config = server.config_of(app)
        config.load()
        listening = await asyncio.get_running_loop().create_server(
            lambda: config.http_protocol_class(  # type: ignore[call-arg]
                config=config, server_state=ServerState(), app_state={}
            ),
            *("127.0.0.1", 0),
        )
        port = listening.sockets[0].getsockname()[1]
        async with listening, asyncio.timeout(60):
            words = (b"", b"GET / HTTP/1.1\r\nHost:", b"GET / HTTP/1.0\r\nHost: x\r\n\r\n")
            return await asyncio.gather(*(asked(port, one) for one in words))

    nothing, half, whole = asyncio.run(all_of_it())
    assert (nothing, half) == (b"", b"")
    assert whole.endswith(b"later")


class _Stuck(Site):
    """A site on a file system that does not answer."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.has_begun, self.may_end = threading.Event(), threading.Event()
        self.has_ended = False

    def board(self, pool: Executor) -> Board:
        return Board(self._look, lambda: "now", pool)

    def _look(self) -> Listing:
        self.has_begun.set()
        self.may_end.wait(PATIENCE_SECONDS)
        self.has_ended = True
        return Listing({}, {})


def test_look_that_does_not_end_keeps_nobody(tmp_path: Path) -> None:
    """Ctrl-C ends the server while files are being waited for."""
    site, told = _Stuck(tmp_path), queue.SimpleQueue[str]()
    listener = socket.create_server(("127.0.0.1", 0))

    def watch_and_end() -> None:
        path = told.get().partition("://")[2].partition("/")[2]
        with socket.create_connection(listener.getsockname()) as connection:
            request = f"GET /{path}events HTTP/1.1\r\nHost: localhost\r\n\r\n"
            connection.sendall(request.encode())
            if site.has_begun.wait(PATIENCE_SECONDS):
                os.kill(os.getpid(), signal.SIGINT)
                connection.recv(1)
                connection.recv(65536)

    watcher = threading.Thread(target=watch_and_end)
    watcher.start()
    try:
        assert server.serve_site(site, listener, told.put, told.put) == signal.SIGINT
        assert not site.has_ended
    finally:
        site.may_end.set()
        watcher.join()
        listener.close()
