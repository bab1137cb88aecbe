from __future__ import annotations

import contextlib
import json
import os
import signal
import stat
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import psutil
import pytest

from fsm_orchestrator.model.endings import (
    Exited,
    Interrupted,
    Lost,
    NotSpawned,
    Signaled,
    SpawnFailure,
    TimedOut,
    WentQuiet,
)
from fsm_orchestrator.model.limits import Limits
from fsm_orchestrator.processes import grouped, signals
from fsm_orchestrator.processes.command import Command
from fsm_orchestrator.processes.interrupts import Interrupts
from fsm_orchestrator.processes.runner import ProcessReport, ProcessRunner
from fsm_orchestrator.vocabulary import Containment
from tests.support.command import environment

SHELL = "/bin/sh"
WATCHDOG_SECONDS = 20
AMPLE_MS = 30_000
"""More than enough: what is still there then was ended by force, and that is seen."""
AMPLE = Limits(timeout_ms=AMPLE_MS, kill_grace_ms=AMPLE_MS)
ENDLESS = Limits(timeout_ms=600_000, kill_grace_ms=600_000)
"""Longer than the watchdog waits: such a wait must not be needed."""
HASTY = Limits(timeout_ms=20, kill_grace_ms=20)
MEGABYTE = 1024**2

IGNORES_SIGTERM = "trap '' TERM; echo $$ >&2; exec sleep 600"
IGNORES_SIGTERM_BEHIND = f"({IGNORES_SIGTERM.replace('$$', 'ready')}) & echo $! >&2;"
ENDS_ON_SIGTERM = "echo $$ >&2; exec sleep 600"
TELLS_OF_SIGTERM = """
import os, signal
signal.signal(signal.SIGTERM, lambda *_: os.write(2, b"SIGTERM came\\n"))
os.write(2, b"ready\\n")
while True:
    signal.pause()
"""
BACKGROUND_PYTHON = """
import os, signal, sys
if sys.argv[1] == "own-group":
    os.setpgid(0, 0)
os.write(2, b"%d\\n" % os.getpid())
signal.pause()
"""


