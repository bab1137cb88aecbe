"""Taking samples: arms in alternation, and whole commands with their time and peak memory."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

Sample = TypeVar("Sample")

LAUNCHER: Final = str(Path(__file__).with_name("launcher.py"))
LAUNCHED_SECONDS_MAX: Final = 120
"""The seconds that a command may take: none is slow, but one that hangs must not stop the suite."""
ROUNDS_MIN: Final = 3
"""The minimum number of samples of each arm, however little time is left."""


class Budget:
    """The time that a figure may spend on samples."""

    def __init__(self) -> None:
        self._ends_at = float("inf")

    def begin(self, seconds: float) -> None:
        """Give the figures that follow this number of seconds."""
        self._ends_at = time.monotonic() + seconds

    @property
    def is_spent(self) -> bool:
        """True if no more samples are to be taken than needed."""
        return time.monotonic() >= self._ends_at


BUDGET: Final = Budget()


@dataclass(frozen=True, slots=True)
class Launched:
    """The cost of a command, from its start to its exit.

    Attributes:
        rss_bytes: the peak of the command, or of a process that it waited for if that is larger.
        cpu_seconds: its time on a processor, and that of all that it waited for.
        began_at_ns: the time of its start, by the wall clock.
    """

    seconds: float
    rss_bytes: int
    code: int
    cpu_seconds: float
    began_at_ns: int


def launch(argv: Sequence[str], *, cwd: Path | None = None, expected: int = 0) -> Launched:
    """Run a command with the null device for input and output.

    Raises:
        RuntimeError: it exits otherwise than `expected`.
    """
    done = launch_any(argv, cwd=cwd)
    if done.code != expected:
        raise RuntimeError(f"{' '.join(argv)[:200]}: exit code {done.code}")
    return done


def launch_any(argv: Sequence[str], *, cwd: Path | None = None) -> Launched:
    """Do the same, with any exit status."""
    told = subprocess.run(
        [sys.executable, "-I", "-S", LAUNCHER, *argv],
        cwd=cwd,
        stdout=subprocess.PIPE,
        check=True,
        timeout=LAUNCHED_SECONDS_MAX,
    ).stdout.split()
    nanoseconds, rss_bytes, status, cpu_nanoseconds, began_at = map(int, told)
    return Launched(
        seconds=nanoseconds / 1e9,
        rss_bytes=rss_bytes,
        code=os.waitstatus_to_exitcode(status),
        cpu_seconds=cpu_nanoseconds / 1e9,
        began_at_ns=began_at,
    )


def timed(call: Callable[[], object]) -> float:
    """Return how many seconds a call takes."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def timed_twice(call: Callable[[], object]) -> tuple[float, float]:
    """Return how many seconds a call takes, and how many of them on a processor in this process."""
    began_cpu = time.process_time()
    seconds = timed(call)
    return seconds, time.process_time() - began_cpu


def interleaved(
    times: int, *arms: Callable[[], Sample], warm_up: bool = True
) -> tuple[tuple[Sample, ...], ...]:
    """Return the samples of each arm, taken in alternation.

    Every other round goes through the arms backwards, so that none always suffers another's
    aftermath. `warm_up` calls each once before. There are fewer rounds if the figure's time is up.
    """
    if warm_up:
        for arm in arms:
            arm()
    samples: list[list[Sample]] = [[] for _ in arms]
    for number in range(times):
        if BUDGET.is_spent and number >= ROUNDS_MIN:
            break
        order = range(len(arms)) if number % 2 == 0 else reversed(range(len(arms)))
        for index in order:
            samples[index].append(arms[index]())
    return tuple(tuple(one) for one in samples)
