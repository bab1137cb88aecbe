"""Many runs in one process, at once and one after another, with and without a pool of keepers.

Each run has a machine, a lock, a log, interrupts and a keeper of its own. What changes the process
for good, forks it or kills it is done by a program of its own, which begins with HOST.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any, Final

import psutil
import pytest

from fsm_orchestrator import KeeperPool, RunConfig, StageGiven, resume, run
from fsm_orchestrator.errors import BusyError, InternalError
from fsm_orchestrator.processes import keeper as keeper_program
from fsm_orchestrator.processes import keeper_client, keeper_pool, leftovers, runner
from fsm_orchestrator.processes import kept as kept_process
from fsm_orchestrator.processes.contained import Collected
from fsm_orchestrator.processes.interrupts import ENDING_SIGNALS, Interrupts
from fsm_orchestrator.processes.keeper_client import Keeper
from fsm_orchestrator.record.report import Report
from fsm_orchestrator.vocabulary import Gate, Outcome
from tests.support.command import checkpoint_of, environment, events_of, report_of

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs keepers and /proc")

THREADS: Final = 16
RUNS_EACH: Final = 5
WATCHDOG_SECONDS: Final = 30.0
STUCK_SECONDS: Final = 100.0
"""How long a keeper that does not end is waited for here, in HOST too: that is then seen."""
PROMPT_SECONDS: Final = STUCK_SECONDS / 2
"""Much more than anything takes, however busy the machine, that does not wait for it."""
GONE_SECONDS: Final = 1.0
"""How long after its host was killed anything of it may live on."""
PASSED: Final = {Gate.POLICY: "allow", Gate.CI: "success", Gate.REVIEW: "approved"}
TELLS_KEEPER: Final = "echo $PPID"
TELLS_RUN: Final = 'echo "$ORCHESTRATOR_RUN_ID in $ORCHESTRATOR_OUTPUT_DIR"'
FILES: Final = {
    "orchestrator.lock",
    "orchestrator_checkpoint.json",
    "orchestrator_events.jsonl",
    "orchestrator_run_report.json",
    "logs/manager.1.stdout.log",
    "logs/manager.1.stderr.log",
    "logs/executor.1.stdout.log",
    "logs/executor.1.stderr.log",
}
WAITS: Final = 'echo $$ >"$0.ready"; while ! test -e "$0.go"; do sleep 0.01; done; echo $PPID'
"""A stage that says its pid in a file, and goes on when it is let. $0 is where the files are."""
DAEMONIZES: Final = """
member='echo $$ >>"$0.members"; exec sleep 600'
setsid sh -c "$member" "$0" &
(setsid sh -c "$member" "$0" &)
(setsid sh -c '(setsid sh -c "$1" "$0" &)' "$0" "$member" &)
(sh -c "$member" "$0" &)
while ! test -e "$0.members" || test "$(wc -l <"$0.members")" -lt 4; do sleep 0.01; done
"""
MEMBERS: Final = 4

HOST: Final = """
import contextlib, json, os, resource, signal, subprocess, sys, threading, time
from pathlib import Path
from fsm_orchestrator import KeeperPool, RunConfig, StageGiven, run
from fsm_orchestrator.processes import keeper as keeper_program
keeper_program.FINISH_SECONDS_MAX = 100

def keeper_after(out, keepers, manager="exit 0", **more):
    shell = lambda script: StageGiven(bin="/bin/sh", args=("-c", script))
    gates = {"policy": "allow", "ci": "success", "review": "approved"}
    stages = {"manager": shell(manager), "executor": shell("echo $PPID")}
    config = RunConfig(output_directory=out, gates=gates, stages=stages)
    report = run(config, keepers=keepers, **more)
    assert report.exit_code == 0, report
    return int(Path(out, "logs/executor.1.stdout.log").read_text())

def tell(**facts):
    print(json.dumps(facts), flush=True)
"""

is_pooled = pytest.mark.parametrize("is_pooled", [False, True], ids=["alone", "pooled"])


@pytest.fixture(autouse=True)
def own_desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Private state of its own."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture(autouse=True)
def long_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits for a keeper that does not end does so for much longer than anything takes."""
    monkeypatch.setattr(keeper_program, "FINISH_SECONDS_MAX", STUCK_SECONDS)
    monkeypatch.setattr(leftovers, "KEEPER_SECONDS_MAX", STUCK_SECONDS)


