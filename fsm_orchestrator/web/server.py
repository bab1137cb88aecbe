"""The server of the page: one process, one thread that answers, and a prompt end.

The only user of uvicorn, of the extra `web`.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import h11
from uvicorn import Config, Server
from uvicorn.protocols.http.h11_impl import H11Protocol

from fsm_orchestrator.web.board import Board
from fsm_orchestrator.web.guard import App, Guard, new_secret
from fsm_orchestrator.web.site import Site

Say = Callable[[str], None]

CONNECTIONS_MAX: Final = 256
REQUEST_BYTES_MAX: Final = 16 * 1024
GRACE_SECONDS: Final = 2
THREADS: Final = 6
"""The number of threads that read files: for looks, next commands and pages, each of which may take
long, and for output."""
ASK_SECONDS_MAX: Final = 10.0
"""The seconds that a new connection has for its first request."""
_ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def serve_site(site: Site, listener: socket.socket, on_address: Say, on_bug: Say) -> int:
    """Serve a site until a signal asks to end; return its number."""
    pool = ThreadPoolExecutor(THREADS, "look")
    try:
        return asyncio.run(_served(site, listener, pool, on_address, on_bug))
    finally:
        pool.shutdown(wait=False, cancel_futures=True)  # pending reads are of no more use


async def _served(
    site: Site, listener: socket.socket, pool: ThreadPoolExecutor, on_address: Say, on_bug: Say
) -> int:
    def on_error(error: Exception) -> None:
        on_bug("".join(traceback.format_exception(error)))

    secret, board = new_secret(), site.board(pool)
    server = _Server(config_of(Guard(site.app(board, pool), secret, on_error)), board)
    host, port = listener.getsockname()
    on_address(f"http://{host}:{port}/{secret}/")
    looking = asyncio.create_task(board.run())
    looking.add_done_callback(lambda _: server.let_end())
    await server.serve([listener])
    if looking.done():
        looking.result()  # raises the bug that has ended it
    looking.cancel()  # a hung file system delays nobody
    return server.asked_by


def config_of(app: App) -> Config:
    """Return the settings of the server: as little as it takes, with nothing logged."""
    return Config(
        app,
        http=_Asking,
        ws="none",
        loop="asyncio",
        lifespan="off",
        interface="asgi3",
        proxy_headers=False,
        server_header=False,
        access_log=False,
        log_config=None,
        log_level="critical",
        limit_concurrency=CONNECTIONS_MAX,
        timeout_graceful_shutdown=GRACE_SECONDS,
        h11_max_incomplete_event_size=REQUEST_BYTES_MAX,
    )


class _Asking(H11Protocol):
    """A protocol that closes connections on which nothing is requested: their number is limited."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self.loop.call_later(ASK_SECONDS_MAX, self._give_up)

    def _give_up(self) -> None:
        if self.conn.their_state is h11.IDLE and not self.transport.is_closing():
            self.transport.close()


class _Server(Server):
    """A server that ends at the first signal, together with all who still watch."""

    def __init__(self, config: Config, board: Board) -> None:
        super().__init__(config)
        self._board = board
        self.asked_by = int(signal.SIGINT)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle the signals that ask to end."""
        loop = asyncio.get_running_loop()
        for one in _ENDING:
            loop.add_signal_handler(one, self._end, int(one))
        yield

    def let_end(self) -> None:
        """End soon."""
        self.should_exit = True

    def _end(self, asked_by: int) -> None:
        """End soon; if asked again, at once."""
        self.force_exit, self.should_exit = self.should_exit, True
        self.asked_by = asked_by

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the messages to watchers, then wait for the answers that are still being sent."""
        self._board.close()
        await super().shutdown(sockets)
