"""The time that judging artifacts may take: their stage's, and till the run is asked to end."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, NamedTuple

SLOW_SECONDS: Final = 1.0
"""The time that judging has, however late a stage ends; beyond it, it is slow."""


class SlowArtifact(NamedTuple):
    """An artifact that was judged when judging had taken long: its path, and how long by then."""

    path: str
    elapsed_ms: int


class Judging:
    """The judging of the artifacts of one attempt, from now on.

    Args:
        deadline: by the monotonic clock, when the stage's time is up.
        on_slow: called once when it is slow, with the path that is judged and the milliseconds.
        asked_to_end: returns the signal by which the run was asked to end; None if it was not.
    """

    def __init__(
        self,
        deadline: float,
        on_slow: Callable[[str, int], None],
        asked_to_end: Callable[[], int | None],
    ) -> None:
        self.began = time.monotonic()
        self._slow_at = self.began + SLOW_SECONDS
        self._deadline = max(deadline, self._slow_at)
        self._on_slow = on_slow
        self._asked_to_end = asked_to_end
        self._is_slow = False

    def may_go_on(self, path: str) -> bool:
        """Return whether a verdict is still wanted; say once that it takes long."""
        now = time.monotonic()
        if now >= self._slow_at and not self._is_slow:
            self._is_slow = True
            self._on_slow(path, round((now - self.began) * 1000))
        return now < self._deadline and self._asked_to_end() is None