@pytest.fixture(name="started")
def started_keepers(monkeypatch: pytest.MonkeyPatch) -> list[Keeper | str]:
    """Every keeper that is started, for a pool or for a run."""
    started: list[Keeper | str] = []

    def start() -> Keeper | str:
        started.append(real())
        return started[-1]

    real = keeper_client.start_keeper
    monkeypatch.setattr(runner, "start_keeper", start)
    monkeypatch.setattr(keeper_pool, "start_keeper", start)
    return started


def shell(script: str, *args: str | Path) -> StageGiven:
    """A stage that runs a shell script."""
    return StageGiven(bin="/bin/sh", args=("-c", script, *map(str, args)))


def config(
    out: Path,
    manager: StageGiven | str = "exit 0",
    executor: StageGiven | str = TELLS_KEEPER,
    **given: Any,
) -> RunConfig:
    """A run whose gates pass and whose last stage prints which keeper it has."""
    stages = {
        name: shell(one) if isinstance(one, str) else one
        for name, one in (("manager", manager), ("executor", executor))
    }
    return RunConfig(output_directory=out, gates=PASSED, stages=stages, **given)


def waiting(place: Path) -> StageGiven:
    """A stage that waits until `let_go(place)`."""
    return shell(WAITS, place)


def let_go(place: Path) -> None:
    """Let a waiting stage go on."""
    place.with_name(f"{place.name}.go").touch()


def pid_in(place: Path) -> int:
    """The pid of a waiting stage, once it waits."""
    ready = place.with_name(f"{place.name}.ready")
    until(lambda: ready.exists() and ready.read_text().endswith("\n"))
    return int(ready.read_text())


def members_in(place: Path) -> set[int]:
    """The pids of what a stage that daemonizes has started."""
    return set(map(int, place.with_name(f"{place.name}.members").read_text().split()))


def keeper_in(out: Path, stage: str = "executor") -> int:
    """The keeper that the last stage of a run had."""
    return int((out / f"logs/{stage}.1.stdout.log").read_text())


def until(holds: Callable[[], bool], seconds: float = WATCHDOG_SECONDS) -> None:
    """Wait until it holds; fails when it does not within the time."""
    give_up_at = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < give_up_at, "it does not come true"
        time.sleep(0.005)


def is_alive(pid: int) -> bool:
    """Whether the process is there and no zombie."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def end_each(pids: list[int]) -> None:
    """End what a failing test has left: no child of ours, and no stranger so soon."""
    for pid in filter(is_alive, pids):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def state() -> tuple[object, ...]:
    """What a run must leave as it was: descriptors, threads, children, handlers and the rest."""
    return (
        len(os.listdir("/proc/self/fd")),
        threading.active_count(),
        {child.pid for child in psutil.Process().children(recursive=True)},
        [signal.getsignal(signum) for signum in (*ENDING_SIGNALS, signal.SIGCHLD)],
        os.getcwd(),
        dict(os.environ),
    )


def pool_if(is_pooled: bool) -> contextlib.AbstractContextManager[KeeperPool | None]:
    """A pool, or none."""
    return KeeperPool() if is_pooled else contextlib.nullcontext()


def host(code: str, cwd: Path) -> subprocess.Popen[str]:
    """Start a program that makes runs; `with` it."""
    return subprocess.Popen(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", HOST + code],
        cwd=cwd,
        env=environment(XDG_STATE_HOME=str(cwd / "state")),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def told_by(code: str, cwd: Path) -> list[dict[str, Any]]:
    """What a program that makes runs has told when it has ended."""
    with host(code, cwd) as program:
        try:
            stdout, stderr = program.communicate(timeout=WATCHDOG_SECONDS)
        finally:
            program.kill()
    assert (program.returncode, stderr) == (0, "")
    return [json.loads(line) for line in stdout.splitlines()]


# -- at once ------------------------------------------------------------------------------------


def assert_its_own(out: Path, report: Report, events: list[Mapping[str, Any]]) -> None:
    """All that a run has left is its own, whole, and nobody else's."""
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
    """Reports, events, logs and files of 80 runs in 16 threads; a pool starts 16 keepers at most.

    Afterwards no child is left, no descriptor, no thread.
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
        idle = {child.pid for child in psutil.Process().children(recursive=True)}
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
    """Without a pool after each run; with one when it is closed, and one keeper served them all."""
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
    """Of two threads one is refused, whether the directory is new or not; nothing is mixed."""
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
    """A listener may make a run of its own, in the midst of the other's stage: both are done."""
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
    """One of four is asked to end: its stage ends, those of the others go on to done."""
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
    """Three runs at once list and end their own daemons; those of a longer one live until its end.

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
    """These and no others were left by the first stage, and are ended."""
    assert report.terminal_state is Outcome.DONE
    assert len(members) == MEMBERS
    assert [one.leaked_count for one in report.stage_executions] == [MEMBERS, 0]
    assert {one.pid for one in report.stage_executions[0].leaked_processes} == members
    assert not any(map(is_alive, members))


# -- what a keeper hands on ---------------------------------------------------------------------

CHANGES: Final = r"""
import re
SHOWN = (
    "umask; ulimit -Sn; ulimit -Sc; nice; cat /proc/self/oom_score_adj;"
    "grep -E 'Umask|SigIgn|Cpus_allowed:|Cap|Groups|NoNewPrivs' /proc/self/status"
)
def soft(limit, value):
    resource.setrlimit(limit, (value, resource.getrlimit(limit)[1]))
