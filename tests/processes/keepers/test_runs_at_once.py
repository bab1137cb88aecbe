"""Many runs in one process, at once and one after another, with and without a pool of keepers.

Each run has its own machine, lock, log, interrupts and keeper.
"""

from __future__ import annotations

import contextlib
import json
import re
import signal
import sys
import threading
from collections.abc import Mapping
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any, Final

import pytest

from fsm_orchestrator import KeeperPool, run
from fsm_orchestrator.errors import BusyError
from fsm_orchestrator.processes import keeper_client, keeper_pool, runner
from fsm_orchestrator.processes.interrupts import Interrupts
from fsm_orchestrator.processes.keeper_client import Keeper
from fsm_orchestrator.record.report import Report
from fsm_orchestrator.vocabulary import Outcome
from tests.processes.keepers.keeper_cases import (
    WAITS,
    WATCHDOG_SECONDS,
    config,
    descendants,
    is_alive,
    keeper_in,
    let_go,
    members_in,
    pid_in,
    shell,
    state,
    waiting,
)
from tests.support.command import events_of, report_of

pytestmark = [
    pytest.mark.one_in(2),
    pytest.mark.skipif(sys.platform != "linux", reason="needs keepers and /proc"),
]

THREADS: Final = 16
RUNS_EACH: Final = 3
TELLS_RUN: Final = 'echo "$ORCHESTRATOR_RUN_ID in $ORCHESTRATOR_OUTPUT_DIR"'
FILES: Final = {
    "orchestrator.lock",
    ".gitignore",
    "orchestrator_checkpoint.json",
    "orchestrator_events.jsonl",
    "orchestrator_run_report.json",
    "logs/manager.1.stdout.log",
    "logs/manager.1.stderr.log",
    "logs/executor.1.stdout.log",
    "logs/executor.1.stderr.log",
}
DAEMONIZES: Final = """
member='echo $$ >>"$0.members"; exec sleep 600'
setsid sh -c "$member" "$0" &
(setsid sh -c "$member" "$0" &)
(setsid sh -c '(setsid sh -c "$1" "$0" &)' "$0" "$member" &)
(sh -c "$member" "$0" &)
while ! test -e "$0.members" || test "$(wc -l <"$0.members")" -lt 4; do sleep 0.01; done
"""
MEMBERS: Final = 4

is_pooled = pytest.mark.parametrize("is_pooled", [False, True], ids=["alone", "pooled"])


@pytest.fixture(name="started")
def started_keepers(monkeypatch: pytest.MonkeyPatch) -> list[Keeper | str]:
    """Record every keeper that is started, for a pool or for a run."""
    started: list[Keeper | str] = []

    def start() -> Keeper | str:
        started.append(real())
        return started[-1]

    real = keeper_client.start_keeper
    monkeypatch.setattr(runner, "start_keeper", start)
    monkeypatch.setattr(keeper_pool, "start_keeper", start)
    return started


def pool_if(is_pooled: bool) -> contextlib.AbstractContextManager[KeeperPool | None]:
    """Return a pool, or a context without one."""
    return KeeperPool() if is_pooled else contextlib.nullcontext()


# -- at once ------------------------------------------------------------------------------------


def assert_its_own(out: Path, report: Report, events: list[Mapping[str, Any]]) -> None:
    """Assert that all that a run has left is its own and whole."""
    name = out.name
    assert (report.run_id, report.terminal_state) == (name, Outcome.DONE)
    assert report_of(out) == json.loads(report.to_json())
    assert [one["run_id"] for one in events] == [name] * len(events)
    assert [one["seq"] for one in events] == list(range(1, len(events) + 1))
    assert events_of(out) == events
    assert (out / "logs/manager.1.stdout.log").read_text() == f"{name} in {out}\n"
    files = {str(file.relative_to(out)): file for file in out.rglob("*") if file.is_file()}
    assert files.keys() == FILES
    for file in files.values():
        assert set(re.findall(r"run-\d\d-\d", file.read_text())) <= {name}


