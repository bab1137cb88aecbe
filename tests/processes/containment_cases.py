"""Start runs whose stages try to get away, and find what has got away.

While a test runs, this process is a child subreaper: whatever gets away from a run comes to it,
even a process without the name, session or environment to recognize it by. The animals are in
zoo.py.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from tests.processes import living, zoo
from tests.support import forked
from tests.support.command import PASSING, checkpoint_of, environment, read_json, report_of, start
from tests.support.patience import PATIENCE_SECONDS, Deadline
from tests.support.schema_checks import Written

GONE_SECONDS: Final = 1.0
"""The seconds for which a stage may outlive its killed orchestrator if nothing else ends it."""
HASTES_MS: Final = ("300", "1500", "6000")
"""Time limits, from one that is enough to one that is enough on a very busy machine."""
HOUR_MS: Final = "3600000"
PYTHON: Final = (sys.executable, "-I", "-S")
ZOO: Final = (*PYTHON, zoo.__file__)
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


class Witness:
    """Sees whatever gets away from the runs of a test, because it comes to this process."""

    def __init__(self) -> None:
        forked.prepare(environment())  # a run has not left it
        self._before = set(living.children().get(os.getpid(), ()))
        self._started: list[subprocess.Popen[str]] = []

    def start(self, *command: str, **settings: Any) -> subprocess.Popen[str]:
        """Start a process that is meant to be a child of this one."""
        return self.expect(subprocess.Popen(command, text=True, **settings))

    def expect(self, process: subprocess.Popen[str]) -> subprocess.Popen[str]:
        """Expect a process here, so that it does not count as an escape."""
        self._started.append(process)
        return process

    def adopted(self) -> list[int]:
        """Return the processes that came to this one, zombies included."""
        ours = self._before | {process.pid for process in self._started}
        return [pid for pid in living.children().get(os.getpid(), ()) if pid not in ours]

    def escaped(self) -> list[int]:
        """Return the live processes among the adopted ones and below them."""
        adopted = self.adopted()
        alive = [pid for pid in adopted if not living.is_zombie(pid)]
        return [*alive, *living.below(*adopted)]

    @contextlib.contextmanager
    def reaping(self) -> Iterator[None]:
        """Reap at once the ended processes that come to this one, as init does."""
        is_over = threading.Event()

        def reap() -> None:
            while not is_over.wait(0.01):
                for pid in self.adopted():
                    with contextlib.suppress(ChildProcessError):  # another thread reaped it first
                        os.waitpid(pid, os.WNOHANG)

        thread = threading.Thread(target=reap)
        thread.start()
        try:
            yield
        finally:
            is_over.set()
            thread.join()

    def wait_until_gone(self, since: float | None = None) -> None:
        """Wait until no adopted process is alive; fail when that takes too long."""
        deadline = Deadline(GONE_SECONDS, since)
        while escaped := self.escaped():
            assert not deadline.is_over, f"still alive: {described(escaped)}"
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


def described(pids: list[int]) -> list[str]:
    """Describe processes for a message."""
    return [f"{pid} {proc(pid, 'cmdline')!r} {living.stat_of(pid)}" for pid in pids]


def proc(pid: int, name: str) -> bytes:
    """Return a file of /proc; empty when the process is gone or belongs to another user."""
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""


def bearers(token: str) -> list[int]:
    """Return the processes with the token of an attempt in their environment."""
    pids = (int(entry) for entry in os.listdir("/proc") if entry.isdigit())
    return [pid for pid in pids if token.encode() in proc(pid, "environ")]


@dataclass(frozen=True, slots=True)
class Life:
    """The first and last sign of life of a member, in nanoseconds."""

    attempt: int
    pid: int
    start: int
    first: int
    last: int


def options_of(stage: tuple[str, ...]) -> tuple[str, ...]:
    """Return options that pass the gates and make `stage` the first stage."""
    words = (f"--manager-arg={word}" for word in stage[1:])
    return (*PASSING, "--manager-bin", stage[0], *words)


class Run:
    """A run in its own directory, whose `manager` is one of the programs of zoo.py."""

    def __init__(self, directory: Path, witness: Witness) -> None:
        self.directory = directory
        self.output = directory / "out"
        self._witness = witness
        (directory / "beats").mkdir(parents=True)

    def start(
        self,
        stage: tuple[str, ...],
        *options: str,
        command: tuple[str, ...] = (),
        executor: tuple[str, ...] = QUIET_EXECUTOR,
    ) -> None:
        """Start the run with its gates passed; the second stage does nothing.

        A given `command` is executed; otherwise this checkout's is forked where that is equivalent.
        """
        self._launch(*options_of(stage), *executor, *options, command=command)

    def resume(self, *options: str, is_reaped: bool = True) -> dict[str, Any]:
        """Resume the run to done, its stage calm from now on; return the report."""
        (self.directory / "calm").touch()
        self._launch(*(options or ("--resume",)))
        with self._witness.reaping() if is_reaped else contextlib.nullcontext():
            _, stderr = self.process.communicate(timeout=PATIENCE_SECONDS)
        assert self.process.returncode == 0, stderr
        self.written.assert_valid()
        report = report_of(self.output)
        assert report["terminal_state"] == "done"
        return report

    def _launch(self, *options: str, command: tuple[str, ...] = ()) -> None:
        self.written = Written(("out",), self.directory)
        if not command:
            self.process = self._witness.expect(start("run", "out", *options, cwd=self.directory))
            return
        self.process = self._witness.start(
            *(*command, "run", "out", *options),
            cwd=self.directory,
            env=environment(XDG_STATE_HOME=str(self.directory / "state")),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def has(self, name: str) -> bool:
        """Return True if the file exists."""
        return (self.directory / name).exists()

    def words(self, name: str) -> list[str]:
        """Return the words in a file of the stage."""
        return (self.directory / name).read_text().split()

    def starts(self) -> dict[int, int]:
        """Return when each process that gave a sign of life was started, in clock ticks, by pid."""
        names = (path.name.split(".") for path in (self.directory / "beats").iterdir())
        return {int(pid): int(start) for _, pid, start in names}

    def wait_for(self, name: str) -> None:
        """Wait for a file; fail when the run ends without it."""
        give_up_at = time.monotonic() + PATIENCE_SECONDS
        while not self.has(name):
            assert time.monotonic() < give_up_at, f"no {name}"
            assert self.process.poll() is None, f"no {name}: {self.process.communicate()}"
            time.sleep(0.004)

    def end(self) -> int:
        """Wait for the run's end; return the exit code. Files are valid unless it was killed."""
        self.process.communicate(timeout=PATIENCE_SECONDS)
        if self.process.returncode >= 0:
            self.written.assert_valid()
        return self.process.returncode

    def kill_with_keeper(self, *, leave_keeper: bool = False) -> int:
        """SIGKILL the orchestrator and its keeper, which cannot act; return the keeper's pid."""
        keeper: int = checkpoint_of(self.output)["open_attempts"][0]["keeper_pid"]
        os.kill(keeper, signal.SIGSTOP)
        while (stat := living.stat_of(keeper)) is not None and stat[0] != "T":
            os.sched_yield()
        self.process.kill()
        self.process.communicate(timeout=PATIENCE_SECONDS)
        if not leave_keeper:
            os.kill(keeper, signal.SIGKILL)
            os.waitpid(keeper, 0)
        return keeper

    def lives(self) -> list[Life]:
        """Return what the members have noted of themselves."""
        lives = []
        for path in (self.directory / "beats").iterdir():
            stamps = path.read_text().split()
            if stamps:
                attempt, pid, start = map(int, path.name.split("."))
                lives.append(Life(attempt, pid, start, int(stamps[0]), int(stamps[-1])))
        return lives

    def assert_silent(self, since_ns: int) -> None:
        """Assert no sign of life since then, and no process with the attempt's token."""
        time.sleep(3 * living.BEAT_SECONDS)
        for life in self.lives():
            assert life.last <= since_ns, f"{life} lived on"
            stat = living.stat_of(life.pid)
            is_another = stat is None or stat[2] != life.start
            assert is_another or living.is_zombie(life.pid), f"{life} is alive"
        if self.has("token"):  # otherwise its first process was ended before it wrote anything
            assert bearers(self.words("token")[0]) == []

    def assert_attempts_apart(self) -> None:
        """Assert that no member of an attempt lived while a member of the next one did."""
        ends: dict[int, list[Life]] = {}
        for life in self.lives():
            ends.setdefault(life.attempt, []).append(life)
        for earlier, later in itertools.pairwise(sorted(ends)):
            last = max(life.last for life in ends[earlier])
            first = min(life.first for life in ends[later])
            assert last < first, f"attempts {earlier} and {later} were alive at once"


