"""The site: its pages and streams, each found by its address and by nothing else.

No part of an address is ever a path: a run is asked for by its key, and looked up among the known
runs. The only user of Starlette, of the extra `web`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Executor
from http import HTTPStatus
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router

from fsm_orchestrator.clock import SystemClock, timestamp
from fsm_orchestrator.errors import OrchestratorError, ReportError
from fsm_orchestrator.inspection.inspected_run import inspect_run
from fsm_orchestrator.inspection.run_directories import names_below
from fsm_orchestrator.web import pages
from fsm_orchestrator.web.board import Board
from fsm_orchestrator.web.events import Messages, send_events
from fsm_orchestrator.web.guard import (
    CSP,
    NOTHING,
    POLICY,
    REPORT_POLICY,
    App,
    Receive,
    Scope,
    Send,
    answer,
)
from fsm_orchestrator.web.rows import Rows
from fsm_orchestrator.web.run_events import run_messages, stamp_of

Value = TypeVar("Value")

DRAWN_AT_ONCE_MAX: Final = 2
DRAWN_SECONDS: Final = 2.0
DRAWN_MAX: Final = 16
_HTML: Final = "text/html"
_NO_RUN: Final = ReportError(
    "there is no such run here, or no longer", remedy="go back to all runs"
)


class Site:
    """The pages of all runs in a directory.

    Raises:
        ReportError: the directory cannot be read.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        names_below(directory)  # an unreadable directory is refused
        self._rows = Rows(directory)

    def board(self, pool: Executor) -> Board:
        """Return the board that serves all watchers."""
        return Board(lambda: self._rows.look(pool), _now, pool)

    def app(self, board: Board, pool: Executor) -> App:
        """Return the application that answers requests, within a loop."""
        return _App(self._directory, self._rows, board, pool).router


class _App:
    def __init__(self, directory: Path, rows: Rows, board: Board, pool: Executor) -> None:
        self._rows, self._board, self._pool = rows, board, pool
        self._drawing = asyncio.Semaphore(DRAWN_AT_ONCE_MAX)
        self._drawn: dict[str, _Drawn] = {}
        scripts = (_fixed(name, pages.script(name), "text/javascript") for name in pages.SCRIPTS)
        self.router: App = Router(
            [
                _fixed("", pages.list_page(directory), _HTML, POLICY),
                _fixed("style.css", pages.style_sheet(), "text/css"),
                *scripts,
                Route("/events", _Stream(self._runs)),
                Route("/run/{key}/", self._run),
                Route("/run/{key}/events", _Stream(self._run_events)),
            ],
            redirect_slashes=False,
        )

    def _runs(self, _key: str) -> Messages | None:
        return None if self._board.is_full else self._board.messages()

    def _run_events(self, key: str) -> Messages | None:
        if self._board.is_full:
            return None
        return run_messages(self._board, key, lambda: self._rows.directory_of(key), self._in_thread)

    async def _run(self, request: Request) -> Response:
        """Return the page of one run, drawn once for all requests while it does not change."""
        key = request.path_params["key"]
        row = await self._board.known(key)
        directory = None if row is None else self._rows.directory_of(key)
        if row is None or directory is None:
            page = pages.trouble_page("No run", _NO_RUN)
            return _response(page, HTTPStatus.NOT_FOUND, _HTML, POLICY)
        async with self._drawing:
            stamp = stamp_of(directory), row["look"]
            drawn = self._drawn.get(key)
            if drawn is None or drawn.stamp != stamp or time.monotonic() > drawn.until:
                page, status = await self._in_thread(lambda: _page_of(directory, row["name"]))
                drawn = _Drawn(stamp, time.monotonic() + DRAWN_SECONDS, page, status)
                self._drawn = dict([*self._drawn.items(), (key, drawn)][-DRAWN_MAX:])
        return _response(drawn.page, drawn.status, _HTML, REPORT_POLICY)

    async def _in_thread(self, work: Callable[[], Value]) -> Value:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)


class _Drawn(NamedTuple):
    """A recently drawn page of a run."""

    stamp: object
    until: float
    page: str
    status: HTTPStatus


class _Stream:
    """A stream of events: `messages` of the run in the address, or None if there are too many."""

    def __init__(self, messages: Callable[[str], Messages | None]) -> None:
        self._messages = messages

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        messages = self._messages(scope["path_params"].get("key", ""))
        if messages is None:
            said = "Too many pages are open: close some."
            await answer(scope, send, HTTPStatus.SERVICE_UNAVAILABLE, said)
        else:
            await send_events(scope, receive, send, messages)


def _fixed(name: str, text: str, kind: str, policy: str = NOTHING) -> Route:
    """Return a route with a fixed answer; it is a coroutine because others run in a thread."""

    async def answered(_request: Request) -> Response:
        return _response(text, HTTPStatus.OK, kind, policy)

    return Route(f"/{name}", answered)


def _response(text: str, status: HTTPStatus, kind: str, policy: str) -> Response:
    return Response(text, status, {CSP.decode(): policy}, media_type=kind)


def _page_of(directory: Path, name: str) -> tuple[str, HTTPStatus]:
    try:
        return pages.run_page(inspect_run(directory), name), HTTPStatus.OK
    except OrchestratorError as error:
        return pages.trouble_page(name, error), HTTPStatus.OK


def _now() -> str:
    return timestamp(SystemClock().now())
