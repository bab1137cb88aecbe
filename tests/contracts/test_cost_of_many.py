"""The counted cost of many runs in one process."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pytest

from tests.contracts.cost_cases import on_linux
from tests.support.counting import PYTHON, Installed, make_key

pytestmark = pytest.mark.one_in(2)

# Many runs in one process

RUNS: Final = 30
MANY_RUNS: Final = """
import collections, contextlib, gc, json, os, sys, threading
import hashlib  # which a process that digests much loads after a while
from pathlib import Path
from fsm_orchestrator import KeeperPool, RunConfig, StageGiven, run

number, is_pooled, place = int(sys.argv[1]), sys.argv[2] == "pooled", sys.argv[3]
counts = collections.Counter()

def counted(name):
    real = getattr(os, name)
    def stand_in(*args, **kwargs):
        counts[name] += 1
        return real(*args, **kwargs)
    setattr(os, name, stand_in)

for name in ("fsync", "fdatasync", "replace", "rename", "mkdir", "posix_spawn", "write"):
    counted(name)

def opened(event, details):
    # Which processes are looked at depends on how fast they end.
    if event == "open" and not str(details[0]).startswith("/proc/"):
        counts["opened"] += 1

sys.addaudithook(opened)
gates = {"policy": "allow", "ci": "success", "review": "approved"}
good, bad = StageGiven(bin="/bin/true"), StageGiven(bin="/bin/false")
stages = {"manager": good, "executor": bad if place == "resumed" else good}
told = []
with KeeperPool() if is_pooled else contextlib.nullcontext() as keepers:
    for index in range(number):
        output = f"out-{index}" if place == "apart" else "out"
        if place == "resumed" and index:
            config = RunConfig(output_directory=output, resume=True)
        else:
            config = RunConfig(output_directory=output, gates=gates, stages=stages)
        counts.clear()
        code = run(config, keepers=keepers).exit_code
        now = dict(counts)
        assert code == (1 if place == "resumed" else 0), code
        gc.collect()
        objects = len(gc.get_objects())
        # Kept as text, which is no object to the collector.
        told.append(json.dumps({
            "calls": now,
            "descriptors": len(os.listdir("/dev/fd")),
            "threads": threading.active_count(),
            "objects": objects,
        }))
print("[", ",".join(told), "]")
"""
FLAT: Final = {
    # Runs apart; in one directory, where each archives the one before it; resumes of one run. Seven
    # writes and as many opens are for the private state: what was left is noted and compared. Where
    # the run has made its directory, one more of each is for the .gitignore in it.
    "apart": {"fsync": 5, "fdatasync": 3, "replace": 10, "mkdir": 3, "write": 32, "opened": 59},
    "archived": {
        "fsync": 10,
        "fdatasync": 3,
        "replace": 10,
        "rename": 4,
        "mkdir": 4,
        "write": 31,
        "opened": 67,
    },
    "resumed": {"fsync": 5, "fdatasync": 3, "replace": 9, "mkdir": 1, "write": 28, "opened": 57},
}
BEGUN_AGAIN: Final = {"replace": 1, "write": 1, "opened": 4}
"""The additional cost, once in twenty runs in a directory, of beginning the list of what was left
there again because it has grown too long."""
OBJECTS_MAX: Final = 5
"""The number of additional objects after twenty more runs: far less than one for each."""


@on_linux
@pytest.mark.parametrize("place", FLAT)
def test_cost_of_a_run_does_not_grow_with_those_before(
    place: str, installed: Installed, tmp_path: Path
) -> None:
    """The 30th run of a process makes the calls of the 3rd; nothing stays open or accumulates.

    The first two load what they need, and make the archive. Only the first starts a keeper.
    """
    told = many_runs(installed, tmp_path, "pooled", place)
    assert [one["calls"].pop("posix_spawn", 0) for one in told] == [1, *[0] * (RUNS - 1)]
    steady = told[2]["calls"]
    others = [one["calls"] for one in told[2:] if one["calls"] != steady]
    more = [{name: one[name] - steady[name] for name in BEGUN_AGAIN} for one in others]
    assert more in ([], [BEGUN_AGAIN])
    assert [one | {name: steady[name] for name in BEGUN_AGAIN} for one in others] in ([], [steady])
    assert {name: now for name, now in steady.items() if now > FLAT[place].get(name, 0)} == {}
    assert {one["descriptors"] for one in told} == {told[0]["descriptors"]}
    assert {one["threads"] for one in told} == {1}
    assert told[-1]["objects"] - told[9]["objects"] <= OBJECTS_MAX


@on_linux
def test_run_without_a_pool_starts_one_keeper_and_keeps_nothing(
    installed: Installed, tmp_path: Path
) -> None:
    """Each run starts one process, and leaves no descriptor and no thread."""
    told = many_runs(installed, tmp_path, "own", "apart")
    assert {one["calls"]["posix_spawn"] for one in told} == {1}
    assert {one["calls"]["fsync"] for one in told} == {told[0]["calls"]["fsync"]}
    assert len({one["descriptors"] for one in told}) == 1
    assert {one["threads"] for one in told} == {1}


def many_runs(
    installed: Installed, cwd: Path, keepers: str, place: str
) -> Sequence[Mapping[str, Any]]:
    """Return what each of many runs in one process did and left."""
    number = RUNS if keepers == "pooled" else 5
    state = cwd / "state/fsm-orchestrator"
    make_key(state / "record.key")
    for folder in range(256):  # for the private state, by a digest of the path of OUT
        (state / f"left-{folder:02x}").mkdir(mode=0o700)
    done = installed.run([*PYTHON, "-c", MANY_RUNS, str(number), keepers, place], cwd)
    told: list[dict[str, Any]] = json.loads(done.stdout)
    return told