class Bench:
    """A runner at work for a test: what its process says, and every process to clear away.

    The first process says what the test waits for on its stderr, a pipe, line by line; stdout is
    a file.
    """

    def __init__(self, directory: Path, containment: Containment) -> None:
        self.directory = directory
        self.containment = containment
        self.interrupts = Interrupts()
        may_keep = containment is Containment.SUBREAPER
        self.runner = ProcessRunner(self.interrupts, may_keep=may_keep)
        self.pid = 0
        self.slow_ms: list[int] = []
        self.endings: list[tuple[TimedOut | WentQuiet, tuple[int, ...], float]] = []
        self._then: Callable[[], object] = lambda: None
        self._processes: list[psutil.Process] = []
        self._threads: list[threading.Thread] = []
        reader, self._writer = os.pipe()
        self._lines = os.fdopen(reader)

    def run(
        self,
        program: str,
        *args: str,
        limits: Limits = AMPLE,
        then: Callable[[], object] = lambda: None,
        **changes: Any,
    ) -> ProcessReport:
        """Run a process to its end; `then` is called once it has been started."""
        self._then = then
        with (self.directory / "stdout").open("wb") as stdout:
            settings: dict[str, Any] = {
                "command": program,
                "args": args,
                "cwd": str(self.directory),
                "env": dict(os.environ),
                "search_path": os.environ.get("PATH"),
                "stdout": stdout.fileno(),
                "stderr": self._writer,
            }
            return self.runner.run(Command(**{**settings, **changes}), limits, self)

    def started(self, pid: int) -> None:
        """The runner has started the process."""
        self.pid = pid
        self.track(pid)
        self._hang_up()
        self._then()

    def slow(self, elapsed_ms: int) -> None:
        """The runner finds it slow."""
        self.slow_ms.append(elapsed_ms)

    def ending(
        self, stopped: TimedOut | WentQuiet, processes: tuple[int, ...], silent_seconds: float
    ) -> None:
        """The runner is about to end it."""
        self.endings.append((stopped, processes, silent_seconds))

    def python(self, code: str, *args: str, **settings: Any) -> ProcessReport:
        """Run Python code to its end."""
        return self.run(sys.executable, "-I", "-S", "-c", code, *args, **settings)

    def shell(self, script: str, **settings: Any) -> ProcessReport:
        """Run a shell script to its end."""
        return self.run(SHELL, "-c", script, **settings)

    def in_thread(self, run: Callable[[], ProcessReport]) -> Future[ProcessReport]:
        """Run on a thread of its own, so that a run that does not end fails the test only."""
        future: Future[ProcessReport] = Future()

        def work() -> None:
            try:
                future.set_result(run())
            except BaseException as error:  # noqa: BLE001 - it belongs to whoever asks
                future.set_exception(error)

        thread = threading.Thread(target=work, daemon=True)
        self._threads.append(thread)
        thread.start()
        return future

    def hear(self) -> str:
        """The next line the process says; fails if it ends without one."""
        line = self._lines.readline().rstrip("\n")
        assert line, "the process ended without a word"
        return line

    def hear_pid(self) -> int:
        """The next line as the pid of a process that the test must see gone."""
        pid = int(self.hear())
        self.track(pid)
        return pid

    def hear_pid_behind(self) -> int:
        """The pid of a process in the background that is ready: two lines, in either order."""
        (pid,) = (int(line) for line in (self.hear(), self.hear()) if line != "ready")
        self.track(pid)
        return pid

    def track(self, pid: int) -> None:
        """Remember a process, to end it whatever happens to the test."""
        with contextlib.suppress(psutil.NoSuchProcess):
            self._processes.append(psutil.Process(pid))

    @property
    def output(self) -> bytes:
        """What the process wrote to its stdout."""
        return (self.directory / "stdout").read_bytes()

    def close(self) -> None:
        """End what a failing test may have left, and give everything back."""
        for tracked in self._processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                tracked.kill()
        for thread in self._threads:
            thread.join(WATCHDOG_SECONDS)
        os.close(self._writer)
        self._lines.close()
        self.runner.close()
        self.interrupts.close()

    def _hang_up(self) -> None:
        """Leave the writing end to the child alone: its end is then an end of file here.

        The runner still looks at the descriptor: it stays open, on the null device.
        """
        with Path(os.devnull).open("wb") as null:
            os.dup2(null.fileno(), self._writer)


@pytest.fixture(params=list(Containment))
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    """A runner whose processes are gone when the test is over; of each kind."""
    if request.param is Containment.SUBREAPER and not sys.platform.startswith("linux"):
        pytest.skip("this platform has no subreaper")
    bench = Bench(tmp_path, request.param)
    yield bench
    bench.close()


@pytest.fixture(params=["pidfd", "thread"])
def either_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Notice the end of processes through a pidfd, and where there is none."""
    if request.param == "thread":
        monkeypatch.setattr(grouped, "HAS_PIDFD", False)
        monkeypatch.setattr(signals, "HAS_PIDFD", False)
    elif not signals.HAS_PIDFD:
        pytest.skip("this platform has no pidfd")


def is_alive(pid: int) -> bool:
    """Whether there is such a process; one that only waits to be reaped is gone."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def is_our_child(pid: int) -> bool:
    """Whether there is something of the process left for us to reap."""
    try:
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def executable(path: Path, text: str) -> str:
    """An executable file, by its path."""
    path.write_text(text)
    path.chmod(0o755)
    return str(path)


# How it ended


@pytest.mark.usefixtures("either_way")
@pytest.mark.parametrize("code", [0, 1, 3, 255])
def test_exit_code_is_reported(bench: Bench, code: int) -> None:
    """A process that ends by itself is reported with its exit code, and leaves nothing to reap."""
    report = bench.shell(f"exit {code}")
    assert report.end == Exited(code)
    assert report.leaked == ()
    assert not is_our_child(bench.pid)


