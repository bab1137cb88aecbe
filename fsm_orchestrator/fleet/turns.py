"""Whose turn it is: by priority, then by the order of the file, never two of a concurrency key."""

from __future__ import annotations

import heapq
import time
from collections.abc import Iterable
from typing import Final

from fsm_orchestrator.fleet.definition import FleetRun

BUSY_SECONDS: Final = 60.0
"""How long somebody else may be at work in a directory: a fleet that was killed winds up."""
AGAIN_SECONDS: Final = 0.5


class Turns:
    """The runs that are still to be worked at."""

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
        """Return the run whose turn it is; None when none may be worked at now."""
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
        """Take a run that has its turn already, and let no other of its key have one."""
        self._waiting = [one for one in self._waiting if one[2] is not run]
        heapq.heapify(self._waiting)
        if run.concurrency_key is not None:
            self._held.add(run.concurrency_key)

    def has_ended(self, run: FleetRun) -> None:
        """Let others of its concurrency key have their turn."""
        if run.concurrency_key is not None:
            self._held.discard(run.concurrency_key)

    def put_off(self, run: FleetRun) -> bool:
        """Have a run tried again, for somebody else works at it; False once that is too long."""
        self.has_ended(run)
        now = time.monotonic()
        if now - self._busy_since.setdefault(run.name, now) > BUSY_SECONDS:
            return False
        self._put_off.append((now + AGAIN_SECONDS, run))
        return True

    def give_up(self) -> list[FleetRun]:
        """Return the runs that have had no turn, and have none any more."""
        left = [run for _, _, run in sorted(self._waiting)] + [run for _, run in self._put_off]
        self._waiting, self._put_off = [], []
        return left

    def seconds_until_next(self) -> float | None:
        """Return when a run that was put off is due; None where none was."""
        if not self._put_off:
            return None
        return max(0.0, min(at for at, _ in self._put_off) - time.monotonic())

    def _take_back(self) -> None:
        now = time.monotonic()
        due = [run for at, run in self._put_off if at <= now]
        self._put_off = [one for one in self._put_off if one[0] > now]
        for run in due:
            heapq.heappush(self._waiting, (-run.priority, self._numbers[run.name], run))
