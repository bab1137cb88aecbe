"""That no process of a stage is alive once the stage has ended, whatever it does, however it ends.

While a test runs, this process is a child subreaper: whatever gets away from a run comes to it,
even if it has no name, session or environment left by which it could be told. The animals are in
zoo.py.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import pytest

from fsm_orchestrator.processes import table
from tests.processes import zoo
from tests.support.command import (
    CHECKPOINT,
    COMMAND,
    ORCHESTRATOR_PID,
    PASSING,
    checkpoint_of,
    environment,
    events_of,
    read_json,
    report_of,
    shell,
    statuses,
)
from tests.support.schema_checks import Written

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs a child subreaper and /proc")

WATCHDOG_SECONDS: Final = 30.0
GONE_SECONDS: Final = 1.0
"""How long after the orchestrator was killed its stage may live on."""
HASTES_MS: Final = ("300", "1500", "6000")
"""Time limits, from one that is enough to one that is enough on a machine that is very busy."""
HOUR_MS: Final = "3600000"
PYTHON: Final = (sys.executable, "-I", "-S")
ZOO: Final = (*PYTHON, zoo.__file__)
MEGABYTE: Final = 1024**2
TOKEN: Final = "ORCHESTRATOR_ATTEMPT_TOKEN"  # noqa: S105 - a variable's name
POSTMORTEM: Final = "logs/manager.1.postmortem.json"
LOGS: Final = ("logs/manager.1.stdout.log", "logs/manager.1.stderr.log")

QUIET_EXECUTOR: Final = ("--executor-bin", "true")

JOBS: Final = """
zoo=$1; shift
"$0" -I -S "$zoo" member &
"$0" -I -S "$zoo" member | "$0" -I -S "$zoo" member &
nohup "$0" -I -S "$zoo" member >/dev/null 2>&1 &
(sleep 600; sleep 600) &
exec "$0" -I -S "$zoo" lead 4 "$@"
"""
WITHOUT_KEEPER: Final = """
import fsm_orchestrator.processes.runner, fsm_orchestrator.cli.main
fsm_orchestrator.processes.runner.start_keeper = lambda: "none is to be had today"
fsm_orchestrator.cli.main.main()
"""
SLOW_TO_LOOK: Final = """
import time
import fsm_orchestrator.cli.main, fsm_orchestrator.processes.keeper_client
class Keeper(fsm_orchestrator.processes.keeper_client.Keeper):
    def spawn(self, *about):
        pid = super().spawn(*about)
        time.sleep(0.5)
        return pid
fsm_orchestrator.processes.keeper_client.Keeper = Keeper
fsm_orchestrator.cli.main.main()
"""
STARTER: Final = """
import json, os, sys
import fsm_orchestrator.api, fsm_orchestrator.cli.main, fsm_orchestrator.cli.commands.run
for line in sys.stdin:
    directory, *arguments = json.loads(line)
    child = os.fork()
    if child == 0:
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in range(3):
            os.dup2(null, descriptor)
        os.chdir(directory)
        os.environ["XDG_STATE_HOME"] = os.path.join(directory, "state")
        sys.argv = ["fsm-orchestrator", *arguments]
        fsm_orchestrator.cli.main.main()
    print(child, flush=True)
    print(os.waitpid(child, 0)[1], flush=True)
