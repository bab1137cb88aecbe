"""Connections of the server: who asks nothing is let go, who watches stays."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from uvicorn.server import ServerState

from fsm_orchestrator.web import server


def test_connection_on_which_nothing_is_asked_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a request is none; an answer that goes on for longer is not cut off."""
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
