"""The board of all runs: one look for all watchers, who get the changes.

Nobody looks while nobody watches, and a look never takes more than a share of the time: after a
slow one, the next comes later. The last messages are kept for all watchers together; a watcher that
is further behind is dropped, and begins again.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor
from typing import Any, Final, NamedTuple

from fsm_orchestrator.web.events import BEAT, BEAT_SECONDS, Messages, message_of

LOOK_SECONDS: Final = 0.5
PAUSE_PER_LOOK: Final = 15
"""The shortest pause after a look, as a multiple of the time that the look took."""
KEPT_MAX: Final = 64
"""The number of changes that are kept for watchers that are behind."""
WATCHERS_MAX: Final = 100


class Listing(NamedTuple):
    """All runs at one moment.

    Attributes:
        rows: what the page shows of each run, by its key, in the order in which it shows them.
        about: what the page shows of all runs: counts, how many are left out, what cannot be read.
    """

    rows: Mapping[str, Mapping[str, Any]]
    about: Mapping[str, Any]


class Board:
    """The known state of all runs, for everybody who watches.

    `look` is called in a thread, never twice at once; `now` is the time that ages are counted to.
    """

    def __init__(self, look: Callable[[], Listing], now: Callable[[], str], pool: Executor) -> None:
        self._look = look
        self._now = now
        self._pool = pool
        self._texts: dict[str, str] = {}
        self._about = ""
        self._version = 0
        self._told: deque[tuple[int, bytes]] = deque(maxlen=KEPT_MAX)
        self._news = asyncio.Event()
        self._is_watched = asyncio.Event()
        self._is_fresh = asyncio.Event()
        """True if runs have been looked at since somebody began to watch."""
        self._closing = asyncio.Event()
        self._watchers = 0
        self.rows: Mapping[str, Mapping[str, Any]] = {}

    @property
    def is_full(self) -> bool:
        """True if there are as many watchers as are allowed."""
        return self._watchers >= WATCHERS_MAX

    @property
    def is_closed(self) -> bool:
        """True if no more messages are sent."""
        return self._closing.is_set()

    def close(self) -> None:
        """End the messages to all watchers."""
        self._closing.set()
        for one in (self._is_watched, self._is_fresh, self._news):
            one.set()

    async def run(self) -> None:
        """Look again and again while somebody watches, until closed."""
        loop = asyncio.get_running_loop()
        while not self.is_closed:
            await self._is_watched.wait()
            listing, took_seconds = await loop.run_in_executor(self._pool, self._timed_look)
            self._publish(listing)
            if self._watchers:
                self._is_fresh.set()
            await self.pause(max(LOOK_SECONDS, PAUSE_PER_LOOK * took_seconds))

    def _timed_look(self) -> tuple[Listing, float]:
        began = time.thread_time()  # the time of other work makes no look rarer
        return self._look(), time.thread_time() - began

    async def pause(self, seconds: float) -> None:
        """Wait, but no longer than until closed."""
        await _came(self._closing, seconds)

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Have runs looked at as long as this is entered."""
        self._watchers += 1
        self._is_watched.set()
        try:
            yield
        finally:
            self._watchers -= 1
            if not self._watchers and not self.is_closed:
                self._is_watched.clear()
                self._is_fresh.clear()

    async def messages(self) -> Messages:
        """Yield everything known, then the changes; end when closed, or when too far behind."""
        with self.watching():
            await self._is_fresh.wait()
            if self.is_closed:
                return
            seen = self._version
            yield self._told_of([*self._texts.values()], [], [*self._texts], is_all=True)
            while not self.is_closed:
                if seen == self._version and not await _came(self._news, BEAT_SECONDS):
                    yield BEAT
                missed = [one for one in self._told if one[0] > seen]
                if missed and missed[0][0] != seen + 1:
                    return
                for version, told in missed:
                    seen = version
                    yield told

    async def known(self, key: str) -> Mapping[str, Any] | None:
        """Return what is known of a run, or None. Looks first if nobody watches."""
        with self.watching():
            await self._is_fresh.wait()
        return self.rows.get(key)

    def _publish(self, listing: Listing) -> None:
        """Publish the differences from the last listing."""
        texts = {
            key: self._texts[key] if self.rows.get(key) is row else _text(row)
            for key, row in listing.rows.items()
        }
        about = _text(listing.about)
        order = None if list(texts) == list(self._texts) else list(texts)
        changed = [text for key, text in texts.items() if self._texts.get(key) != text]
        gone = [key for key in self._texts if key not in texts]
        if not changed and not gone and order is None and about == self._about:
            return
        self._texts, self._about, self.rows = texts, about, listing.rows
        self._version += 1
        self._told.append((self._version, self._told_of(changed, gone, order)))
        news, self._news = self._news, asyncio.Event()
        news.set()

    def _told_of(
        self, rows: list[str], gone: list[str], order: list[str] | None, *, is_all: bool = False
    ) -> bytes:
        members = {
            "now": json.dumps(self._now()),
            "all": json.dumps(is_all),
            "about": self._about,
            "rows": f"[{','.join(rows)}]",
            "gone": json.dumps(gone),
            "order": json.dumps(order),
        }
        said = ",".join(f'"{name}":{text}' for name, text in members.items())
        return message_of("runs", f"{{{said}}}")


async def _came(event: asyncio.Event, seconds: float) -> bool:
    """Wait for an event for a while; return whether it came."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True


def _text(document: Mapping[str, Any]) -> str:
    return json.dumps(document, separators=(",", ":"))
