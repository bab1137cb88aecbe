"""Server-sent events: messages to a browser for as long as it takes them.

A watcher that does not take what is sent is dropped, never buffered for: it has had its time, and
reconnects on its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator
from typing import Any, Final

from fsm_orchestrator.web.guard import Receive, Scope, Send

Messages = AsyncGenerator[bytes, None]

BEAT_SECONDS: Final = 15.0
"""The seconds after which something is sent even if nothing has happened: the browser then knows
that it is connected, and the server that somebody is there."""
BEAT: Final = b"event: beat\ndata: {}\n\n"
TAKE_SECONDS_MAX: Final = 10.0
"""The seconds that a watcher has to take one message."""
_HEADERS: Final = [(b"content-type", b"text/event-stream; charset=utf-8")]


def message(event: str, document: Any) -> bytes:
    """Return one event; JSON has no line feeds, so its data is one line."""
    return message_of(event, json.dumps(document, separators=(",", ":")))


def message_of(event: str, document: str) -> bytes:
    """Return one event whose data is already JSON text."""
    return f"event: {event}\ndata: {document}\n\n".encode()


async def send_events(scope: Scope, receive: Receive, send: Send, messages: Messages) -> None:
    """Send messages until there are no more, nobody is there, or they are not taken."""
    await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
    if scope["method"] == "HEAD":
        await send({"type": "http.response.body"})
        return
    pump = asyncio.ensure_future(_pump(send, messages))
    gone = asyncio.ensure_future(_until_gone(receive))
    try:
        await asyncio.wait({pump, gone}, return_when=asyncio.FIRST_COMPLETED)
        if pump.done():
            pump.result()
    finally:
        for one in (pump, gone):
            one.cancel()
        await asyncio.gather(pump, gone, return_exceptions=True)


async def _pump(send: Send, messages: Messages) -> None:
    async with contextlib.aclosing(messages):
        async for one in messages:
            body = {"type": "http.response.body", "body": one, "more_body": True}
            try:
                async with asyncio.timeout(TAKE_SECONDS_MAX):
                    await send(body)
            except TimeoutError:
                return  # without an end: the connection is closed
    await send({"type": "http.response.body"})


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
