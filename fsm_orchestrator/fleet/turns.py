"""The turns of runs: by priority, then in file order, never two of a concurrency key at once."""

from __future__ import annotations

import heapq
import time
from collections.abc import Iterable
from typing import Final

from fsm_orchestrator.fleet.definition import FleetRun

BUSY_SECONDS: Final = 60.0
"""The seconds that another process may hold a run's directory, so a killed fleet can wind up."""
AGAIN_SECONDS: Final = 0.5


class Turns:
    """The runs still to be worked on."""

    def __init__(self, runs: Iterable[FleetRun]) -> None:
        self._waiting = [(-run.priority, number, run) for number, run in enumerate(runs)]
        heapq.heapify(self._waiting)
        self._numbers = {run.name: number for _, number, run in self._waiting}
        self._held: set[str] = set()
        self._put_off: list[tuple[float, FleetRun]] = []
        self._busy_since: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._waiting) + len(self._put_off)

    def next(self) -> FleetRun | None:
        """Return the next run, or None if none can begin now."""
        self._take_back()
        passed_over = []
        found = None
        while self._waiting and found is None:
            one = heapq.heappop(self._waiting)
            key = one[2].concurrency_key
            if key is not None and key in self._held:
                passed_over.append(one)
            else:
                found = one[2]
        for one in passed_over:
            heapq.heappush(self._waiting, one)
        if found is not None and found.concurrency_key is not None:
            self._held.add(found.concurrency_key)
        return found

    def hold(self, run: FleetRun) -> None:
        """Take out a run that already has its turn, and block the others of its concurrency key."""
        self._waiting = [one for one in self._waiting if one[2] is not run]
        heapq.heapify(self._waiting)
        if run.concurrency_key is not None:
            self._held.add(run.concurrency_key)

    def has_ended(self, run: FleetRun) -> None:
        """Let other runs of its concurrency key have their turn."""
        if run.concurrency_key is not None:
            self._held.discard(run.concurrency_key)

    def put_off(self, run: FleetRun) -> bool:
        """Try a run later, as another process holds it; return False if that lasts too long."""
        self.has_ended(run)
        now = time.monotonic()
        if now - self._busy_since.setdefault(run.name, now) > BUSY_SECONDS:
            return False
        self._put_off.append((now + AGAIN_SECONDS, run))
        return True

    def give_up(self) -> list[FleetRun]:
        """Return the runs without a turn, and drop them."""
        left = [run for _, _, run in sorted(self._waiting)] + [run for _, run in self._put_off]
        self._waiting, self._put_off = [], []
        return left

    def seconds_until_next(self) -> float | None:
        """Return the seconds until a postponed run is due, or None if none was postponed."""
        if not self._put_off:
            return None
        return max(0.0, min(at for at, _ in self._put_off) - time.monotonic())

    def _take_back(self) -> None:
        now = time.monotonic()
        due = [run for at, run in self._put_off if at <= now]
        self._put_off = [one for one in self._put_off if one[0] > now]
        for run in due:
            heapq.heappush(self._waiting, (-run.priority, self._numbers[run.name], run))