"""


class Witness:
    """Sees whatever gets away from the runs that a test starts, for it comes to this process."""

    def __init__(self) -> None:
        self._before = set(zoo.children().get(os.getpid(), ()))
        self._started: list[subprocess.Popen[str]] = []

    def start(self, *command: str, **settings: Any) -> subprocess.Popen[str]:
        """Start a process that is meant to be our child."""
        process = subprocess.Popen(command, text=True, **settings)
        self._started.append(process)
        return process

    def adopted(self) -> list[int]:
        """The processes that came to us, zombies included."""
        ours = self._before | {process.pid for process in self._started}
        return [pid for pid in zoo.children().get(os.getpid(), ()) if pid not in ours]

    def escaped(self) -> list[int]:
        """What is alive of that, and below it."""
        adopted = self.adopted()
        alive = [pid for pid in adopted if not zoo.is_zombie(pid)]
        return [*alive, *zoo.below(*adopted)]

    @contextlib.contextmanager
    def reaping(self) -> Iterator[None]:
        """Reap at once what comes to us and ends, as init does."""
        is_over = threading.Event()

        def reap() -> None:
            while not is_over.wait(0.01):
                for pid in self.adopted():
                    with contextlib.suppress(ChildProcessError):  # another thread was first
                        os.waitpid(pid, os.WNOHANG)

        thread = threading.Thread(target=reap)
        thread.start()
        try:
            yield
        finally:
            is_over.set()
            thread.join()

    def wait_until_gone(self, deadline: float) -> None:
        """Wait until nothing is alive that came to us; fails at the deadline."""
        while escaped := self.escaped():
            assert time.monotonic() < deadline, f"still alive: {described(escaped)}"
            time.sleep(0.005)
        for pid in self.adopted():
            os.waitpid(pid, 0)

    def close(self) -> None:
        """End whatever a failing test has left, and reap it."""
        for process in self._started:
            with process:
                process.kill()
        while adopted := self.adopted():
            for pid in self.escaped():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            for pid in adopted:
                os.waitpid(pid, 0)


@pytest.fixture
def witness() -> Iterator[Witness]:
    """This process as a subreaper, with all that came to it gone after the test."""
    witness = Witness()
    zoo.be_subreaper(is_one=True)
    try:
        yield witness
    finally:
        witness.close()
        zoo.be_subreaper(is_one=False)


def described(pids: list[int]) -> list[str]:
    """Processes for a message."""
    return [f"{pid} {proc(pid, 'cmdline')!r} {zoo.stat_of(pid)}" for pid in pids]


def proc(pid: int, name: str) -> bytes:
    """A file of /proc; empty when the process is gone, or not ours."""
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""


def bearers(token: str) -> list[int]:
    """The processes with the token of an attempt in their environment."""
    pids = (int(entry) for entry in os.listdir("/proc") if entry.isdigit())
    return [pid for pid in pids if token.encode() in proc(pid, "environ")]


@dataclass(frozen=True, slots=True)
class Life:
    """What a member has told of itself: first and last sign of life, in nanoseconds."""

    attempt: int
    pid: int
    start: int
    first: int
    last: int


def options_of(stage: tuple[str, ...]) -> tuple[str, ...]:
    """Options that pass the gates and make that the first stage."""
    words = (f"--manager-arg={word}" for word in stage[1:])
    return (*PASSING, "--manager-bin", stage[0], *words)


class Run:
    """A run in a directory of its own, whose `manager` is one of the programs of zoo.py."""

    def __init__(self, directory: Path, witness: Witness) -> None:
        self.directory = directory
        self.output = directory / "out"
        self._witness = witness
        (directory / "beats").mkdir(parents=True)

    def start(
        self,
        stage: tuple[str, ...],
        *options: str,
        command: tuple[str, ...] = COMMAND,
        executor: tuple[str, ...] = QUIET_EXECUTOR,
    ) -> None:
        """Start it with its gates passed; the second stage does nothing."""
        self._launch(*options_of(stage), *executor, *options, command=command)

    def resume(self, *, is_reaped: bool = True) -> dict[str, Any]:
        """Resume it to done, its stage calm from now on; the report."""
        (self.directory / "calm").touch()
        self._launch("--resume")
        with self._witness.reaping() if is_reaped else contextlib.nullcontext():
            _, stderr = self.process.communicate(timeout=WATCHDOG_SECONDS)
        assert self.process.returncode == 0, stderr
        self.written.assert_valid()
        report = report_of(self.output)
        assert report["terminal_state"] == "done"
        return report

    def _launch(self, *options: str, command: tuple[str, ...] = COMMAND) -> None:
        self.written = Written(("out",), self.directory)
        self.process = self._witness.start(
            *(*command, "run", "out", *options),
            cwd=self.directory,
            env=environment(XDG_STATE_HOME=str(self.directory / "state")),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def has(self, name: str) -> bool:
        """Whether there is such a file."""
        return (self.directory / name).exists()

    def words(self, name: str) -> list[str]:
        """What a file of the stage says."""
        return (self.directory / name).read_text().split()

    def starts(self) -> dict[int, int]:
        """When each process that gave a sign of life was started, in clock ticks, by pid."""
        names = (path.name.split(".") for path in (self.directory / "beats").iterdir())
        return {int(pid): int(start) for _, pid, start in names}

    def wait_for(self, name: str) -> None:
        """Wait for a file; fails when the run ends without it."""
        give_up_at = time.monotonic() + WATCHDOG_SECONDS
        while not self.has(name):
            assert time.monotonic() < give_up_at, f"no {name}"
            assert self.process.poll() is None, f"no {name}: {self.process.communicate()}"
            time.sleep(0.004)

    def end(self) -> int:
        """Wait for its end; the exit code. All that was written is valid, unless it was killed."""
        self.process.communicate(timeout=WATCHDOG_SECONDS)
        if self.process.returncode >= 0:
            self.written.assert_valid()
        return self.process.returncode

    def kill_with_keeper(self, *, leave_keeper: bool = False) -> int:
        """SIGKILL the orchestrator and its keeper, which has no moment to act; the keeper's pid.

        A keeper that is left is stopped.
        """
        keeper: int = checkpoint_of(self.output)["open_attempt"]["keeper_pid"]
        os.kill(keeper, signal.SIGSTOP)
        while (stat := zoo.stat_of(keeper)) is not None and stat[0] != "T":
            os.sched_yield()
        self.process.kill()
        self.process.communicate(timeout=WATCHDOG_SECONDS)
        if not leave_keeper:
            os.kill(keeper, signal.SIGKILL)
            os.waitpid(keeper, 0)
        return keeper

    def lives(self) -> list[Life]:
        """What the members have told of themselves."""
        lives = []
        for path in (self.directory / "beats").iterdir():
            stamps = path.read_text().split()
            if stamps:
                attempt, pid, start = map(int, path.name.split("."))
                lives.append(Life(attempt, pid, start, int(stamps[0]), int(stamps[-1])))
        return lives

    def assert_silent(self, since_ns: int) -> None:
        """Nobody has shown a sign of life since then, and nobody bears the attempt's token."""
        time.sleep(3 * zoo.BEAT_SECONDS)
        for life in self.lives():
            assert life.last <= since_ns, f"{life} lived on"
            stat = zoo.stat_of(life.pid)
            is_another = stat is None or stat[2] != life.start
            assert is_another or zoo.is_zombie(life.pid), f"{life} is alive"
        if self.has("token"):  # else its first process was ended before it had said a word
            assert bearers(self.words("token")[0]) == []

    def assert_attempts_apart(self) -> None:
        """No member of an attempt has lived when one of the next did."""
        ends: dict[int, list[Life]] = {}
        for life in self.lives():
            ends.setdefault(life.attempt, []).append(life)
        for earlier, later in itertools.pairwise(sorted(ends)):
            last = max(life.last for life in ends[earlier])
            first = min(life.first for life in ends[later])
            assert last < first, f"attempts {earlier} and {later} were alive at once"


