"""Wait for what must come true: as long as it takes on a machine that is busy with other things."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

PATIENCE_SECONDS: Final = 180.0
"""When a test gives up on what hangs. Never a bound of the program: a test that passes waits for
what happens, and no longer."""
_NAP_SECONDS: Final = 0.02


def wait_until(holds: Callable[[], object], what: object = "it does not come true") -> None:
    """Return as soon as `holds()` is true; fail with `what` when patience is at an end."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(_NAP_SECONDS)


async def until(holds: Callable[[], object], what: object = "it does not come true") -> None:
    """Do the same in a coroutine, while others go on."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, what
        await asyncio.sleep(_NAP_SECONDS)


class Deadline:
    """So many seconds of a machine that does nothing else, and as many times more as it is busy."""

    def __init__(self, seconds: float, since: float | None = None) -> None:
        self._seconds = seconds
        self._since = time.monotonic() if since is None else since
        self._slowness = 1.0

    @property
    def is_over(self) -> bool:
        """Whether it has passed; only one who is late looks at how busy the machine is."""
        late = time.monotonic() - self._since
        if late >= self._seconds:
            self._slowness = max(self._slowness, slowness())
        return late >= self._seconds * self._slowness


def slowness() -> float:
    """Return how many times longer than alone a process takes now."""
    began, computed = time.monotonic(), time.thread_time()
    while time.thread_time() - computed < _NAP_SECONDS:
        pass
    return max(1.0, (time.monotonic() - began) / _NAP_SECONDS)