def ours(signals):
    # 32 and 33 are the C library's own: its posix_spawn has them ignored.
    return f"{int(signals, 16) & ~(3 << 31):016x}"
def one_processor():
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
CHANGES = {
    "nothing": lambda: None,
    "umask": lambda: os.umask(0o027),
    "descriptors": lambda: soft(resource.RLIMIT_NOFILE, 300),
    "core": lambda: soft(resource.RLIMIT_CORE, 0),
    "nice": lambda: os.nice(1),
    "affinity": one_processor,
    "ignored": lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
}
count = 0
def look(name, keepers, **more):
    global count
    count += 1
    out = f"out{count}"
    keeper = keeper_after(out, keepers, SHOWN, **more)
    told = Path(out, "logs/manager.1.stdout.log").read_text()
    tidy = lambda text: re.sub("(?<=SigIgn:\t).*", lambda match: ours(match[0]), text)
    child = subprocess.run(["/bin/sh", "-c", SHOWN], capture_output=True, text=True, check=True)
    tell(name=name, told=tidy(told), child=tidy(child.stdout), keeper=keeper)
"""


def test_stage_inherits_what_the_caller_has_now(tmp_path: Path) -> None:
    """Whatever was changed since its keeper started, a stage sees what a new child would see."""
    told = told_by(
        CHANGES
        + """
resource.setrlimit(resource.RLIMIT_CORE, (resource.getrlimit(resource.RLIMIT_CORE)[1],) * 2)
with KeeperPool() as pool:
    for name, change in CHANGES.items():
        change()
        look(name, pool)
        look("nothing", pool)
""",
        tmp_path,
    )
    assert [one["told"] for one in told] == [one["child"] for one in told]
    seen = {one["name"]: one["told"] for one in told}
    assert seen["umask"].startswith("0027\n")
    assert seen["descriptors"].splitlines()[1] == "300"
    distinct = {one["told"] for one in told}
    has_one_processor = len(os.sched_getaffinity(0)) == 1
    has_no_cores = psutil.Process().rlimit(psutil.RLIMIT_CORE)[1] == 0
    assert len(distinct) == 7 - has_one_processor - has_no_cores
    for before, after in zip(told[::2], told[1::2], strict=True):
        assert after["keeper"] == before["keeper"], "nothing was changed, and it was not shared"


def test_change_in_the_midst_of_a_run_is_seen_by_the_next(tmp_path: Path) -> None:
    """The keeper that serves at that time has what was before, and is not taken again."""
    first, second = told_by(
        CHANGES
        + """
