"""The notes of the stages of `proving_stage.py`: who worked when, and never two at once."""

from __future__ import annotations

import fcntl
import itertools
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from tests.support.patience import until

_STAGE: Final = Path(__file__).with_name("proving_stage.py")


class Attempt(NamedTuple):
    """One attempt of a stage, by what it wrote.

    Attributes:
        epoch: the claim under which it ran; empty where there was none.
        began, last: its first and last sign of life, in seconds of the monotonic clock.
        ended: True if it came to its own end.
    """

    stage: str
    number: int
    epoch: str
    began: float
    last: float
    ended: bool
    pids: frozenset[int]


class Ledger:
    """The directory that stages write to."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder

    def stage(
        self, its_end: float | Path, *flags: str, tick_ms: float = 20
    ) -> tuple[str, tuple[str, ...]]:
        """Return program and arguments of a stage that works so long, or until a path exists."""
        words = ("-I", "-S", str(_STAGE), str(self.folder), str(its_end), str(tick_ms), *flags)
        return sys.executable, words

    def attempts(self, run_id: str) -> Sequence[Attempt]:
        """Return the attempts of a run's stages, in the order in which they began."""
        found: dict[tuple[str, str, int], Attempt] = {}
        for line in self._lines(run_id):
            key = (line["stage"], line["epoch"], line["attempt"])
            known = found.get(key) or Attempt(
                line["stage"],
                line["attempt"],
                line["epoch"],
                line["at"],
                line["at"],
                ended=False,
                pids=frozenset(),
            )
            found[key] = known._replace(
                last=max(known.last, line["at"]),
                ended=known.ended or line["what"] == "end",
                pids=known.pids | {line["pid"]},
            )
        return sorted(found.values(), key=lambda one: one.began)

    def has_begun(self, run_id: str, stage: str, times: int = 1) -> bool:
        """Return True if a stage has begun that many times."""
        return sum(one.stage == stage for one in self.attempts(run_id)) >= times

    async def until_begun(self, run_id: str, stage: str, times: int = 1) -> None:
        """Wait until a stage has begun that many times."""
        said = f"{run_id}: {stage} has not begun {times} times"
        await until(lambda: self.has_begun(run_id, stage, times), said)

    def is_idle(self, run_id: str) -> bool:
        """Return True if no process of any attempt of a run is alive: its lock is free."""
        with (self.folder / f"{run_id}.lock").open("ab") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True

    def assert_one_at_a_time(self, run_id: str) -> None:
        """Assert that no two attempts of a run were alive at once, by lock and by clock."""
        met = [line for line in self._lines(run_id) if line["what"] == "met"]
        assert not met, f"{run_id}: another attempt was alive: {met}"
        for one, next_one in itertools.pairwise(self.attempts(run_id)):
            assert one.last < next_one.began, f"{run_id}: two at once: {one} {next_one}"

    def _lines(self, run_id: str) -> list[dict[str, Any]]:
        try:
            text = (self.folder / f"{run_id}.jsonl").read_text()
        except FileNotFoundError:
            return []
        return [json.loads(line) for line in text.splitlines()]
