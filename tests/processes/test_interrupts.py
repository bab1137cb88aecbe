from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from fsm_orchestrator import RunConfig, StageGiven, resume, run
from fsm_orchestrator.engine import left_alive
from fsm_orchestrator.errors import OperationError
from fsm_orchestrator.processes import kept, table
from fsm_orchestrator.processes.contained import Collected
from fsm_orchestrator.vocabulary import Gate, Operation
from tests.support.command import (
    CHECKPOINT,
    COMMAND,
    EVENTS,
    PASSING,
    REPORT,
    accepting,
    checkpoint_of,
    environment,
    events_of,
    orchestrate,
    read_json,
    report_of,
    shell,
    statuses,
)
from tests.support.patience import PATIENCE_SECONDS

pytestmark = pytest.mark.one_in(2)

WATCHDOG_SECONDS = PATIENCE_SECONDS
LONG_MS = "600000"
"""Longer than any test may take: no test may wait this long."""

BLOCKS_ONCE = 'if test "$ORCHESTRATOR_ATTEMPT" = 1; then echo $$ >words; exec sleep 600; fi'
IGNORES_SIGTERM_ONCE = f"trap '' TERM; {BLOCKS_ONCE}"
TELLS_OF_SIGTERM = """
import os, signal
words = os.open("words", os.O_WRONLY)
signal.signal(signal.SIGTERM, lambda *_: os.write(words, b"SIGTERM came\\n"))
os.write(words, b"%d\\n" % os.getpid())
while True:
    signal.pause()
"""
HOLDS_A_LOCK = """
import fcntl, os, signal, sys
lock = open("held", "a")
try:
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    sys.exit("two at once")
if os.environ["ORCHESTRATOR_ATTEMPT"] == "1":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with open("words", "w") as words:
        words.write("%d\\n" % os.getpid())
    signal.pause()
"""


class Running:
    """An orchestrator at work in `out`, whose stages report their progress to the test.

    A stage writes lines into the FIFO `words` in its directory. Whatever the result of the test,
    every process that this object knows is ended after it.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.output = directory / "out"
        os.mkfifo(directory / "words")
        # Also open for writing: the end of a stage is then no end of file, and opening never waits.
        self._descriptor = os.open(directory / "words", os.O_RDWR | os.O_NONBLOCK)
        self._unread = b""
        self._known: list[psutil.Process] = []
        self._orchestrator: subprocess.Popen[str] | None = None

    def start(self, *options: str, prefix: tuple[str, ...] = ()) -> None:
        """Start a run with its gates passed; `manager` does nothing."""
        self._orchestrator = subprocess.Popen(
            [*prefix, *COMMAND, "run", "out", *PASSING, *options],
            cwd=self.directory,
            env=environment(XDG_STATE_HOME=str(self.directory / "state")),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def hear(self) -> str:
        """Return the next line of a stage; fail when none comes."""
        give_up_at = time.monotonic() + WATCHDOG_SECONDS
        while b"\n" not in self._unread:
            if select.select([self._descriptor], [], [], 1.0)[0]:
                self._unread += os.read(self._descriptor, 4096)
            elif self._orchestrator is not None and self._orchestrator.poll() is not None:
                pytest.fail(
                    f"ended before a stage said anything: {self._orchestrator.communicate()}"
                )
            assert time.monotonic() < give_up_at, "no stage has said anything"
        line, _, self._unread = self._unread.partition(b"\n")
        return line.decode()

    def hear_pid(self) -> int:
        """Return the next line as a stage's pid."""
        pid = int(self.hear())
        self.track(pid)
        return pid

    def track(self, pid: int) -> None:
        """Remember a process, to end it whatever happens to the test."""
        with contextlib.suppress(psutil.NoSuchProcess):
            self._known.append(psutil.Process(pid))

    def signal(self, signum: int) -> None:
        """Signal the orchestrator alone."""
        assert self._orchestrator is not None
        self._orchestrator.send_signal(signum)

    def end(self) -> int:
        """Wait for the orchestrator's end; return its exit code."""
        assert self._orchestrator is not None
        self._orchestrator.communicate(timeout=WATCHDOG_SECONDS)
        return self._orchestrator.returncode

    def resume(self, *options: str) -> dict[str, Any]:
        """Resume the run to done with the given options; return its report."""
        ended = orchestrate("out", *(options or ("--resume",)), cwd=self.directory)
        assert ended.code == 0, ended.stderr
        return report_of(self.output)

    def close(self) -> None:
        """End what is left, and release everything."""
        if self._orchestrator is not None and self._orchestrator.poll() is None:
            self._orchestrator.kill()
            self._orchestrator.communicate()
        for known in self._known:
            with contextlib.suppress(psutil.NoSuchProcess):
                known.kill()
        os.close(self._descriptor)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    """Yield an orchestrator to start; nothing of it is left when the test is over."""
    running = Running(tmp_path)
    yield running
    running.close()


