"""The time that judging artifacts may take: up to the stage's limit, or a request to end."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, NamedTuple

SLOW_SECONDS: Final = 1.0
"""The time that judging has, however late a stage ends; longer judging is slow."""


class SlowArtifact(NamedTuple):
    """An artifact that was being judged when judging became slow: its path, and the time then."""

    path: str
    elapsed_ms: int


class Judging:
    """The judging of the artifacts of one attempt, from now on.

    Args:
        deadline: the time, by the monotonic clock, when the stage's time is up.
        on_slow: called once if it is slow, with the path that is judged and the milliseconds.
        asked_to_end: returns the signal by which the run was asked to end, or None.
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
        """Return whether a verdict is still wanted; report once that judging is slow."""
        now = time.monotonic()
        if now >= self._slow_at and not self._is_slow:
            self._is_slow = True
            self._on_slow(path, round((now - self.began) * 1000))
        return now < self._deadline and self._asked_to_end() is None
