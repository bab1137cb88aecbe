"""Figures of alternatives for the same two stages: runs a second in one process."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final, NamedTuple

from tests.bench.environments import CHECKOUT
from tests.bench.figure import Bench, Row, Unit

THREADS: Final = (1, 2, 4, 16)
FOLDER: Final = Path(__file__).with_name("peers")
SECONDS_MAX: Final = 90
"""The seconds that a program may take for its runs."""
SECONDS_EACH: Final = 36
"""The seconds for each number of threads; a round that has begun is completed."""


class Peer(NamedTuple):
    """An alternative program.

    Attributes:
        module: the module that is imported from it.
        program: its module in `peers`.
    """

    name: str
    module: str
    program: str
    note: str


OURS: Final = Peer("ours", "fsm_orchestrator", "ours", "")
PEERS: Final = (
    Peer("Burr", "burr", "burr_stages", "Burr saves its state in SQLite after each action"),
    Peer(
        "LangGraph",
        "langgraph.checkpoint.sqlite",
        "langgraph_stages",
        "LangGraph writes a checkpoint to SQLite before each next step",
    ),
    Peer("DBOS", "dbos", "dbos_stages", "DBOS writes workflow and steps to SQLite"),
)


def peers_figure(bench: Bench) -> Sequence[Row]:
    """Measure each peer and this program, in alternation, with some threads."""
    rows = []
    found = [one for one in PEERS if is_installed(one.module)]
    troubles: dict[str, str] = {}
    for threads in THREADS:
        rates: dict[str, list[float]] = {one.name: [] for one in (OURS, *found)}
        ends_at = time.monotonic() + SECONDS_EACH
        for round_ in range(bench.times(5, quick=1)):
            if round_ and time.monotonic() >= ends_at:
                break
            for one in [one for one in (OURS, *found) if one.name not in troubles]:
                try:
                    rates[one.name].append(_rate(bench, one, threads))
                except (RuntimeError, subprocess.TimeoutExpired) as error:
                    troubles[one.name] = f"{type(error).__name__}: {error}"
        said = f"{threads} thread{'s' * (threads > 1)}"
        rows += [
            Row(
                label=said,
                unit=Unit.RUNS_PER_SECOND,
                ours=rates[OURS.name],
                floor=rates[one.name],
                floor_is=f"{one.name} (here more is better)",
                note=one.note if threads == 1 else "",
            )
            for one in found
            if rates[one.name]
        ]
    failed = [
        Row(label=name, trouble=trouble, has_failed=True) for name, trouble in troubles.items()
    ]
    return [*rows, *failed, *(_missing(one) for one in PEERS if one not in found)]


def is_installed(module: str) -> bool:
    """Return whether a module can be imported here."""
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # also if its package is missing
        return False


def _missing(peer: Peer) -> Row:
    return Row(
        label=f"beside {peer.name}",
        trouble=f"skipped: {peer.module} is not installed; the extra `bench` has it",
    )


def _rate(bench: Bench, peer: Peer, threads: int) -> float:
    """Return how many runs a second a peer completes; its files are its own."""
    directory = bench.fresh()
    directory.mkdir()
    runs = bench.times(64, quick=8)
    program = (sys.executable, "-m", f"tests.bench.peers.{peer.program}")
    done = subprocess.run(
        [*program, directory, str(threads), str(runs), bench.true],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )
    if done.returncode != 0:
        said = (done.stderr.strip().splitlines() or [""])[-1]
        raise RuntimeError(f"{peer.name} with {threads} threads: {said}")
    return float(done.stdout.splitlines()[-1])
