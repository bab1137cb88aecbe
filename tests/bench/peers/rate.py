"""Repeats a piece of work in some threads, and prints how often a second."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple


class Asked(NamedTuple):
    """The arguments of the program's command line."""

    directory: str
    threads: int
    runs: int
    true: str


def asked() -> Asked:
    """Return the arguments."""
    directory, threads, runs, true = sys.argv[1:]
    return Asked(directory, int(threads), int(runs), true)


def spawned(true: str) -> int:
    """Run a stage; return its exit code."""
    return subprocess.run([true], check=True).returncode


def tell(wanted: Asked, run: Callable[[int], object]) -> None:
    """Call `run` with the number of each run, and print the rate.

    What each thread keeps from one run to the next (a connection, a keeper) is made beforehand.
    """
    with ThreadPoolExecutor(wanted.threads) as pool:
        list(pool.map(run, range(-max(2, wanted.threads), 0)))
        began = time.perf_counter()
        list(pool.map(run, range(wanted.runs)))
    sys.stdout.write(f"{wanted.runs / (time.perf_counter() - began)}\n")