@dataclass(frozen=True, slots=True)
class Way:
    """A way for a stage to end, and its expected result.

    `end` is what the leader does when all members are alive, `signals` what the orchestrator gets:
    the first one then, the second one when the leader was signaled. HASTE is one of HASTES_MS.
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


def led(animals: str, *end: str) -> tuple[str, ...]:
    """Return the stage with these animals; `jobs` are those of a shell."""
    if animals == "jobs":
        return ("/bin/sh", "-c", JOBS, sys.executable, zoo.__file__, *end)
    return (*ZOO, "lead", animals, *end)


def end_in(
    way: Way,
    animals: str,
    directory: Path,
    witness: Witness,
    command: tuple[str, ...] = (),
) -> Run:
    """End a stage with these animals in the given way, once all of them are alive.

    Where the machine was too busy for that within the time limit, repeat with a longer one.
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
            witness.wait_until_gone(killed_at)
        run.assert_silent(time.monotonic_ns())
        if run.has("ready"):
            return run
    return pytest.fail("the members were never all alive")


def assert_reported(run: Run, way: Way, *, is_still: bool) -> None:
    """Assert that the report says how the stage ended and what it left, and nothing else."""
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
        assert count >= len(left)  # a forking process continues until it is ended
        assert (f"{count} processes" if count > 1 else "1 process") in warning
    for one in leaked:
        assert one["command"]
        assert one["age_seconds"] >= 0
        assert one["rss_bytes"] > 0 or one["command"].startswith(
            "["
        )  # a name in brackets: it has no memory
    assert_black_box(run, execution, is_still=is_still)


def assert_black_box(run: Run, execution: Mapping[str, Any], *, is_still: bool) -> None:
    """Assert that only a stage that took too long has a black box, which names every process."""
    is_due = execution["status"] == "timeout"
    assert execution["postmortem"] == (POSTMORTEM if is_due else None)
    assert execution["no_postmortem"] is None
    assert (run.output / POSTMORTEM).exists() == is_due
    if is_due:
        box = read_json(run.output / POSTMORTEM)
        named = [one["pid"] for one in box["processes"]]
        assert len(set(named)) == len(named)
        assert named or not box["is_complete"]  # a busy machine had no time for it
        if is_still and named:
            assert str(named[0]) == run.words("leader")[0]
            missing = set(map(int, run.words("ready"))) - set(named)
            is_long = (
                len(run.words("ready")) > 100 and not box["is_complete"]
            )  # there was no time for it
            # The stage may have started the last of them after the box was filled.
            started = run.starts()
            youngest = max(started.get(pid, 0) for pid in named)
            assert is_long or all(started.get(pid, 0) >= youngest for pid in missing)