@is_pooled
def test_runs_in_many_threads_are_each_their_own(
    tmp_path: Path, started: list[Keeper | str], *, is_pooled: bool
) -> None:
    """Reports, events, logs and files of 48 runs in 16 threads stay apart, with 16 keepers at most.

    Afterwards no child, descriptor or thread is left.
    """
    run(config(tmp_path / "first"))
    outs, before = tmp_path / "outs", state()
    started.clear()
    at_once = threading.Barrier(THREADS)

    def work(thread: int, keepers: KeeperPool | None) -> None:
        at_once.wait(WATCHDOG_SECONDS)
        for number in range(RUNS_EACH):
            events: list[Mapping[str, Any]] = []
            out = outs / f"run-{thread:02}-{number}"
            given = config(out, TELLS_RUN, run_id=out.name)
            assert_its_own(out, run(given, listener=events.append, keepers=keepers), events)

    with pool_if(is_pooled) as keepers:
        with ThreadPoolExecutor(THREADS) as threads:
            works = [threads.submit(work, thread, keepers) for thread in range(THREADS)]
        for one in works:
            one.result()
        pids = {one.pid for one in started if isinstance(one, Keeper)}
        idle = descendants()
        if is_pooled:
            assert len(started) == len(pids) <= THREADS
            assert idle == pids
        else:
            assert (len(started), idle) == (THREADS * RUNS_EACH, set())
    assert state() == before
    assert len(list(outs.iterdir())) == THREADS * RUNS_EACH


@is_pooled
def test_one_run_after_another_leaves_the_process_as_it_was(
    tmp_path: Path, *, is_pooled: bool
) -> None:
    """Each run, or the closed pool, leaves the process unchanged; one pooled keeper served all."""
    run(config(tmp_path / "first"))
    before = state()
    outs = [tmp_path / f"out {number}" for number in range(4)]
    with pool_if(is_pooled) as keepers:
        for out in outs:
            assert run(config(out), keepers=keepers).exit_code == 0
            assert is_pooled or state() == before
        kept_by = {keeper_in(out) for out in outs}
        assert len(kept_by) == 1 or not is_pooled
        assert {pid for pid in kept_by if is_alive(pid)} == (kept_by if is_pooled else set())
    assert state() == before


@is_pooled
def test_same_directory_is_for_one_run_at_a_time(tmp_path: Path, *, is_pooled: bool) -> None:
    """One of two threads is refused, in a new directory or an old one, and nothing is mixed."""
    out = tmp_path / "out"

    def attempt(run_id: str, place: Path, keepers: KeeperPool | None) -> Report:
        at_once.wait(WATCHDOG_SECONDS)
        return run(config(out, waiting(place), TELLS_RUN, run_id=run_id), keepers=keepers)

    with pool_if(is_pooled) as keepers, ThreadPoolExecutor(2) as threads:
        for number in range(3):
            at_once, place = threading.Barrier(2), tmp_path / f"round {number}"
            names = [f"run-{number}-{letter}" for letter in "ab"]
            futures = {threads.submit(attempt, name, place, keepers): name for name in names}
            (refused,), (other,) = wait(futures, WATCHDOG_SECONDS, FIRST_COMPLETED)
            with pytest.raises(BusyError):
                refused.result()
            pid_in(place)
            let_go(place)
            assert other.result().run_id == futures[other]
            assert other.result().terminal_state is Outcome.DONE
            for file in (file for file in out.rglob("*") if file.is_file()):
                assert futures[refused] not in file.read_text()
                is_earlier = "archive" in file.relative_to(out).parts
                assert not is_earlier or futures[other] not in file.read_text()
            assert [one["seq"] for one in events_of(out)] == list(range(1, len(events_of(out)) + 1))
            printed = (out / "logs/executor.1.stdout.log").read_text()
            assert printed == f"{futures[other]} in {out}\n"
        assert len(list((out / "archive").iterdir())) == 2