@pytest.mark.parametrize(
    "name",
    [
        *("SIGSEGV", "SIGKILL", "SIGABRT", "SIGBUS", "SIGFPE", "SIGILL", "SIGTERM", "SIGPIPE"),
        *("SIGALRM", "SIGUSR1", "SIGXCPU", "SIGTRAP", "SIGSYS"),
    ],
)
def test_signal_that_ended_it_is_named(bench: Bench, name: str) -> None:
    """A process that a signal ends is reported with that signal, by number and by name."""
    report = bench.shell(f"ulimit -c 0; kill -{name.removeprefix('SIG')} $$; exit 99")
    assert report.end == Signaled(signal.Signals[name])
    assert isinstance(report.end, Signaled)
    assert report.end.name == name


def test_signal_without_a_name_is_numbered(bench: Bench) -> None:
    """A real-time signal, which has no name of its own, is reported by its number."""
    number = signal.SIGRTMIN + 5
    report = bench.python(f"import os; os.kill(os.getpid(), {number})")
    assert isinstance(report.end, Signaled)
    assert report.end.name == f"signal {number}"


def test_resources_are_those_of_the_process(bench: Bench) -> None:
    """Processor time is that of this process, and memory is counted in bytes."""
    code = f"block = bytearray(b'x') * {64 * MEGABYTE}; sum(range(300_000))"
    resources = bench.python(code).resources
    assert resources is not None
    assert resources.user_seconds + resources.system_seconds > 0
    assert resources.rss_bytes_max >= 64 * MEGABYTE


@pytest.fixture
def sigchld_ignored() -> Iterator[None]:
    """Have the kernel throw exit statuses away, as a program that calls us may."""
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGCHLD, before)


@pytest.mark.usefixtures("either_way", "sigchld_ignored")
def test_exit_status_taken_by_somebody_else_is_lost_not_invented(bench: Bench) -> None:
    """Where the calling program has SIGCHLD ignored, the end is `Lost`: never taken for exit 0."""
    go_on = bench.directory / "go-on"
    os.mkfifo(go_on)
    report = bench.shell("read line < go-on; exit 3", then=lambda: go_on.write_text("now\n"))
    if bench.containment is Containment.SUBREAPER:
        assert report.end == Exited(3)  # the keeper is its parent, and ignores nothing
    else:
        assert (report.end, report.resources) == (Lost(grouped.STATUS_TAKEN), None)