@dataclass(frozen=True, slots=True)
class Way:
    """A way for a stage to end, and what is to come of it.

    `end` is what the leader does when all members are alive, `signals` what the orchestrator gets:
    the first then, the second when the leader has been told. HASTE is a time limit of HASTES_MS.
    """

    code: int
    status: str = ""
    ending: str = ""
    end: tuple[str, ...] = ("stay",)
    options: tuple[str, ...] = ("--kill-grace-ms", "50")
    signals: tuple[signal.Signals, ...] = ()


PRINTED, LIMIT = 400_000, 100_000
GENTLY: Final = ("--kill-grace-ms", "50")
WAYS: Final = {
    "exits": Way(0, "success", "exited", ("exit", "0")),
    "fails": Way(1, "failed", "exited", ("exit", "3")),
    "timeout": Way(124, "timeout", "timed_out", options=(*GENTLY, "--manager-timeout-ms", "HASTE")),
    "idle": Way(
        124, "timeout", "went_quiet", options=(*GENTLY, "--manager-idle-timeout-ms", "HASTE")
    ),
    "output": Way(
        *(1, "failed", "output_limit", ("print", str(PRINTED))),
        options=(*GENTLY, "--manager-output-limit", str(LIMIT)),
    ),
    "SIGINT": Way(130, "interrupted", "interrupted", signals=(signal.SIGINT,)),
    "SIGTERM": Way(143, "interrupted", "interrupted", signals=(signal.SIGTERM,)),
    "SIGINT twice": Way(
        *(130, "interrupted", "interrupted", ("defy",), ("--kill-grace-ms", HOUR_MS)),
        signals=(signal.SIGINT, signal.SIGINT),
    ),
    "SIGKILL": Way(-signal.SIGKILL, signals=(signal.SIGKILL,)),
}
TOGETHER: Final = (
    "deaf,daemon,closed,nameless,stripped,own_group,holder,stopped,listener,nested,respawner"
)
NEVER_STILL: Final = {"chain"}
"""Animals of which nobody can say at any moment which processes they are."""


def led(animals: str, *end: str) -> tuple[str, ...]:
    """The stage with these animals; `jobs` are those of a shell."""
    if animals == "jobs":
        return ("/bin/sh", "-c", JOBS, sys.executable, zoo.__file__, *end)
    return (*ZOO, "lead", animals, *end)


