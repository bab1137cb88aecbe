"""Hosts that fork, and hosts that are killed."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.processes.keepers.keeper_cases import (
    PROMPT_SECONDS,
    WAITS,
    end_each,
    host,
    is_alive,
    members_in,
    pid_in,
    told_by,
    until,
)
from tests.support.command import checkpoint_of

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs keepers and /proc")
GONE_SECONDS: Final = 1.0
"""The seconds for which anything of a killed host may live on."""


def test_forked_process_has_keepers_of_its_own(tmp_path: Path) -> None:
    """A forked process uses the pool that it was given, and holds no keeper of its parent.

    The parent's keepers continue, and end with the pool although forked processes still exist.
    """
    facts = told_by(
        """
reader, writer = os.pipe()
with KeeperPool() as pool:
    before = keeper_after("before", pool)
    descriptors = len(os.listdir("/proc/self/fd"))
    child = os.fork()
    if child == 0:
        os.close(writer)
        count = len(os.listdir("/proc/self/fd"))
        kept_by = [keeper_after(f"child{number}", pool) for number in range(2)]
        pool.close()
        tell(child=kept_by, closed=descriptors - count)
        os.read(reader, 1)
        os._exit(0)
    during = keeper_after("during", pool)
    stays = os.fork()
    if stays == 0:
        os.close(writer)
        os.read(reader, 1)
        os._exit(0)
    os.close(reader)
    began = time.monotonic()
seconds = time.monotonic() - began
is_gone = not Path(f"/proc/{before}").exists()
os.close(writer)
codes = [os.waitpid(one, 0)[1] for one in (child, stays)]
tell(before=before, during=during, seconds=seconds, is_gone=is_gone, codes=codes)
""",
        tmp_path,
    )
    (theirs,) = (one for one in facts if "child" in one)
    (ours,) = (one for one in facts if "before" in one)
    assert theirs["child"][0] == theirs["child"][1] != ours["before"]
    assert theirs["closed"] == 2, "the end of a pipe, and the parent's side of its keeper"
    assert ours["during"] == ours["before"]
    assert (ours["is_gone"], ours["codes"]) == (True, [0, 0])
    assert ours["seconds"] < PROMPT_SECONDS


def test_parent_goes_on_after_its_fork_has_exited(tmp_path: Path) -> None:
    """A forked process that exits as Python does leaves its parent's keepers running."""
    (facts,) = told_by(
        """
with KeeperPool() as pool:
    kept_by = [keeper_after("before", pool)]
    child = os.fork()
    if child == 0:
        sys.exit(keeper_after("child", pool) == kept_by[0])
    code = os.waitpid(child, 0)[1]
    kept_by.append(keeper_after("after", pool))
tell(code=code, kept_by=kept_by)
""",
        tmp_path,
    )
    assert facts["code"] == 0
    assert facts["kept_by"][0] == facts["kept_by"][1]


def test_fork_while_a_thread_is_within_the_pool(tmp_path: Path) -> None:
    """The pool is usable in the forked process, where a thread never leaves it."""
    (facts,) = told_by(
        """
from fsm_orchestrator.processes.keeper_client import Keeper
within, forked = threading.Event(), threading.Event()
class Slow(Keeper):
    def __hash__(self):
        within.set()
        forked.wait(10)
        return 1
pool = KeeperPool()
real = pool.take()
real.__class__ = Slow
thread = threading.Thread(target=pool.give_back, args=[real])
thread.start()
assert within.wait(10)
child = os.fork()
if child == 0:
    signal.alarm(10)
    keeper_after("out", pool)
    pool.close()
    os._exit(0)
code = os.waitpid(child, 0)[1]
forked.set()
thread.join()
pool.close()
tell(code=code)
""",
        tmp_path,
    )
    assert facts["code"] == 0


@pytest.mark.parametrize("pool", ["None", "KeeperPool()"], ids=["alone", "pooled"])
def test_fork_in_the_midst_of_a_run_holds_nothing_up(tmp_path: Path, pool: str) -> None:
    """Run and pool end at once, and the directory is free, while the forked process lives on."""
    (facts,) = told_by(
        f"""
reader, writer = os.pipe()
def fork(event):
    if event["event"] == "stage.started" and event["stage"] == "executor":
        child.append(os.fork())
        if child == [0]:
            os.close(writer)
            os.read(reader, 1)
            os._exit(0)
child, pool = [], {pool}
began = time.monotonic()
kept_by = [keeper_after("out", pool, listener=fork)]
kept_by.append(keeper_after("out", pool))
if pool:
    pool.close()
seconds = time.monotonic() - began
are_there = [Path(f"/proc/{{pid}}").exists() for pid in kept_by]
os.close(writer)
os.waitpid(child[0], 0)
tell(seconds=seconds, are_there=are_there)
""",
        tmp_path,
    )
    assert facts["are_there"] == [False, False]
    assert facts["seconds"] < PROMPT_SECONDS


def test_killed_host_leaves_no_keeper_and_no_stage(tmp_path: Path) -> None:
    """After SIGKILL, two idle keepers and one at work are gone within a second."""
    place = tmp_path / "place"
    member = f'(setsid sleep 600 & echo $! >"$0.members"); {WAITS}'
    code = f"""
with KeeperPool() as pool:
    keepers = [pool.take() for _ in range(3)]
    assert not any([one.unable() for one in keepers])
    for one in keepers:
        pool.give_back(one)
    tell(keepers=[one.pid for one in keepers])
    stage = StageGiven(bin="/bin/sh", args=("-c", {member!r}, {str(place)!r}))
    gates = {{"policy": "allow", "ci": "success", "review": "approved"}}
    run(RunConfig(output_directory="out", gates=gates, stages={{"manager": stage}}), keepers=pool)
"""
    with host(code, tmp_path) as program:
        try:
            assert program.stdout is not None
            keepers = json.loads(program.stdout.readline())["keepers"]
            pids = [*keepers, pid_in(place), *members_in(place)]
            assert len(pids) == 5
            assert all(map(is_alive, pids))
            assert checkpoint_of(tmp_path / "out")["open_attempts"][0]["keeper_pid"] in keepers
        finally:
            program.kill()
        try:
            until(lambda: not any(map(is_alive, pids)), GONE_SECONDS)
        finally:
            end_each(pids)