@pytest.mark.usefixtures("either_way", "sigchld_ignored")
def test_exit_status_is_lost_even_if_the_process_was_gone_at_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same holds for a process that has ended before anybody could look at it."""
    if bench.containment is Containment.SUBREAPER:
        pytest.skip("the keeper is its parent, and ignores nothing")
    watch = grouped._end_descriptor

    def watch_too_late(pid: int) -> int:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)
        return watch(pid)

    monkeypatch.setattr(grouped, "_end_descriptor", watch_too_late)
    report = bench.shell("exit 3")
    assert (report.end, report.resources) == (Lost(grouped.STATUS_TAKEN), None)


# What it gets


def test_process_leads_a_session_and_group_of_its_own(bench: Bench) -> None:
    """The process is the leader of a new session and a new group, so ours is never signalled."""
    bench.python("import os; print(os.getpid(), os.getsid(0), os.getpgrp())")
    assert [int(one) for one in bench.output.split()] == [bench.pid] * 3
    assert bench.pid not in {os.getsid(0), os.getpgrp()}


@pytest.fixture
def operators_stdin() -> Iterator[None]:
    """Have something to read on the stdin of this process."""
    before = os.dup(0)
    reader, writer = os.pipe()
    os.write(writer, b"the operator's\n")
    os.dup2(reader, 0)
    for descriptor in (reader, writer):
        os.close(descriptor)
    yield
    os.dup2(before, 0)
    os.close(before)


@pytest.mark.usefixtures("operators_stdin")
def test_stdin_is_the_null_device(bench: Bench) -> None:
    """The process reads nothing, and nothing of ours: its stdin is /dev/null."""
    code = "import os, sys; print(os.path.samestat(os.fstat(0), os.stat('/dev/null')))"
    bench.python(f"{code}; print(sys.stdin.read() == '')")
    assert bench.output.split() == [b"True", b"True"]


def test_arguments_are_passed_exactly(bench: Bench) -> None:
    """No argument is read, split, expanded or dropped on the way, whatever it looks like."""
    arguments = ("", "--", "-c", "-", "näïve ☃ 𝄞", "two\nlines", "$HOME `id` *", "'\"\\", " ", "")
    script = executable(bench.directory / "printer", "#!/bin/sh\nprintf '%s\\0' \"$@\"\n")
    assert bench.run(script, *arguments).end == Exited(0)
    assert bench.output == "".join(f"{one}\0" for one in arguments).encode()


def test_environment_and_directory_are_those_given(bench: Bench) -> None:
    """The process has the given environment and nothing of ours, in the given directory."""
    place = bench.directory / "place"
    place.mkdir()
    bench.run("env", "-0", env={"ONE": "1", "EMPTY": "", "LINES": "a\nb=c"}, cwd=str(place))
    assert bench.output == b"ONE=1\0EMPTY=\0LINES=a\nb=c\0"
    bench.run("pwd", "-P", env={}, cwd=str(place))
    assert bench.output == os.fsencode(place.resolve()) + b"\n"


def test_bare_name_is_found_on_the_given_path(bench: Bench) -> None:
    """A bare name comes from the search path alone, never from a current directory."""
    (bench.directory / "bin").mkdir()
    executable(bench.directory / "tool", "#!/bin/sh\necho wrong\n")
    executable(bench.directory / "bin" / "tool", "#!/bin/sh\necho right\n")
    assert bench.run("tool", search_path=str(bench.directory / "bin")).end == Exited(0)
    assert bench.output == b"right\n"


def test_only_the_standard_descriptors_are_passed_on(bench: Bench) -> None:
    """Not even a descriptor that is marked inheritable in our process reaches the child."""
    descriptor = os.open(os.devnull, os.O_RDONLY)
    try:
        os.set_inheritable(descriptor, True)
        bench.python(
            "import os\n"
            "for descriptor in range(2048):\n"
            "    try:\n"
            "        os.fstat(descriptor)\n"
            "        print(descriptor)\n"
            "    except OSError:\n"
            "        pass\n"
        )
    finally:
        os.close(descriptor)
    assert bench.output.split() == [b"0", b"1", b"2"]


def test_output_goes_to_the_given_descriptors_and_not_through_us(bench: Bench) -> None:
    """Megabytes on both streams arrive byte by byte, and none of them pass through our memory."""
    forwards = bytes(range(256))
    count = 5 * MEGABYTE // len(forwards)
    code = (
        "import sys; block = bytes(range(256));"
        f"sys.stdout.buffer.write(block * {count}); sys.stderr.buffer.write(block[::-1] * {count})"
    )
    stderr_path = bench.directory / "stderr"
    with stderr_path.open("wb") as stderr:
        # The peak resident size that getrusage(2) knows never falls again, so it cannot show
        # growth below the peak of an earlier test.
        tracemalloc.start()
        try:
            report = bench.python(code, stderr=stderr.fileno())
            _, peak_bytes = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert report.end == Exited(0)
    assert bench.output == forwards * count
    assert stderr_path.read_bytes() == forwards[::-1] * count
    assert peak_bytes < MEGABYTE


# Time limits


@pytest.mark.usefixtures("either_way")
def test_timeout_ends_a_process_that_honours_sigterm(bench: Bench) -> None:
    """At its time limit a process gets SIGTERM; one that ends on it is not killed."""
    limits = Limits(timeout_ms=20, kill_grace_ms=AMPLE_MS)
    report = bench.shell(ENDS_ON_SIGTERM, limits=limits, then=bench.hear)
    assert report.end == TimedOut(20, was_killed=False)
    assert not is_our_child(bench.pid)


@pytest.mark.usefixtures("either_way")
def test_timeout_kills_a_process_that_ignores_sigterm(bench: Bench) -> None:
    """A process that ignores SIGTERM is killed after the grace, and the report says so."""
    report = bench.shell(IGNORES_SIGTERM, limits=HASTY, then=bench.hear)
    assert report.end == TimedOut(20, was_killed=True)
    assert not is_our_child(bench.pid)


def test_timeout_ends_the_whole_group(bench: Bench) -> None:
    """A grandchild that ignores SIGTERM is gone too, though its parent ended on it at once."""
    heard: list[int] = []
    report = bench.shell(
        f"{IGNORES_SIGTERM_BEHIND} wait",
        limits=HASTY,
        then=lambda: heard.append(bench.hear_pid_behind()),
    )
    assert report.end == TimedOut(20, was_killed=True)
    assert not is_alive(heard[0])
    assert not is_our_child(bench.pid)


def test_timeout_ends_a_stopped_process(bench: Bench) -> None:
    """A process that is stopped is woken up to end on SIGTERM: it need not be killed."""

    def wait_until_stopped() -> None:
        stopped = psutil.Process(bench.pid)
        while stopped.status() != psutil.STATUS_STOPPED:
            os.sched_yield()

    limits = Limits(timeout_ms=20, kill_grace_ms=AMPLE_MS)
    report = bench.shell("kill -STOP $$; exit 0", limits=limits, then=wait_until_stopped)
    assert report.end == TimedOut(20, was_killed=False)


@pytest.mark.parametrize("who", ["leader", "grandchild"])
def test_grace_is_given_to_tidy_up(bench: Bench, who: str) -> None:
    """Whoever tidies up on SIGTERM has the grace for it, even if the leader is gone before."""
    marker = bench.directory / "marker"
    tidy = (
        "import os, pathlib, signal, sys\n"
        "def tidy(*_):\n"
        "    for step in range(50):\n"
        "        pathlib.Path(sys.argv[1]).write_text(str(step))\n"
        "    os._exit(0)\n"
        "signal.signal(signal.SIGTERM, tidy)\n"
        "os.write(2, b'ready\\n')\n"
        "signal.pause()\n"
    )
    limits = Limits(timeout_ms=20, kill_grace_ms=AMPLE_MS)
    if who == "leader":
        report = bench.python(tidy, str(marker), limits=limits, then=bench.hear)
    else:
        script = '"$0" -I -S -c "$1" "$2" & wait'
        arguments = (sys.executable, tidy, str(marker))
        report = bench.run(SHELL, "-c", script, *arguments, limits=limits, then=bench.hear)
    assert report.end == TimedOut(20, was_killed=False)
    assert marker.read_text() == "49"


# Requests to end


@pytest.mark.usefixtures("either_way")
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_ends_the_process(bench: Bench, signum: int) -> None:
    """A request from another thread ends the process in mid-work; the report names the request."""
    ending = bench.in_thread(lambda: bench.shell(ENDS_ON_SIGTERM, limits=ENDLESS))
    pid = bench.hear_pid()
    bench.interrupts.deliver(signum)
    assert ending.result(WATCHDOG_SECONDS).end == Interrupted(signum)
    assert not is_alive(pid)
    assert not is_our_child(pid)


@pytest.mark.usefixtures("either_way")
def test_second_interrupt_kills_at_once(bench: Bench) -> None:
    """A second request does not wait for the grace; the first one is what is reported."""
    ending = bench.in_thread(lambda: bench.python(TELLS_OF_SIGTERM, limits=ENDLESS))
    assert bench.hear() == "ready"
    bench.interrupts.deliver(signal.SIGINT)
    assert bench.hear() == "SIGTERM came"
    bench.interrupts.deliver(signal.SIGTERM)
    assert ending.result(WATCHDOG_SECONDS).end == Interrupted(signal.SIGINT)
    assert not is_our_child(bench.pid)


def test_second_interrupt_counts_however_soon_it_comes(bench: Bench) -> None:
    """Two requests before anything was done about the first kill at once just the same."""

    def interrupt_twice() -> None:
        bench.hear()
        bench.interrupts.deliver(signal.SIGINT)
        bench.interrupts.deliver(signal.SIGINT)

    ending = bench.in_thread(
        lambda: bench.shell(IGNORES_SIGTERM, limits=ENDLESS, then=interrupt_twice)
    )
    assert ending.result(WATCHDOG_SECONDS).end == Interrupted(signal.SIGINT)
    assert not is_our_child(bench.pid)


def test_interrupt_during_the_grace_of_a_timeout_kills_at_once(bench: Bench) -> None:
    """Who asks for the end while a timed-out process has its grace does not wait for it."""
    limits = Limits(timeout_ms=20, kill_grace_ms=ENDLESS.kill_grace_ms)
    is_ready = threading.Event()
    ending = bench.in_thread(
        lambda: bench.python(TELLS_OF_SIGTERM, limits=limits, then=is_ready.wait)
    )
    assert bench.hear() == "ready"
    is_ready.set()
    assert bench.hear() == "SIGTERM came"
    bench.interrupts.deliver(signal.SIGINT)
    assert ending.result(WATCHDOG_SECONDS).end == TimedOut(20, was_killed=True)


def test_interrupt_from_before_the_start_ends_the_process(bench: Bench) -> None:
    """A request that came before the process was started is not forgotten."""
    bench.interrupts.deliver(signal.SIGINT)
    ending = bench.in_thread(lambda: bench.shell("exec sleep 600", limits=ENDLESS))
    assert ending.result(WATCHDOG_SECONDS).end == Interrupted(signal.SIGINT)
    assert not is_our_child(bench.pid)


# What cannot be started


@pytest.mark.parametrize(
    ("name", "failure", "told"),
    [
        ("absent", SpawnFailure.NOT_FOUND, "does not exist"),
        ("plain/below", SpawnFailure.NOT_FOUND, "does not exist"),
        ("dangling", SpawnFailure.NOT_FOUND, "does not exist"),
        ("plain", SpawnFailure.NOT_EXECUTABLE, "may not be executed"),
        ("folder", SpawnFailure.IS_DIRECTORY, ""),
        ("orphan", SpawnFailure.BAD_INTERPRETER, "interpreter"),
        ("text", SpawnFailure.BAD_FORMAT, "#! line"),
        ("empty", SpawnFailure.BAD_FORMAT, "#! line"),
        ("garbage", SpawnFailure.BAD_FORMAT, "#! line"),
    ],
)
def test_file_that_is_no_program_is_a_spawn_failure_of_its_kind(
    bench: Bench, name: str, failure: SpawnFailure, told: str
) -> None:
    """What cannot be started is reported by kind, naming the path; nothing was started."""
    (bench.directory / "plain").write_text("#!/bin/sh\n")
    (bench.directory / "folder").mkdir()
    (bench.directory / "dangling").symlink_to("nowhere")
    executable(bench.directory / "orphan", "#!/nowhere/interpreter\n")
    executable(bench.directory / "text", "echo a script without its first line\n")
    executable(bench.directory / "empty", "")
    executable(bench.directory / "garbage", "\x7fELF but only at first sight")
    path = str(bench.directory / name)
    report = bench.run(path)
    assert isinstance(report.end, NotSpawned)
    assert report.end.failure is failure
    assert path in report.end.detail
    assert told in report.end.detail
    assert (report.resources, report.leaked, bench.pid) == (None, (), 0)


@pytest.mark.parametrize("name", ["no-such-program", "plain", "folder"])
def test_bare_name_that_no_program_has_is_not_found(bench: Bench, name: str) -> None:
    """A bare name that is on the search path only as a plain file or a directory is not found."""
    (bench.directory / "plain").write_text("#!/bin/sh\n")
    (bench.directory / "folder").mkdir()
    end = bench.run(name, search_path=str(bench.directory)).end
    assert isinstance(end, NotSpawned)
    assert end.failure is SpawnFailure.NOT_FOUND
    assert repr(name) in end.detail


@pytest.mark.parametrize("name", ["absent", "plain"])
def test_working_directory_that_is_none_is_told_as_such(bench: Bench, name: str) -> None:
    """A directory that is missing or a file is the failure, never taken for a missing program."""
    (bench.directory / "plain").touch()
    end = bench.shell("exit 0", cwd=str(bench.directory / name)).end
    assert isinstance(end, NotSpawned)
    assert end.failure is SpawnFailure.BAD_DIRECTORY
    assert str(bench.directory / name) in end.detail


def test_argument_list_that_is_too_long_is_refused_by_the_system(bench: Bench) -> None:
    """What the system refuses to start is reported with its reason, not raised."""
    end = bench.run(SHELL, *["x" * 100_000] * 100).end
    assert isinstance(end, NotSpawned)
    assert end.failure is SpawnFailure.REFUSED_BY_SYSTEM
    assert os.strerror(7) in end.detail


# Who is told, and what is left


def test_pid_is_told_while_the_process_lives(bench: Bench) -> None:
    """The callback gets the pid of the running process, before its end is waited for."""
    seen: list[tuple[int, bool]] = []

    def look() -> None:
        bench.hear()
        seen.append((bench.pid, is_alive(bench.pid)))
        os.kill(bench.pid, signal.SIGUSR1)

    report = bench.shell(ENDS_ON_SIGTERM, then=look)
    assert seen == [(bench.pid, True)]
    assert report.end == Signaled(signal.SIGUSR1)


@pytest.mark.parametrize("script", [ENDS_ON_SIGTERM, IGNORES_SIGTERM, "exit 0"])
def test_callback_that_raises_ends_the_process_first(bench: Bench, script: str) -> None:
    """When the start cannot be recorded the process is gone by the time the error arrives."""
    failure = RuntimeError("cannot be recorded")

    def fail() -> None:
        if script != "exit 0":
            bench.hear()
        raise failure

    with pytest.raises(RuntimeError) as raised:
        bench.shell(script, limits=Limits(timeout_ms=AMPLE_MS, kill_grace_ms=20), then=fail)
    assert raised.value is failure
    assert not is_alive(bench.pid)
    assert not is_our_child(bench.pid)


@pytest.mark.parametrize("group", ["same-group", "own-group"])
@pytest.mark.parametrize("code", [0, 3])
def test_leftovers_are_ended_and_listed(bench: Bench, group: str, code: int) -> None:
    """What outlives its leader in the session is ended and listed; the leader's end stands."""
    go_on = bench.directory / "go-on"
    os.mkfifo(go_on)
    script = f'"$0" -I -S -c "$1" {group} & read line < go-on; exit {code}'
    heard: list[int] = []

    def release() -> None:
        heard.append(bench.hear_pid())
        go_on.write_text("now\n")

    arguments = (sys.executable, BACKGROUND_PYTHON)
    report = bench.run(SHELL, "-c", script, *arguments, then=release)
    assert report.end == Exited(code)
    (leaked,) = report.leaked
    assert [leaked.pid] == heard
    assert not is_alive(leaked.pid)
    assert leaked.command.startswith(sys.executable)
    assert leaked.command.endswith(group)
    assert leaked.age_seconds >= 0
    assert leaked.rss_bytes > 0