def change(event):
    if event["event"] == "stage.started" and event["stage"] == "executor":
        os.umask(0o077)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
with KeeperPool() as pool:
    look("first", pool, listener=change)
    look("second", pool)
""",
        tmp_path,
    )
    assert second["told"] == second["child"] != first["told"]
    assert second["told"].startswith("0077\n")


@pytest.mark.parametrize("change", ["os.nice(3)", "one_processor()"])
def test_what_a_thread_has_for_itself_is_what_its_stage_has(tmp_path: Path, change: str) -> None:
    """Niceness and processors are a thread's own: a keeper of another is not good enough."""
    if change == "one_processor()" and len(os.sched_getaffinity(0)) == 1:
        pytest.skip("there is only one processor")
    told = told_by(
        CHANGES
        + f"""
def work():
    {change}
    look("thread", pool)
with KeeperPool() as pool:
    look("main", pool)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    look("main", pool)
""",
        tmp_path,
    )
    assert [one["told"] for one in told] == [one["child"] for one in told]
    assert told[0]["told"] == told[2]["told"] != told[1]["told"]


# -- keepers that get hurt ----------------------------------------------------------------------


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGSTOP])
def test_idle_keeper_that_was_hurt_spoils_nothing(tmp_path: Path, signum: signal.Signals) -> None:
    """A killed one is replaced, a stopped one goes on."""
    before = state()
    status = psutil.STATUS_ZOMBIE if signum == signal.SIGKILL else psutil.STATUS_STOPPED
    with KeeperPool() as keepers:
        run(config(tmp_path / "first"), keepers=keepers)
        keeper = keeper_in(tmp_path / "first")
        os.kill(keeper, signum)
        until(lambda: psutil.Process(keeper).status() == status)
        assert run(config(tmp_path / "second"), keepers=keepers).terminal_state is Outcome.DONE
        assert (keeper_in(tmp_path / "second") == keeper) == (signum == signal.SIGSTOP)
    assert state()[:3] == before[:3]


def test_stopped_idle_keeper_is_let_go_at_once(tmp_path: Path) -> None:
    """Closing the pool does not wait for one that cannot hear of it, and leaves none."""
    with KeeperPool() as keepers:
        run(config(tmp_path / "out"), keepers=keepers)
        keeper = keeper_in(tmp_path / "out")
        os.kill(keeper, signal.SIGSTOP)
        until(lambda: psutil.Process(keeper).status() == psutil.STATUS_STOPPED)
        began = time.monotonic()
    assert time.monotonic() - began < PROMPT_SECONDS
    assert not psutil.pid_exists(keeper)


def test_keeper_killed_at_work_fails_its_run_only(tmp_path: Path) -> None:
    """The run fails as it does without a pool, nothing of its stage lives, the next run is fine."""
    kills = 'echo $$ >"$0.ready"; kill -9 $PPID; exec sleep 600'
    ways = []
    before = state()
    with KeeperPool() as pool:
        run(config(tmp_path / "first"), keepers=pool)
        for name, keepers in (("alone", None), ("pooled", pool)):
            place = tmp_path / name
            report = run(config(tmp_path / f"out {name}", shell(kills, place)), keepers=keepers)
            (one,) = report.stage_executions
            ways.append((report.exit_code, one.status, one.ending, one.error))
            assert not is_alive(pid_in(place))
        assert run(config(tmp_path / "last"), keepers=pool).terminal_state is Outcome.DONE
        assert keeper_in(tmp_path / "last") != keeper_in(tmp_path / "first")
    assert ways[0] == ways[1]
    assert ways[0][0] == 1
    assert state()[:3] == before[:3]


# -- hosts that fork, and hosts that are killed -------------------------------------------------