@pytest.fixture(autouse=True)
def signals_not_ignored() -> Iterator[None]:
    """Let children start with default signals, even where the tests run in the background."""
    ignored = [
        signum
        for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
        if signal.getsignal(signum) is signal.SIG_IGN
    ]
    for signum in ignored:
        signal.signal(signum, signal.SIG_DFL)
    yield
    for signum in ignored:
        signal.signal(signum, signal.SIG_IGN)


@pytest.fixture
def stranger(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Yield a live process unrelated to any run, which leads a separate session."""
    process = subprocess.Popen(["/bin/sleep", "600"], cwd=tmp_path, start_new_session=True)
    yield process
    process.kill()
    process.wait()


def is_alive(pid: int) -> bool:
    """Return True if the process exists; one that only waits to be reaped is gone."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def eventually(holds: Callable[[], bool]) -> None:
    """Wait for a condition that nothing reports; fail if it does not become true."""
    give_up_at = time.monotonic() + WATCHDOG_SECONDS
    while not holds():
        assert time.monotonic() < give_up_at, "it did not come true"
        time.sleep(0.01)


def python(stage: str, code: str) -> tuple[str, ...]:
    """Return options that make a stage run Python code."""
    words = (sys.executable, "-I", "-S", "-c", code)
    return (f"--{stage}-bin", words[0], *(f"--{stage}-arg={word}" for word in words[1:]))


def both(executor: tuple[str, ...]) -> tuple[str, ...]:
    """Return a manager that succeeds, and the executor that the test is about."""
    return (*shell("manager", "exit 0"), *executor)


# Signals to the orchestrator


@pytest.mark.parametrize(
    ("name", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129), ("SIGQUIT", 131)]
)
def test_signal_ends_the_run_and_a_resume_completes_it(
    running: Running, name: str, code: int
) -> None:
    """A signal ends stage and run, with a report of it; a resume continues from there."""
    script = f"sleep 600 & echo $! >words; {BLOCKS_ONCE}; kill $!"
    running.start(*both(shell("executor", script)))
    background, stage = running.hear_pid(), running.hear_pid()
    running.signal(signal.Signals[name])
    assert running.end() == code
    assert [is_alive(background), is_alive(stage)] == [False, False]
    report = report_of(running.output)
    assert (report["terminal_state"], report["exit_code"]) == ("failed", code)
    assert (report["current_state"], report["closure_ready"]) == ("failed", False)
    assert statuses(report) == [("manager", "success"), ("executor", "interrupted")]
    execution = report["stage_executions"][1]
    assert name in execution["error"]
    assert execution["exit_code"] is None
    assert report["transitions"][-1]["trigger"] == "run_aborted"
    assert {path.name for path in running.output.iterdir()} == {
        *(REPORT, CHECKPOINT, EVENTS, "orchestrator.lock", "logs", ".gitignore")
    }
    resumed = running.resume()
    assert (resumed["terminal_state"], resumed["closure_ready"]) == ("done", True)
    assert statuses(resumed) == [("manager", "skipped"), ("executor", "success")]
    assert resumed["stage_executions"][1]["attempt"] == 2
    (earlier,) = resumed["earlier_invocations"]
    assert earlier["exit_code"] == code
    assert earlier["stage_executions"] == report["stage_executions"]


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_second_signal_kills_at_once(running: Running, second: signal.Signals) -> None:
    """A stage that ignores SIGTERM has its grace until a second signal; the first one counts."""
    running.start(*python("manager", TELLS_OF_SIGTERM), "--kill-grace-ms", LONG_MS)
    stage = running.hear_pid()
    running.signal(signal.SIGINT)
    assert running.hear() == "SIGTERM came"
    running.signal(second)
    assert running.end() == 130
    assert not is_alive(stage)
    report = report_of(running.output)
    assert statuses(report) == [("manager", "interrupted")]
    assert "SIGINT" in report["stage_executions"][0]["error"]