@is_pooled
def test_run_within_a_listener_of_a_run(tmp_path: Path, *, is_pooled: bool) -> None:
    """A listener may make a run during another run's stage: both are done."""
    inner: list[Report] = []

    with pool_if(is_pooled) as keepers:

        def nest(event: Mapping[str, Any]) -> None:
            if event["event"] == "stage.started":
                out = tmp_path / f"inner {event['stage']}"
                inner.append(run(config(out), keepers=keepers))

        outer = run(config(tmp_path / "outer"), listener=nest, keepers=keepers)
        assert [one.exit_code for one in (outer, *inner)] == [0, 0, 0]
        kept_by = {keeper_in(tmp_path / name) for name in ("outer", "inner executor")}
        assert len(kept_by) == 2
    seqs = [one["seq"] for one in events_of(tmp_path / "outer")]
    assert seqs == list(range(1, len(seqs) + 1))


@is_pooled
def test_interrupt_ends_its_run_only(tmp_path: Path, *, is_pooled: bool) -> None:
    """A request to end one of four runs ends its stage only; the others continue to done."""
    with contextlib.ExitStack() as stack:
        keepers = stack.enter_context(pool_if(is_pooled))
        requests = [stack.enter_context(contextlib.closing(Interrupts())) for _ in range(4)]
        threads = stack.enter_context(ThreadPoolExecutor(4))
        places = [tmp_path / f"place {number}" for number in range(4)]
        futures = [
            threads.submit(
                run,
                config(tmp_path / f"out {number}", waiting(places[number])),
                interrupts=requests[number],
                keepers=keepers,
            )
            for number in range(4)
        ]
        pids = [pid_in(place) for place in places]
        requests[2].deliver(signal.SIGTERM)
        ended = futures.pop(2).result(WATCHDOG_SECONDS)
        assert (ended.exit_code, ended.terminal_state) == (143, Outcome.FAILED)
        assert [is_alive(pid) for pid in pids] == [True, True, False, True]
        assert not any(future.done() for future in futures)
        for place in places:
            let_go(place)
        assert [future.result().exit_code for future in futures] == [0, 0, 0]
        assert [one.count for one in requests] == [0, 0, 1, 0]


@is_pooled
def test_daemons_are_ended_with_the_run_that_they_belong_to(
    tmp_path: Path, *, is_pooled: bool
) -> None:
    """Three runs at once list and end their own daemons; those of a longer run live until its end.

    Then they are listed and ended too.
    """
    long = tmp_path / "long"
    both = shell(f"{DAEMONIZES}{WAITS}", long)
    with pool_if(is_pooled) as keepers, ThreadPoolExecutor(4) as threads:
        future = threads.submit(run, config(tmp_path / "out", both), keepers=keepers)
        stage = pid_in(long)
        theirs = {stage, *members_in(long)}
        places = [tmp_path / f"short {number}" for number in range(3)]

        def short(place: Path) -> Report:
            out = place.with_name(f"out of {place.name}")
            return run(config(out, shell(DAEMONIZES, place)), keepers=keepers)

        for place, report in zip(places, threads.map(short, places), strict=True):
            assert_listed(report, members_in(place))
        assert all(map(is_alive, theirs))
        assert not future.done()
        let_go(long)
        assert_listed(future.result(), theirs - {stage})
        assert not any(map(is_alive, theirs))


def assert_listed(report: Report, members: set[int]) -> None:
    """Assert that the first stage left exactly these members, and that they are ended."""
    assert report.terminal_state is Outcome.DONE
    assert len(members) == MEMBERS
    assert [one.leaked_count for one in report.stage_executions] == [MEMBERS, 0]
    assert {one.pid for one in report.stage_executions[0].leaked_processes} == members
    assert not any(map(is_alive, members))