def test_forked_process_has_keepers_of_its_own(tmp_path: Path) -> None:
    """It uses the pool that it was given, and holds nothing of its parent's keepers.

    Those work on, and end with the pool although forked processes are there still.
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
    """A forked process that ends as Python does takes nothing along."""
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
    """The pool is of use in the forked process, where that thread never gets out of it."""
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
    """The forked process lives on: the run and the pool end at once, and the directory is free."""
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
    """SIGKILL, with two keepers idle and one at work: within a second all is gone."""
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
            assert checkpoint_of(tmp_path / "out")["open_attempt"]["keeper_pid"] in keepers
        finally:
            program.kill()
        try:
            until(lambda: not any(map(is_alive, pids)), GONE_SECONDS)
        finally:
            end_each(pids)


# -- keepers that may not be shared -------------------------------------------------------------


def test_keeper_with_survivors_is_not_shared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that could not end all it keeps is let go."""

    def collect(kept: kept_process.KeptProcess) -> Collected:
        return real(kept)._replace(survivors=(4711,))

    with KeeperPool() as keepers:
        run(config(tmp_path / "first"), keepers=keepers)
        keeper = keeper_in(tmp_path / "first")
        real = kept_process.KeptProcess.collect
        with monkeypatch.context() as patch:
            patch.setattr(kept_process.KeptProcess, "collect", collect)
            report = run(config(tmp_path / "spoilt", TELLS_KEEPER), keepers=keepers)
        assert (report.exit_code, keeper_in(tmp_path / "spoilt", "manager")) == (1, keeper)
        assert not psutil.pid_exists(keeper)
        assert run(config(tmp_path / "next"), keepers=keepers).exit_code == 0
        assert keeper_in(tmp_path / "next") != keeper


@pytest.mark.parametrize(
    ("event_name", "stage"),
    [("stage.started", "manager"), ("stage.started", "executor"), ("stage.ended", "executor")],
)
def test_keeper_of_a_run_that_crashed_is_not_shared(
    tmp_path: Path, event_name: str, stage: str
) -> None:
    """Wherever a bug strikes: the checkpoint may name the keeper as that of an open attempt."""

    def crash(event: Mapping[str, Any]) -> None:
        if (event["event"], event.get("stage")) == (event_name, stage):
            raise ZeroDivisionError

    with KeeperPool() as keepers:
        run(config(tmp_path / "first"), keepers=keepers)
        keeper = keeper_in(tmp_path / "first")
        with pytest.raises(InternalError):
            run(config(tmp_path / "crashed"), keepers=keepers, listener=crash)
        assert not psutil.pid_exists(keeper)
        assert run(config(tmp_path / "next"), keepers=keepers).exit_code == 0
        assert keeper_in(tmp_path / "next") != keeper


@pytest.mark.parametrize("name", ["orchestrator_checkpoint.json", "orchestrator_run_report.json"])
def test_keeper_of_a_run_without_record_is_not_shared(tmp_path: Path, name: str) -> None:
    """Where the end of a stage cannot be recorded, its attempt stays open, and names the keeper."""
    out = tmp_path / "spoilt"
    # Once its pid is on record nothing more is written until it ends.
    noted = (
        """until grep -q "\\"pid\\":$$," "$0/orchestrator_checkpoint.json"; do sleep 0.01; done"""
    )
    spoils = f'{noted}; rm "$0/{name}" && mkdir "$0/{name}" && touch "$0/{name}/full"'
    with KeeperPool() as keepers:
        run(config(tmp_path / "first"), keepers=keepers)
        keeper = keeper_in(tmp_path / "first")
        report = run(config(out, shell(spoils, out)), keepers=keepers)
        assert report.exit_code == 1
        assert report.stage_executions[-1].command.endswith(".persist")
        assert not psutil.pid_exists(keeper)


def test_resume_after_a_crash_leaves_other_runs_alone(tmp_path: Path) -> None:
    """What keeps another run of this process now is neither waited for, nor ended what it keeps."""
    place, out = tmp_path / "place", tmp_path / "crashed"

    def crash(event: Mapping[str, Any]) -> None:
        if event["event"] == "stage.ended":
            raise ZeroDivisionError

    with KeeperPool() as keepers, ThreadPoolExecutor(1) as threads:
        with pytest.raises(InternalError):
            run(config(out), keepers=keepers, listener=crash)
        assert checkpoint_of(out)["open_attempt"] is not None
        other = threads.submit(run, config(tmp_path / "other", waiting(place)), keepers=keepers)
        try:
            stage = pid_in(place)
            began = time.monotonic()
            report = resume(RunConfig(output_directory=out), keepers=keepers)
            seconds = time.monotonic() - began
            assert is_alive(stage)
        finally:
            let_go(place)
        assert report.terminal_state is Outcome.DONE
        assert other.result().terminal_state is Outcome.DONE
        assert seconds < PROMPT_SECONDS