def test_signal_ends_background_children_that_ignore_it(running: Running) -> None:
    """A background child that ignores SIGTERM and SIGHUP is gone with its stage."""
    background = "trap '' TERM HUP; echo ready >words; exec sleep 600"
    script = f"({background}) & echo $! >words; wait"
    running.start(*shell("manager", script), "--kill-grace-ms", "50")
    (pid,) = (int(word) for word in (running.hear(), running.hear()) if word != "ready")
    running.track(pid)
    running.signal(signal.SIGTERM)
    assert running.end() == 143
    assert not is_alive(pid)
    assert statuses(report_of(running.output)) == [("manager", "interrupted")]


@pytest.mark.parametrize("name", ["HUP", "INT"])
def test_signal_that_was_ignored_from_the_start_stays_ignored(running: Running, name: str) -> None:
    """A run started as by nohup continues through the signal, to done."""
    os.mkfifo(running.directory / "go-on")
    prefix = ("/bin/sh", "-c", f"trap '' {name}; exec \"$@\"", "sh")
    script = "echo ready >words; read line <go-on"
    running.start(*shell("manager", script), *shell("executor", "exit 0"), prefix=prefix)
    assert running.hear() == "ready"
    running.signal(signal.Signals[f"SIG{name}"])
    (running.directory / "go-on").write_text("now\n")
    assert running.end() == 0
    report = report_of(running.output)
    assert statuses(report) == [("manager", "success"), ("executor", "success")]


# A killed orchestrator


def test_killed_orchestrator_leaves_an_attempt_that_a_resume_settles(running: Running) -> None:
    """A resume reports the attempt whose end nobody saw, ends what is left of it, then runs."""
    running.start(*both(python("executor", HOLDS_A_LOCK)), "--kill-grace-ms", "50")
    stage = running.hear_pid()
    running.signal(signal.SIGKILL)
    assert running.end() == -signal.SIGKILL
    report = running.resume()
    assert not is_alive(stage)
    assert report["terminal_state"] == "done"
    assert statuses(report) == [("manager", "skipped"), ("executor", "success")]
    assert report["stage_executions"][1]["attempt"] == 2
    (earlier,) = report["earlier_invocations"]
    assert (earlier["finished_at"], earlier["exit_code"]) == (None, None)
    assert statuses(earlier) == [("manager", "success"), ("executor", "interrupted")]
    interrupted = earlier["stage_executions"][1]
    assert interrupted["attempt"] == 1
    assert interrupted["error"].startswith("interrupted: ")
    assert interrupted["stdout_log"] == "logs/executor.1.stdout.log"
    names = [event["event"] for event in events_of(running.output)]
    last_start = len(names) - 1 - names[::-1].index("stage.started")
    assert names.index("attempt.interrupted") < last_start


def test_leftover_without_its_environment_is_found_by_its_pid(running: Running) -> None:
    """A leftover that has dropped its environment is found by its recorded pid."""
    script = 'if test "$ORCHESTRATOR_ATTEMPT" = 1; then exec env -i /bin/sh -c "$0"; fi'
    blocks = "echo $$ >words; exec sleep 600"
    running.start(*both((*shell("executor", script), f"--executor-arg={blocks}")))
    stage = running.hear_pid()
    eventually(lambda: checkpoint_of(running.output)["open_attempts"][0]["pid"] is not None)
    attempt = checkpoint_of(running.output)["open_attempts"][0]
    assert attempt["pid"] == stage
    assert attempt["pid_identity"] == table.identity(stage)
    running.signal(signal.SIGKILL)
    running.end()
    running.resume()
    assert not is_alive(stage)


def test_leftover_whose_pid_was_not_recorded_is_found_by_its_token(running: Running) -> None:
    """A stage whose orchestrator is killed before it records the pid is found by its token."""
    running.start(*both(shell("executor", BLOCKS_ONCE)))
    stage = running.hear_pid()
    running.signal(signal.SIGKILL)
    running.end()
    change_open_attempt(running.output, pid=None, pid_identity=None)
    report = running.resume(*accepting(running.output))
    assert not is_alive(stage)
    assert statuses(report) == [("manager", "skipped"), ("executor", "success")]