def end_in(
    way: Way,
    animals: str,
    directory: Path,
    witness: Witness,
    command: tuple[str, ...] = COMMAND,
) -> Run:
    """Let a stage with these animals end that way, once all of them are alive.

    Where the machine was too busy for that within the time limit, once more with a longer one.
    """
    for haste in HASTES_MS:
        run = Run(directory / haste, witness)
        options = [haste if option == "HASTE" else option for option in way.options]
        run.start(led(animals, *way.end), *options, command=command)
        for signum, name in zip(way.signals, ("ready", "told"), strict=False):
            run.wait_for(name)
            run.process.send_signal(signum)
        killed_at = time.monotonic()
        assert run.end() == way.code
        if way.code < 0:
            witness.wait_until_gone(killed_at + GONE_SECONDS)
        run.assert_silent(time.monotonic_ns())
        if run.has("ready"):
            return run
    return pytest.fail("the members were never all alive")


def assert_reported(run: Run, way: Way, *, is_still: bool) -> None:
    """The report says how the stage ended and what it left, and nothing else."""
    report = report_of(run.output)
    execution = report["stage_executions"][0]
    assert report["exit_code"] == way.code
    assert report["containment"] == "subreaper"
    assert (execution["status"], execution["ending"]) == (way.status, way.ending)
    assert execution["exit_code"] == (int(way.end[1]) if way.ending == "exited" else None)
    leaked = execution["leaked_processes"]
    if way.ending != "exited":
        assert (leaked, report["warnings"]) == ([], [])
    elif not is_still:
        assert len(report["warnings"]) == 1, "something was left, and is not told of"
    else:
        left = {int(word) for word in run.words("left")}
        assert len(leaked) == len({one["pid"] for one in leaked}) == min(len(left), 100)
        assert {one["pid"] for one in leaked} <= left
        (warning,) = report["warnings"]
        assert "'manager'" in warning
        count = execution["leaked_count"]
        assert count >= len(left)  # what forks goes on with it until it is ended
        assert (f"{count} processes" if count > 1 else "1 process") in warning
    for one in leaked:
        assert one["command"]
        assert one["age_seconds"] >= 0
        assert one["rss_bytes"] > 0 or one["command"].startswith("[")  # a name: it has no memory
    assert_black_box(run, execution, is_still=is_still)


def assert_black_box(run: Run, execution: Mapping[str, Any], *, is_still: bool) -> None:
    """It is there for a stage that took too long, and only then; it names every process."""
    is_due = execution["status"] == "timeout"
    assert execution["postmortem"] == (POSTMORTEM if is_due else None)
    assert (run.output / POSTMORTEM).exists() == is_due
    if is_due:
        box = read_json(run.output / POSTMORTEM)
        named = [one["pid"] for one in box["processes"]]
        assert len(set(named)) == len(named)
        if is_still:
            assert str(named[0]) == run.words("leader")[0]
            missing = set(map(int, run.words("ready"))) - set(named)
            is_long = len(run.words("ready")) > 100 and not box["is_complete"]  # there was no time
            # The stage may have started the last of them while the box was filled already.
            started = run.starts()
            youngest = max(started.get(pid, 0) for pid in named)
            assert is_long or all(started.get(pid, 0) >= youngest for pid in missing)


# Every animal, every way


@pytest.mark.parametrize("way", ["exits", "timeout", "SIGKILL"])
@pytest.mark.parametrize("animal", [*sorted(zoo.ANIMALS.keys() - {"retort"}), "jobs"])
def test_animal_is_gone_with_its_stage(
    tmp_path: Path, witness: Witness, animal: str, way: str
) -> None:
    """Whatever an animal does to get away, nothing of it is alive when its stage has ended."""
    run = end_in(WAYS[way], animal, tmp_path, witness)
    if way != "SIGKILL":
        assert witness.adopted() == []
        assert_reported(run, WAYS[way], is_still=animal not in NEVER_STILL)


@pytest.mark.parametrize("way", WAYS)
def test_all_animals_are_gone_however_their_stage_ends(
    tmp_path: Path, witness: Witness, way: str
) -> None:
    """However a stage full of animals ends, nothing is left and the report is right."""
    run = end_in(WAYS[way], TOGETHER, tmp_path, witness)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(run.words("port")[0])))
    if way != "SIGKILL":
        assert witness.adopted() == []
        assert_reported(run, WAYS[way], is_still=True)
    if way == "output":
        assert sum((run.output / log).stat().st_size for log in LOGS) == LIMIT


# What counts as left behind