# -- resumes ------------------------------------------------------------------------------------


def test_resume_waits_for_the_keeper_of_a_killed_host_only(tmp_path: Path) -> None:
    """It is waited for although it was stopped; idle ones and busy ones here are left alone."""
    place, busy = tmp_path / "place", tmp_path / "busy"
    code = f"""
stage = StageGiven(bin="/bin/sh", args=("-c", {WAITS!r}, {str(place)!r}))
gates = {{"policy": "allow", "ci": "success", "review": "approved"}}
with KeeperPool() as pool:
    keeper_after("first", pool)
    run(RunConfig(output_directory="out", gates=gates, stages={{"manager": stage}}), keepers=pool)
"""
    with KeeperPool() as keepers, ThreadPoolExecutor(1) as threads:
        keeper = 0
        other = threads.submit(run, config(tmp_path / "other", waiting(busy)), keepers=keepers)
        try:
            ours = [pid_in(busy)]
            run(config(tmp_path / "idle"), keepers=keepers)
            ours.append(keeper_in(tmp_path / "idle"))
            with host(code, tmp_path) as program:
                try:
                    stage = pid_in(place)
                    keeper = checkpoint_of(tmp_path / "out")["open_attempt"]["keeper_pid"]
                    os.kill(keeper, signal.SIGSTOP)
                    until(lambda: psutil.Process(keeper).status() == psutil.STATUS_STOPPED)
                finally:
                    program.kill()
            assert is_alive(stage), "stopped, the keeper could not end it"
            let_go(place)  # it ends, or is ended; the next attempt does not wait
            began = time.monotonic()
            report = resume(RunConfig(output_directory=tmp_path / "out"), keepers=keepers)
            assert time.monotonic() - began < PROMPT_SECONDS
            assert (report.terminal_state, is_alive(keeper)) == (Outcome.DONE, False)
            assert all(map(is_alive, ours))
        finally:
            let_go(place)
            let_go(busy)
            end_each([keeper] if keeper else [])
        assert other.result().terminal_state is Outcome.DONE


def test_resume_in_the_same_process_takes_the_idle_keeper(tmp_path: Path) -> None:
    """An interrupted run gave its keeper back: its resume is served by it and does not wait."""
    place, out = tmp_path / "place", tmp_path / "out"
    with KeeperPool() as keepers, contextlib.closing(Interrupts()) as interrupts:
        run(config(tmp_path / "first"), keepers=keepers)
        with ThreadPoolExecutor(1) as threads:
            given = config(out, waiting(place))
            future: Future[Report] = threads.submit(
                run, given, interrupts=interrupts, keepers=keepers
            )
            pid_in(place)
            interrupts.deliver(signal.SIGINT)
            assert future.result().exit_code == 130
        let_go(place)
        began = time.monotonic()
        assert resume(RunConfig(output_directory=out), keepers=keepers).exit_code == 0
        assert time.monotonic() - began < PROMPT_SECONDS
        assert keeper_in(out) == keeper_in(tmp_path / "first")


def test_handlers_of_the_main_thread_are_put_back(tmp_path: Path) -> None:
    """With a pool too: a SIGINT ends the run, the handlers are what they were, the next is done."""
    handlers = state()[3]

    def interrupt(event: Mapping[str, Any]) -> None:
        if event["event"] == "stage.started" and event["stage"] == "executor":
            assert state()[3] != handlers
            os.kill(os.getpid(), signal.SIGINT)

    with KeeperPool() as keepers:
        given = config(tmp_path / "out", executor="exec sleep 600")
        report = run(given, install_signal_handlers=True, listener=interrupt, keepers=keepers)
        assert (report.exit_code, state()[3]) == (130, handlers)
        again = run(config(tmp_path / "next"), install_signal_handlers=True, keepers=keepers)
        assert (again.exit_code, state()[3]) == (0, handlers)
    assert state()[3] == handlers
