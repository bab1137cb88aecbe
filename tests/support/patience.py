"""Wait for what must become true: as long as it takes on a busy machine."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

PATIENCE_SECONDS: Final = 180.0
"""The time after which a test gives up on what hangs. Never a bound of the program: a test that
passes waits for what happens, and no longer."""
_NAP_SECONDS: Final = 0.02


def wait_until(holds: Callable[[], object], what: object = "it does not come true") -> None:
    """Return as soon as `holds()` is true; fail with `what` when patience is at an end."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(_NAP_SECONDS)


async def until(holds: Callable[[], object], what: object = "it does not come true") -> None:
    """Wait like `wait_until` in a coroutine, while others continue."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, what
        await asyncio.sleep(_NAP_SECONDS)


class Deadline:
    """A time limit in seconds of an idle machine, multiplied by how busy it is."""

    def __init__(self, seconds: float, since: float | None = None) -> None:
        self._seconds = seconds
        self._since = time.monotonic() if since is None else since
        self._slowness = 1.0

    @property
    def is_over(self) -> bool:
        """True if it has passed; the load of the machine is read only when it is late."""
        late = time.monotonic() - self._since
        if late >= self._seconds:
            self._slowness = max(self._slowness, slowness())
        return late >= self._seconds * self._slowness


def slowness() -> float:
    """Return how many times longer a process takes now than on an idle machine."""
    began, computed = time.monotonic(), time.thread_time()
    while time.thread_time() - computed < _NAP_SECONDS:
        pass
    return max(1.0, (time.monotonic() - began) / _NAP_SECONDS)