@pytest.mark.parametrize(("code", "ending"), [("0", "leaked"), ("3", "exited")])
def test_leak_fails_a_stage_where_that_was_asked_for(
    tmp_path: Path, witness: Witness, code: str, ending: str
) -> None:
    """With `--on-leak fail` a stage that left something has failed; its own failure goes first."""
    run = Run(tmp_path, witness)
    run.start(led("deaf,daemon", "exit", code), *GENTLY, "--on-leak", "fail")
    assert run.end() == 1
    assert witness.adopted() == []
    execution = report_of(run.output)["stage_executions"][0]
    assert (execution["status"], execution["ending"]) == ("failed", ending)
    assert execution["exit_code"] == int(code)
    assert {str(one["pid"]) for one in execution["leaked_processes"]} == set(run.words("left"))
    if code == "0":
        assert "left 2 processes running" in execution["error"]


def test_what_ends_a_moment_after_its_leader_was_not_left_behind(
    tmp_path: Path, witness: Witness
) -> None:
    """The tail of a pipeline may end a little later than the stage: no leak, and no failure."""
    run = Run(tmp_path, witness)
    tail = "sleep 0.02 | (cat; echo the last line) & exit 0"
    run.start(("/bin/sh", "-c", tail), "--on-leak", "fail")
    assert run.end() == 0
    report = report_of(run.output)
    assert report["stage_executions"][0]["leaked_processes"] == []
    assert report["warnings"] == []
    assert (run.output / LOGS[0]).read_text() == "the last line\n"


def test_leak_is_told_with_what_it_is(tmp_path: Path, witness: Witness) -> None:
    """A process that was left is reported with its command, age and memory, by an event too."""
    began = time.monotonic()
    run = Run(tmp_path, witness)
    run.start(led("glutton,nameless", "exit", "0"), *GENTLY)
    assert run.end() == 0
    leaked = report_of(run.output)["stage_executions"][0]["leaked_processes"]
    nameless, glutton = sorted(leaked, key=lambda one: one["rss_bytes"])
    assert nameless["rss_bytes"] < zoo.GLUTTON_BYTES <= glutton["rss_bytes"]
    assert nameless["command"].startswith("[kworker/0:1] ")
    assert "lead glutton,nameless" in glutton["command"]
    assert all(0 <= one["age_seconds"] <= time.monotonic() - began for one in leaked)
    told = [event for event in events_of(run.output) if event["event"] == "process.leaked"]
    assert [event["process"] for event in told] == leaked


# What a stage may do to itself and to its keeper


@pytest.mark.parametrize("how", ["stopped", "headless"])
def test_stage_that_hangs_in_an_odd_way_is_ended_on_sigterm(
    tmp_path: Path, witness: Witness, how: str
) -> None:
    """A stopped stage is woken to hear SIGTERM; one without a first thread has not ended."""
    way = WAYS["timeout"]
    for haste in HASTES_MS:
        run = Run(tmp_path / haste, witness)
        stage = (*ZOO, "hang", how)
        run.start(stage, "--kill-grace-ms", HOUR_MS, "--manager-timeout-ms", haste)
        assert run.end() == way.code
        run.assert_silent(time.monotonic_ns())
        if run.has("ready"):
            break
    assert witness.adopted() == []
    assert_reported(run, way, is_still=True)
    assert "ended on SIGTERM" in report_of(run.output)["stage_executions"][0]["error"]


@pytest.mark.parametrize("animals", ["own_group,stripped", "own_group,daemon,deaf,closed,holder"])
def test_stage_that_kills_its_keeper_is_ended_all_the_same(
    tmp_path: Path, witness: Witness, animals: str
) -> None:
    """Without a keeper the session and the token tell what belongs to the stage, which failed."""
    run = Run(tmp_path, witness)
    run.start((*ZOO, "kill_keeper", animals), *GENTLY)
    with witness.reaping():
        assert run.end() == 1
    run.assert_silent(time.monotonic_ns())
    assert witness.escaped() == []
    report = report_of(run.output)
    execution = report["stage_executions"][0]
    assert (execution["status"], execution["ending"]) == ("failed", "lost")
    assert "keeps the stage's processes" in execution["error"]
    assert execution["leaked_processes"] == []


def test_stage_that_kills_its_keeper_and_is_gone_is_lost(tmp_path: Path, witness: Witness) -> None:
    """That it ends before the orchestrator has looked at it makes no difference."""
    run = Run(tmp_path, witness)
    run.start(
        ("/bin/sh", "-c", "sleep 0.1; kill -9 $PPID"), command=(sys.executable, "-c", SLOW_TO_LOOK)
    )
    with witness.reaping():
        assert run.end() == 1
    execution = report_of(run.output)["stage_executions"][0]
    assert (execution["status"], execution["ending"]) == ("failed", "lost")