def test_stranger_that_has_the_pid_now_is_left_alone(
    running: Running, stranger: subprocess.Popen[bytes]
) -> None:
    """A process that has a recorded pid, but another identity, is left alone."""
    running.start(*both(shell("executor", BLOCKS_ONCE)))
    stage = running.hear_pid()
    identity = table.identity(stage)
    running.signal(signal.SIGKILL)
    running.end()
    with contextlib.suppress(ProcessLookupError):  # the keeper ends it as well
        os.kill(stage, signal.SIGKILL)
    change_open_attempt(running.output, pid=stranger.pid, pid_identity=identity)
    report = running.resume(*accepting(running.output))
    assert statuses(report) == [("manager", "skipped"), ("executor", "success")]
    assert statuses(report["earlier_invocations"][0])[-1] == ("executor", "interrupted")
    assert stranger.poll() is None


def test_new_run_ends_what_a_killed_one_left(running: Running) -> None:
    """Without --resume too, nothing runs before the earlier run's process has ended."""
    running.start(*both(python("executor", HOLDS_A_LOCK)), "--kill-grace-ms", "50")
    stage = running.hear_pid()
    running.signal(signal.SIGKILL)
    running.end()
    run_id = checkpoint_of(running.output)["run_id"]
    takes_the_lock = "import fcntl; fcntl.flock(open('held'), fcntl.LOCK_EX | fcntl.LOCK_NB)"
    ended = orchestrate("out", *PASSING, *python("manager", takes_the_lock), cwd=running.directory)
    assert ended.code == 0, ended.stderr
    assert not is_alive(stage)
    archived = read_json(running.output / "archive" / run_id / CHECKPOINT)
    assert archived["open_attempts"][0]["stage"] == "executor"


def change_open_attempt(output: Path, **changes: int | str | None) -> None:
    """Write into the checkpoint what a crash at another moment would have left in it."""
    checkpoint = checkpoint_of(output)
    checkpoint["open_attempts"][0].update(changes)
    (output / CHECKPOINT).write_text(json.dumps(checkpoint))


def test_leftover_that_cannot_be_ended_is_not_forgotten(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The resume fails and starts nothing; the next one still knows what it has to end."""
    running.start(*both(python("executor", HOLDS_A_LOCK)), "--kill-grace-ms", "50")
    stage = running.hear_pid()
    running.signal(signal.SIGKILL)
    running.end()
    before = (running.output / CHECKPOINT).read_bytes()

    def cannot(*_: object) -> tuple[int, ...]:
        raise OperationError(Operation.ATTEMPT_END, "cannot end process 4711")

    monkeypatch.setenv("XDG_STATE_HOME", str(running.directory / "state"))
    with monkeypatch.context() as patch:
        patch.setattr(left_alive, "end_leftovers", cannot)
        report = resume(RunConfig(output_directory=running.output))
    assert (report.exit_code, report.terminal_state) == (1, "failed")
    assert [one.command for one in report.stage_executions] == ["attempt.end"]
    assert (running.output / CHECKPOINT).read_bytes() == before
    running.resume()
    assert not is_alive(stage)


def test_process_that_cannot_be_ended_fails_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run fails, names the process, and keeps the attempt for the next resume to end first."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))

    def collect(process: kept.KeptProcess) -> Collected:
        return real(process)._replace(survivors=(4711,))

    real = kept.KeptProcess.collect
    monkeypatch.setattr(kept.KeptProcess, "collect", collect)
    config = RunConfig(
        output_directory=tmp_path / "out",
        gates={Gate.POLICY: "allow", Gate.CI: "success", Gate.REVIEW: "approved"},
        stages={"manager": StageGiven(bin="/bin/true"), "executor": StageGiven(bin="/bin/true")},
    )
    report = run(config)
    assert (report.exit_code, report.terminal_state) == (1, "failed")
    assert [one.command for one in report.stage_executions] == ["/bin/true", "attempt.end"]
    assert "cannot end 1 process (4711: gone by now) of stage 'manager'" in (
        report.stage_executions[1].error or ""
    )
    assert checkpoint_of(tmp_path / "out")["open_attempts"][0]["stage"] == "manager"
