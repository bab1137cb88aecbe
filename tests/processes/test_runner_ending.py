"""A process is ended: time limits, requests to end and leftovers, with nothing left open."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from fsm_orchestrator.model.endings import Exited, Interrupted, Signaled, TimedOut
from fsm_orchestrator.model.limits import Limits
from fsm_orchestrator.processes.runner import ProcessRunner
from fsm_orchestrator.vocabulary import Containment
from tests.processes.runner_cases import (
    AMPLE_MS,
    ENDS_ON_SIGTERM,
    SHELL,
    WATCHDOG_SECONDS,
    Bench,
    executable,
    is_alive,
    is_our_child,
)
from tests.support.command import environment

ENDLESS = Limits(timeout_ms=600_000, kill_grace_ms=600_000)
"""Longer than the watchdog waits: such a wait must not be needed."""
HASTY = Limits(timeout_ms=20, kill_grace_ms=20)

IGNORES_SIGTERM = "trap '' TERM; echo $$ >&2; exec sleep 600"
IGNORES_SIGTERM_BEHIND = f"({IGNORES_SIGTERM.replace('$$', 'ready')}) & echo $! >&2;"
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


# A request at the time of the end


@pytest.mark.usefixtures("either_way")
@pytest.mark.parametrize("script", ["exit 0", "kill -TERM $$"])
def test_request_that_is_pending_when_the_end_is_noticed_counts(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    """A request counts, and the process's own end is only noted: the requester may have caused it.

    An attempt looks again itself; the command of a gate has nothing else to look.
    """

    def left_by(_child: object) -> tuple[()]:  # called once the end has been noticed
        bench.interrupts.deliver(signal.SIGTERM)
        return ()

    monkeypatch.setattr(ProcessRunner, "_left_by", staticmethod(left_by))
    own = Exited(0) if script == "exit 0" else Signaled(signal.SIGTERM)
    assert bench.shell(script).end == Interrupted(signal.SIGTERM, by_then=own)


# Time limits


@pytest.mark.usefixtures("either_way")
def test_timeout_ends_a_process_that_honours_sigterm(bench: Bench) -> None:
    """A process that ends on SIGTERM at its time limit is not killed."""
    limits = Limits(timeout_ms=20, kill_grace_ms=AMPLE_MS)
    report = bench.shell(ENDS_ON_SIGTERM, limits=limits, then=bench.hear)
    assert report.end == TimedOut(20, was_killed=False)
    assert not is_our_child(bench.pid)


@pytest.mark.usefixtures("either_way")
def test_timeout_kills_a_process_that_ignores_sigterm(bench: Bench) -> None:
    """A process that ignores SIGTERM is killed after the grace, and the report says that it was."""
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
    """A stopped process is woken to end on SIGTERM and need not be killed."""

    def wait_until_stopped() -> None:
        stopped = psutil.Process(bench.pid)
        while stopped.status() != psutil.STATUS_STOPPED:
            os.sched_yield()

    limits = Limits(timeout_ms=20, kill_grace_ms=AMPLE_MS)
    report = bench.shell("kill -STOP $$; exit 0", limits=limits, then=wait_until_stopped)
    assert report.end == TimedOut(20, was_killed=False)


@pytest.mark.parametrize("who", ["leader", "grandchild"])
def test_grace_is_given_to_tidy_up(bench: Bench, who: str) -> None:
    """A process that cleans up on SIGTERM has the grace for it, even if the leader ends before."""
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
    """A second request does not wait for the grace; the first one is reported."""
    ending = bench.in_thread(lambda: bench.python(TELLS_OF_SIGTERM, limits=ENDLESS))
    assert bench.hear() == "ready"
    bench.interrupts.deliver(signal.SIGINT)
    assert bench.hear() == "SIGTERM came"
    bench.interrupts.deliver(signal.SIGTERM)
    assert ending.result(WATCHDOG_SECONDS).end == Interrupted(signal.SIGINT)
    assert not is_our_child(bench.pid)


def test_second_interrupt_counts_however_soon_it_comes(bench: Bench) -> None:
    """Two requests kill at once, even if both come before any reaction to the first."""

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
    """A request to end does not wait for the rest of a timed-out process's grace."""
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
    """A request from before the start of the process ends it."""
    bench.interrupts.deliver(signal.SIGINT)
    ending = bench.in_thread(lambda: bench.shell("exec sleep 600", limits=ENDLESS))
    assert ending.result(WATCHDOG_SECONDS).end == Interrupted(signal.SIGINT)
    assert not is_our_child(bench.pid)


@pytest.mark.parametrize("script", [ENDS_ON_SIGTERM, IGNORES_SIGTERM, "exit 0"])
def test_callback_that_raises_ends_the_process_first(bench: Bench, script: str) -> None:
    """A process whose start cannot be recorded is gone by the time the error arrives."""
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
    """A process that outlives its leader is ended and listed, and the leader's end stands."""
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
    """A leftover that holds the output open does not delay the end of the process."""
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
    """However its processes ended, a program has no zombie and no descriptor open afterwards."""
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
    """The caller's descriptors are still open, and the caller's, when the process has ended."""
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