def test_keeper_minds_no_signal_but_sigkill(tmp_path: Path, witness: Witness) -> None:
    """A stage that signals its parent, as some do to ask something of it, disturbs nothing."""
    run = Run(tmp_path, witness)
    names = "HUP INT QUIT ABRT USR1 USR2 PIPE ALRM TERM TSTP TTIN TTOU CHLD CONT"
    run.start(("/bin/sh", "-c", f"for name in {names}; do kill -$name $PPID; done; sleep 0.05"))
    assert run.end() == 0
    report = report_of(run.output)
    assert (report["containment"], report["warnings"]) == ("subreaper", [])


def test_orphans_that_end_do_not_pile_up(tmp_path: Path, witness: Witness) -> None:
    """While a stage runs, those of its orphans that have ended are reaped, the last one too."""
    run = Run(tmp_path, witness)
    run.start((*ZOO, "shed"))
    assert run.end() == 0
    most, last = map(int, run.words("zombies"))
    assert most < zoo.FORKS_MAX / 3
    assert last == 0
    assert witness.adopted() == []


# Gently first


@pytest.mark.parametrize(
    ("how", "heard"),
    [
        ("tidy", ["leader:SIGTERM", "worker:SIGUSR1", "leader:ends"]),
        ("leave", ["leader:SIGTERM", "leader:ends", "worker:SIGTERM"]),
    ],
)
def test_leader_may_tidy_up_its_workers(
    tmp_path: Path, witness: Witness, how: str, heard: list[str]
) -> None:
    """Workers in another session hear SIGTERM only once their leader is gone, if they are left."""
    run = Run(tmp_path, witness)
    run.start((*ZOO, "employ", how), "--kill-grace-ms", HOUR_MS)
    run.wait_for("ready")
    run.process.send_signal(signal.SIGTERM)
    assert run.end() == 143
    assert run.words("heard") == heard
    assert witness.adopted() == []


@pytest.mark.parametrize(
    ("grace_ms", "manager_grace_ms", "animals", "told"),
    [(HOUR_MS, "50", "deaf", "was killed"), ("0", HOUR_MS, "daemon", "ended on SIGTERM")],
)
def test_stage_has_a_grace_of_its_own(
    tmp_path: Path, witness: Witness, grace_ms: str, manager_grace_ms: str, animals: str, told: str
) -> None:
    """What is said of the grace for a stage goes before what is said for all."""
    graces = ("--kill-grace-ms", grace_ms, "--manager-kill-grace-ms", manager_grace_ms)
    way = Way(124, "timeout", "timed_out", options=(*graces, "--manager-timeout-ms", "HASTE"))
    run = end_in(way, animals, tmp_path, witness)
    assert told in report_of(run.output)["stage_executions"][0]["error"]


# Slow stages, and what they print


def test_slow_stage_is_told_again_and_again(tmp_path: Path, witness: Witness) -> None:
    """A slow stage gives an event each time with what it printed last, one warning, and goes on."""
    run = Run(tmp_path, witness)
    run.start((*ZOO, "chat", "40"), "--manager-slow-after-ms", "80")
    assert run.end() == 0
    slow = [event for event in events_of(run.output) if event["event"] == "stage.slow"]
    assert len(slow) >= 3
    elapsed = [event["elapsed_ms"] for event in slow]
    assert elapsed == sorted(elapsed)
    assert all(80 * number <= ms for number, ms in enumerate(elapsed, start=1))
    assert "line " in slow[-1]["stdout_tail"].splitlines()[-1]
    assert "remark " in slow[-1]["stderr_tail"].splitlines()[-1]
    assert slow[0]["stdout_tail"] != slow[-1]["stdout_tail"]
    report = report_of(run.output)
    (warning,) = report["warnings"]
    assert "'manager' is slow" in warning
    assert report["stage_executions"][0]["status"] == "success"


def memory_after(run: Run, *stage: str) -> int:
    """The most memory the orchestrator has had, in bytes, when that stage has ended."""
    script = f"grep VmHWM /proc/{ORCHESTRATOR_PID}/status >memory"
    run.start(stage, executor=shell("executor", script))
    assert run.end() == 0
    return int(run.words("memory")[1]) * 1024


