"""The board of all runs: one look for all watchers, events in order, and no waiting for anybody."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from fsm_orchestrator.web import board as board_module
from fsm_orchestrator.web import events
from fsm_orchestrator.web.board import KEPT_MAX, WATCHERS_MAX, Board, Listing
from fsm_orchestrator.web.events import BEAT, send_events


class Runs:
    """Runs that a test changes, and the number of looks at them."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, Any]] = {"a": {"key": "a", "n": 0}}
        self.looks = 0

    def look(self) -> Listing:
        """Return the runs, and count the look."""
        self.looks += 1
        return Listing(dict(self.rows), {"count": len(self.rows)})


def _with_board(
    test: Callable[[Board, Runs], Awaitable[None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(board_module, "LOOK_SECONDS", 0.002)
    runs = Runs()

    async def all_of_it() -> None:
        with ThreadPoolExecutor(1) as pool:
            board = Board(runs.look, lambda: "now", pool)
            looking = asyncio.create_task(board.run())
            async with asyncio.timeout(60):
                await test(board, runs)
                board.close()
                await looking

    asyncio.run(all_of_it())


def _document(message: bytes) -> Any:
    return json.loads(message.split(b"data: ", 1)[1])


def test_one_look_serves_all_and_none_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fifty watchers get the same bytes of one look; without a watcher there is none."""

    async def test(board: Board, runs: Runs) -> None:
        await asyncio.sleep(0.05)
        assert runs.looks == 0
        watchers = [board.messages() for _ in range(50)]
        first = [await anext(one) for one in watchers]
        assert len({*first}) == 1
        assert _document(first[0])["rows"] == [{"key": "a", "n": 0}]
        runs.rows = {"b": {"key": "b"}, "a": {"key": "a", "n": 1}}
        looks = runs.looks
        told = [await anext(one) for one in watchers]
        assert len({id(one) for one in told}) == 1
        assert _document(told[0]) == {
            "now": "now",
            "all": False,
            "about": {"count": 2},
            "rows": [{"key": "b"}, {"key": "a", "n": 1}],
            "gone": [],
            "order": ["b", "a"],
        }
        runs.rows = {"b": {"key": "b"}}
        later = _document(await anext(watchers[0]))
        assert (later["rows"], later["gone"], later["order"]) == ([], ["a"], ["b"])
        for one in watchers:
            await one.aclose()
        await asyncio.sleep(0.02)
        looks, runs.rows = runs.looks, {}
        await asyncio.sleep(0.05)
        assert runs.looks <= looks + 1
        again = board.messages()
        assert _document(await anext(again))["rows"] == []  # not the earlier rows
        await again.aclose()

    _with_board(test, monkeypatch)


def test_who_is_too_far_behind_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages are not kept for a watcher that takes none; a new one begins with the present."""

    async def test(board: Board, runs: Runs) -> None:
        slow, quick = board.messages(), board.messages()
        await anext(slow)
        await anext(quick)
        for number in range(1, KEPT_MAX + 3):
            runs.rows = {"a": {"key": "a", "n": number}}
            assert _document(await anext(quick))["rows"] == [{"key": "a", "n": number}]
        with pytest.raises(StopAsyncIteration):
            await anext(slow)
        anew = board.messages()
        assert _document(await anext(anew))["rows"] == [{"key": "a", "n": KEPT_MAX + 2}]

    _with_board(test, monkeypatch)


def test_silence_is_told_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beats let a browser distinguish silence from a lost server."""
    monkeypatch.setattr(board_module, "BEAT_SECONDS", 0.01)

    async def test(board: Board, _runs: Runs) -> None:
        watcher = board.messages()
        await anext(watcher)
        assert await anext(watcher) == BEAT
        assert await anext(watcher) == BEAT

    _with_board(test, monkeypatch)


def test_watchers_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The board is full at the limit, and closed streams make room."""

    async def test(board: Board, _runs: Runs) -> None:
        watchers = [board.messages() for _ in range(WATCHERS_MAX)]
        for one in watchers:
            assert not board.is_full
            await anext(one)
        assert board.is_full
        await watchers[0].aclose()
        assert not board.is_full

    _with_board(test, monkeypatch)


def test_look_that_fails_ends_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug raises an exception and does not leave a page that stands still."""
    monkeypatch.setattr(board_module, "LOOK_SECONDS", 0.002)

    def look() -> Listing:
        raise RuntimeError("a bug")

    async def all_of_it() -> None:
        with ThreadPoolExecutor(1) as pool:
            board = Board(look, lambda: "now", pool)
            looking = asyncio.create_task(board.run())
            watcher = asyncio.ensure_future(anext(board.messages()))
            with pytest.raises(RuntimeError, match="a bug"):
                await looking
            watcher.cancel()

    asyncio.run(all_of_it())


def test_watcher_that_takes_nothing_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """A message that is not taken in time is the last one, and the answer has no end."""
    monkeypatch.setattr(events, "TAKE_SECONDS_MAX", 0.01)
    sent, left = list[Any](), list[str]()

    async def send(message: Any) -> None:
        sent.append(message)
        if message.get("body"):
            await asyncio.sleep(3600)

    async def receive() -> dict[str, str]:
        await asyncio.sleep(3600)
        return {}

    async def messages() -> Any:
        try:
            while True:
                yield BEAT
        finally:
            left.append("closed")

    asyncio.run(send_events({"method": "GET"}, receive, send, messages()))
    assert [one["type"] for one in sent] == ["http.response.start", "http.response.body"]
    assert left == ["closed"]