def test_leftover_that_ignores_sigterm_is_killed(bench: Bench) -> None:
    """A leftover that does not end on SIGTERM is killed, and the leader's success stands."""
    go_on = bench.directory / "go-on"
    os.mkfifo(go_on)
    heard: list[int] = []

    def release() -> None:
        heard.append(bench.hear_pid_behind())
        go_on.write_text("now\n")

    report = bench.shell(
        f"{IGNORES_SIGTERM_BEHIND} read line < go-on",
        limits=Limits(timeout_ms=AMPLE_MS, kill_grace_ms=20),
        then=release,
    )
    assert report.end == Exited(0)
    assert [one.pid for one in report.leaked] == heard
    assert not is_alive(heard[0])


def test_output_held_open_by_a_leftover_delays_nothing(bench: Bench) -> None:
    """The end of the leader is the end: that a leftover holds its output open changes nothing."""
    ending = bench.in_thread(lambda: bench.shell("echo out; sleep 600 & exit 0", limits=ENDLESS))
    report = ending.result(WATCHDOG_SECONDS)
    assert report.end == Exited(0)
    assert bench.output == b"out\n"
    assert [one.pid for one in report.leaked if is_alive(one.pid)] == []


EVERY_ENDING = """
import json, os, sys
from fsm_orchestrator.processes.interrupts import Interrupts
from fsm_orchestrator.model.limits import Limits
from fsm_orchestrator.processes.runner import ProcessRunner
from fsm_orchestrator.processes.command import Command

class Observer:
    def __init__(self, raises):
        self.raises = raises
    def started(self, pid):
        if self.raises:
            raise RuntimeError
    def slow(self, elapsed_ms):
        pass
    def ending(self, *about):
        pass

def run(program, *args, limits=Limits(timeout_ms=600_000, kill_grace_ms=20), raises=False):
    with open(os.devnull, "wb") as sink:
        command = Command(program, args, os.getcwd(), os.environ, os.defpath, sink.fileno(),
                          sink.fileno())
        try:
            return type(runner.run(command, limits, Observer(raises)).end).__name__
        except RuntimeError:
            return "raised"

runner = ProcessRunner(Interrupts(), may_keep=sys.argv[2] == "subreaper")
run("true")
before = len(os.listdir("/dev/fd"))
hasty = Limits(timeout_ms=20, kill_grace_ms=20)
endings = [
    run("true"),
    run("/bin/sh", "-c", "kill -KILL $$"),
    run("sleep", "600", limits=hasty),
    run("/bin/sh", "-c", "sleep 600 & exit 0"),
    run("/nowhere/program"),
    run(sys.argv[1]),
    run("sleep", "600", raises=True),
]
within = len(os.listdir("/dev/fd")) - before
runner.close()
try:
    left = str(os.waitpid(-1, os.WNOHANG))
except ChildProcessError:
    left = "nothing"
print(json.dumps([endings, left, within]))
"""


@pytest.mark.parametrize("containment", list(Containment))
def test_no_zombie_and_no_descriptor_is_left(tmp_path: Path, containment: Containment) -> None:
    """However its processes ended, a program has none to reap and no descriptor open after."""
    no_program = executable(tmp_path / "no-program", "no program\n")
    done = subprocess.run(
        [sys.executable, "-c", EVERY_ENDING, no_program, containment],
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        check=True,
    )
    endings, left, descriptors = json.loads(done.stdout)
    assert endings == [
        *("Exited", "Signaled", "TimedOut", "Exited", "NotSpawned", "NotSpawned", "raised")
    ]
    assert (left, descriptors) == ("nothing", 0)


def test_given_descriptors_stay_open_and_ours(tmp_path: Path, bench: Bench) -> None:
    """The caller's descriptors are still the caller's when the process has ended."""
    path = tmp_path / "log"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        bench.shell("echo one", stdout=descriptor)
        bench.shell("echo two >&2", stderr=descriptor)
        os.write(descriptor, b"three\n")
    finally:
        os.close(descriptor)
    assert path.read_text() == "one\ntwo\nthree\n"
    assert stat.S_ISREG(path.stat().st_mode)