def test_memory_stays_flat_whatever_a_stage_prints(tmp_path: Path, witness: Witness) -> None:
    """A stage that prints 50 MB costs the orchestrator no more than one that prints nothing."""
    count = 50 * MEGABYTE
    loud, quiet = Run(tmp_path / "loud", witness), Run(tmp_path / "quiet", witness)
    of_quiet = memory_after(quiet, "true")
    of_loud = memory_after(loud, *led("0", "speak", str(count)))
    assert [(loud.output / log).stat().st_size for log in LOGS] == [count // 2, count // 2]
    assert of_loud - of_quiet < 4 * MEGABYTE


@pytest.mark.parametrize(("animals", "end"), [("0", "print"), ("0", "speak"), ("printer", "stay")])
def test_no_more_than_the_output_limit_is_kept(
    tmp_path: Path, witness: Witness, animals: str, end: str
) -> None:
    """Both logs together hold at most the limit, even if a stage prints on through its grace."""
    run = Run(tmp_path, witness)
    count = ("400000",) if end != "stay" else ()
    run.start(led(animals, end, *count), "--kill-grace-ms", "200", "--manager-output-limit", "5000")
    assert run.end() == 1
    execution = report_of(run.output)["stage_executions"][0]
    assert (execution["status"], execution["ending"]) == ("failed", "output_limit")
    assert sum((run.output / log).stat().st_size for log in LOGS) == 5000
    assert witness.adopted() == []


@pytest.mark.parametrize("way", ["exits", "timeout", "SIGTERM"])
def test_what_is_printed_while_it_is_ended_keeps_to_the_limit_too(
    tmp_path: Path, witness: Witness, way: str
) -> None:
    """However a stage is ended, what it prints in its grace leaves no more than the limit."""
    options = ("--kill-grace-ms", "100", "--manager-output-limit", str(LIMIT))
    way_there = replace(WAYS[way], options=(*WAYS[way].options[2:], *options))
    run = end_in(way_there, "retort", tmp_path, witness)
    assert sum((run.output / log).stat().st_size for log in LOGS) <= LIMIT < zoo.RETORT_BYTES


# An orchestrator that is killed at any moment

FAMILY: Final = "deaf,daemon,nameless"
KILLS, LANES, PARTS = 50, 4, 2
MOMENT_SECONDS_MAX: Final = 0.6


class Starter:
    """Starts orchestrators, one after another, in no time: each is the fork of one all loaded."""

    def __init__(self, witness: Witness) -> None:
        self._process = witness.start(
            *(sys.executable, "-c", STARTER),
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def run_for(self, run: Run, seconds: float, *arguments: str) -> float:
        """Start the command in the directory of a run, and SIGKILL it then; the time of that."""
        request = json.dumps([str(run.directory), *arguments])
        print(request, file=self._process.stdin, flush=True)
        pid = self._say()
        time.sleep(seconds)
        os.kill(pid, signal.SIGKILL)
        killed_at = time.monotonic()
        assert self._say() == signal.SIGKILL, "the run has ended by itself"
        return killed_at

    def _say(self) -> int:
        assert self._process.stdout is not None
        return int(self._process.stdout.readline())


def belonging(directory: Path) -> list[int]:
    """What is alive of a run: by the directory it is in, or by its environment."""
    mark = os.fsencode(directory / "state")
    found = []
    for pid in zoo.below(os.getpid()):
        with contextlib.suppress(OSError):
            if Path(f"/proc/{pid}/cwd").readlink() == directory or mark in proc(pid, "environ"):
                found.append(pid)
    return found


def kill_after(seconds: float, run: Run, starter: Starter | None, *, is_resumed: bool) -> None:
    """Kill an orchestrator so long after its start, the command's own without a starter."""
    if starter is None:
        run.start(led(FAMILY, "stay"))
        time.sleep(seconds)
        run.process.kill()
        killed_at = time.monotonic()
        run.end()
    else:
        arguments = ("run", "out", *options_of(led(FAMILY, "stay")))
        killed_at = starter.run_for(run, seconds, *arguments)
    if is_resumed and (run.output / CHECKPOINT).exists():
        run.resume()
        run.assert_attempts_apart()
    while alive := belonging(run.directory):
        assert time.monotonic() < killed_at + GONE_SECONDS or is_resumed, described(alive)
        time.sleep(0.05)


@pytest.mark.parametrize("part", range(PARTS))
def test_nothing_outlives_an_orchestrator_killed_at_any_moment(
    tmp_path: Path, witness: Witness, part: int
) -> None:
    """One second after SIGKILL nothing is alive, and a resume at once never meets what was."""
    seed = f"{random.getrandbits(32)}.{part}"
    chance = random.Random(seed)  # noqa: S311 - moments, no secrets
    moments = [chance.uniform(0, MOMENT_SECONDS_MAX) for _ in range(KILLS)]

    def kill_some(lane: int) -> None:
        starter = Starter(witness)
        for number in range(lane, KILLS, LANES):
            run = Run(tmp_path / f"{number:02}", witness)
            used = None if number % 10 == 0 else starter
            try:
                kill_after(moments[number], run, used, is_resumed=number % 10 == 1)
            except Exception as error:
                told = f"seed {seed}, kill {number}, {moments[number]:.3f} s after its start"
                raise AssertionError(f"{told}: {error}") from error

    with ThreadPoolExecutor(LANES) as lanes:
        for lane in [lanes.submit(kill_some, number) for number in range(LANES)]:
            lane.result()
    witness.wait_until_gone(time.monotonic() + GONE_SECONDS)


# A keeper that is killed too, or stopped


@pytest.mark.parametrize(
    "animals",
    [
        "deaf,daemon,closed,holder,stopped,nested",
        "stripped,own_group",
        "tree,respawner",
        "headless",
    ],
)
def test_resume_ends_what_is_left_when_the_keeper_was_killed_too(
    tmp_path: Path, witness: Witness, animals: str
) -> None:
    """Token and session tell what was left; it is gone before anything is started."""
    run = Run(tmp_path, witness)
    run.start(led(animals, "stay"), *GENTLY)
    run.wait_for("ready")
    run.kill_with_keeper()
    left = set(map(int, run.words("ready")))
    assert left <= set(witness.escaped())
    run.resume()
    assert witness.escaped() == []
    run.assert_attempts_apart()
    run.assert_silent(time.monotonic_ns())
    told = next(one for one in events_of(run.output) if one["event"] == "attempt.interrupted")
    assert left <= set(told["ended_pids"])


def test_resume_takes_the_dead_for_dead_where_nobody_reaps_them(
    tmp_path: Path, witness: Witness
) -> None:
    """In a container without an init process a zombie stays: it is nothing to wait for."""
    run = Run(tmp_path, witness)
    run.start(led("deaf,daemon", "stay"), *GENTLY)
    run.wait_for("ready")
    run.kill_with_keeper()
    run.resume(is_reaped=False)
    assert witness.escaped() == []
    run.assert_attempts_apart()


def test_resume_lets_a_stopped_keeper_do_its_work(tmp_path: Path, witness: Witness) -> None:
    """A keeper that was stopped goes on, and ends what nobody else could find."""
    run = Run(tmp_path, witness)
    run.start(led(TOGETHER, "stay"), *GENTLY)
    run.wait_for("ready")
    keeper = run.kill_with_keeper(leave_keeper=True)
    assert len(zoo.below(keeper)) >= len(TOGETHER.split(","))
    run.resume()
    assert witness.escaped() == []
    run.assert_attempts_apart()
    run.assert_silent(time.monotonic_ns())


@pytest.mark.parametrize("whose", ["pid", "keeper_pid"])
def test_stranger_with_a_recorded_pid_is_left_alone(
    tmp_path: Path, witness: Witness, whose: str
) -> None:
    """A pid that has come to belong to somebody else is told by its identity: he lives on."""
    run = Run(tmp_path, witness)
    stranger = witness.start("/bin/sh", "-c", "sleep 600; exit", start_new_session=True)
    run.start(led("own_group", "stay"))
    run.wait_for("ready")
    identity = table.identity(checkpoint_of(run.output)["open_attempt"][whose])
    run.process.kill()
    run.end()
    witness.wait_until_gone(time.monotonic() + GONE_SECONDS)
    checkpoint = checkpoint_of(run.output)
    assert identity in checkpoint["open_attempt"].values()
    checkpoint["open_attempt"][whose] = stranger.pid
    (run.output / CHECKPOINT).write_text(json.dumps(checkpoint))
    report = run.resume()
    assert statuses(report)[0] == ("manager", "success")
    assert stranger.poll() is None


# Without a keeper


@pytest.mark.parametrize("way", ["exits", "timeout", "SIGTERM"])
@pytest.mark.parametrize("animals", ["deaf,stripped,own_group", "jobs"])
def test_without_a_keeper_the_session_is_ended(
    tmp_path: Path, witness: Witness, animals: str, way: str
) -> None:
    """Where no keeper can be had a run works, ends the session, and says how far that goes."""
    expected = WAYS[way]
    run = end_in(
        expected, animals, tmp_path, witness, command=(sys.executable, "-c", WITHOUT_KEEPER)
    )
    assert witness.escaped() == []
    report = report_of(run.output)
    execution = report["stage_executions"][0]
    assert report["containment"] == "process_group"
    assert (execution["status"], execution["ending"]) == (expected.status, expected.ending)
    assert report["warnings"][0].endswith("cannot be found and ended here: none is to be had today")
    leaked = {str(one["pid"]) for one in execution["leaked_processes"]}
    assert leaked == (set(run.words("left")) if way == "exits" else set())
    assert len(report["warnings"]) == (2 if way == "exits" else 1)
    assert_black_box(run, execution, is_still=True)
