"""The board of all runs: looked at once for everybody who watches, and told as it changes.

Nobody looks while nobody watches, and a look never takes more than a share of the time: where one
is slow, the next comes later. What was told last is kept for all watchers together; who is further
behind is dropped, and begins anew.
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
"""How many times longer than a look the pause after it is, at least."""
KEPT_MAX: Final = 64
"""How many changes are kept for watchers that are behind."""
WATCHERS_MAX: Final = 100


class Listing(NamedTuple):
    """All runs at one moment.

    Attributes:
        rows: what the page shows of each run, by its key, in the order in which it shows them.
        about: what it shows of all: counts, how many are left out, what cannot be read.
    """

    rows: Mapping[str, Mapping[str, Any]]
    about: Mapping[str, Any]


class Board:
    """What is known of all runs, for as many as watch.

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
        """Whether runs have been looked at since somebody began to watch."""
        self._closing = asyncio.Event()
        self._watchers = 0
        self.rows: Mapping[str, Mapping[str, Any]] = {}

    @property
    def is_full(self) -> bool:
        """Whether there are as many watchers as there may be."""
        return self._watchers >= WATCHERS_MAX

    @property
    def is_closed(self) -> bool:
        """Whether nobody is told anything any more."""
        return self._closing.is_set()

    def close(self) -> None:
        """Let everybody go."""
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
        began = time.thread_time()  # what others take meanwhile makes no look rarer
        return self._look(), time.thread_time() - began

    async def pause(self, seconds: float) -> None:
        """Wait, and no longer than until closed."""
        await _came(self._closing, seconds)

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Have runs looked at for as long as this is entered."""
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
        """Yield all that is known, then what changes; ends when closed, or too far behind."""
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
        """Return what is known of a run; None without one. Looks first where nobody watches."""
        with self.watching():
            await self._is_fresh.wait()
        return self.rows.get(key)

    def _publish(self, listing: Listing) -> None:
        """Tell what differs from what was told."""
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
