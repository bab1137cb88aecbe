from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import psutil
import pytest

from fsm_orchestrator.processes.snapshots import ProcessSnapshot, Reader, collect
from fsm_orchestrator.secrets.masking import Masker
from tests.processes.nursery import (
    AMPLE_SECONDS,
    HOLDS_EVERYTHING,
    NO_SECRETS,
    PATIENCE_SECONDS,
    WAIT,
    Nursery,
    collect_in_bounds,
    on_linux,
    told_of,
)

IMPORTED_AT: Final = time.monotonic()
MEGABYTE: Final = 1024**2
WORKS_HARD: Final = f"""
import mmap, threading
reserved = mmap.mmap(-1, {1024 * MEGABYTE})
block = bytearray(b"x") * {64 * MEGABYTE}
for _ in range(2):
    threading.Thread(target=threading.Event().wait, daemon=True).start()
while sum(__import__("os").times()[:2]) < 0.2: pass
print("true", flush=True)
{WAIT}
"""
SPINS: Final = "print('true', flush=True)\nwhile True: pass"
READS_FOR_EVER: Final = (
    "import os\nreader, writer = os.pipe()\nprint('true', flush=True)\nos.read(reader, 1)"
)


@pytest.fixture(name="nursery")
def nursery_of_the_test(tmp_path: Path) -> Iterator[Nursery]:
    """Yield the place where the test starts its processes."""
    with Nursery(tmp_path) as nursery:
        yield nursery


@pytest.fixture(name="no_proc")
def reader_without_proc(tmp_path: Path) -> Reader:
    """Return a reader for a platform without /proc, where only psutil reports anything."""
    return Reader(str(tmp_path / "no-proc"))


@pytest.fixture(name="read", params=["with proc", "without proc"])
def reader_either_way(request: pytest.FixtureRequest, no_proc: Reader) -> Reader:
    """Read /proc where it exists, and ask only psutil as where it does not."""
    if request.param == "without proc":
        return no_proc
    if sys.platform != "linux":
        pytest.skip("reads /proc")
    return Reader()


def told_once(pid: int, holds: Callable[[ProcessSnapshot], bool]) -> ProcessSnapshot:
    """Return the first snapshot of a process that fulfills a condition."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        snapshot = told_of(pid)
        if holds(snapshot):
            return snapshot
    pytest.fail(f"it never got there: {snapshot}")


# The facts about a process


def test_what_a_process_uses_is_told(nursery: Nursery, read: Reader) -> None:
    """Memory is in bytes, times are in seconds, and threads are counted."""
    pid, _ = nursery.python(WORKS_HARD)
    snapshot = told_of(pid, read=read)
    assert (snapshot.pid, snapshot.parent_pid) == (pid, os.getpid())
    assert snapshot.threads == 3
    assert snapshot.rss_bytes is not None
    assert 64 * MEGABYTE <= snapshot.rss_bytes < 256 * MEGABYTE
    assert snapshot.user_seconds is not None
    assert snapshot.system_seconds is not None
    assert 0.1 < snapshot.user_seconds + snapshot.system_seconds < 60
    assert snapshot.cwd == str(nursery.directory)
    assert snapshot.name.startswith("python")


def test_command_line_is_told_up_to_the_limit(nursery: Nursery, read: Reader) -> None:
    """A command is its program and arguments with spaces between them, cut to 300 characters."""
    code = f"print('true', flush=True); {WAIT}"
    expected = f"{sys.executable} -I -S -c {code} an argument"
    assert told_of(nursery.quiet("an argument"), read=read).command == expected
    long = "a long argument" * 10_000
    expected = f"{sys.executable} -I -S -c {code} {long}"
    assert told_of(nursery.quiet(long[:100_000]), read=read).command == expected[:300]


@on_linux
def test_age_is_that_of_the_process(nursery: Nursery) -> None:
    """The age of a process is the time since its start, on a clock that nobody sets."""
    tick = 2 / os.sysconf("SC_CLK_TCK")
    before = time.monotonic()
    young = told_of(nursery.quiet()).age_seconds
    assert young is not None
    assert 0 <= young <= time.monotonic() - before + tick
    (told,), _ = collect([os.getpid()], NO_SECRETS)  # it may have more open than is listed
    own = told.age_seconds
    assert own is not None
    assert own >= time.monotonic() - IMPORTED_AT - tick


@on_linux
def test_wait_channel_is_the_kernels(nursery: Nursery) -> None:
    """A sleeping process has the function that it sleeps in, a running one has none."""
    sleeper, _ = nursery.python(READS_FOR_EVER)
    told_once(sleeper, lambda one: one.state == "sleeping")
    written = Path(f"/proc/{sleeper}/wchan").read_text().partition(".")[0]
    if written in {"", "0"}:
        pytest.skip("this kernel tells no wait channels")
    assert told_of(sleeper).wait_channel == written
    runner, _ = nursery.python(SPINS)
    assert told_once(runner, lambda one: one.state == "running").wait_channel is None


def test_stopped_process_is_told_as_stopped(nursery: Nursery, read: Reader) -> None:
    """A process that was stopped by a signal is not taken for a sleeping one."""
    pid = nursery.quiet()
    os.kill(pid, signal.SIGSTOP)
    os.waitid(os.P_PID, pid, os.WSTOPPED | os.WNOWAIT)
    assert told_of(pid, read=read).state == "stopped"


def test_tree_is_told_in_the_order_asked_for(nursery: Nursery, read: Reader) -> None:
    """Each process names its parent, and the snapshots come as the pids did, each once."""
    code = "import subprocess, sys; print(subprocess.Popen(sys.argv[1:]).pid, flush=True)"
    parent, child = nursery.python(f"{code}; {WAIT}", sys.executable, "-I", "-S", "-c", WAIT)
    nursery.also([child])
    snapshots, _ = collect([child, parent, child, -1, 0], NO_SECRETS, AMPLE_SECONDS, read)
    assert [(one.pid, one.parent_pid) for one in snapshots] == [
        (child, parent),
        (parent, os.getpid()),
    ]


def test_zombie_is_told_and_nothing_of_it_is_missing(nursery: Nursery, read: Reader) -> None:
    """A process that nobody has reaped is a zombie without files, and nothing of it is missing."""
    pid, _ = nursery.python("print('true', flush=True)")
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    snapshot = told_of(pid, read=read)
    assert (snapshot.state, snapshot.command, snapshot.cwd) == ("zombie", "", None)
    assert (snapshot.open_files, snapshot.sockets) == ((), ())


class Refusing(Reader):
    """A reader without rights, as for the process of another user."""

    def working_directory(self, pid: int) -> str:
        """Refuse."""
        raise psutil.AccessDenied(pid)

    def descriptors(self, pid: int) -> Iterator[tuple[int, str]]:
        """Refuse."""
        raise PermissionError(13, "Permission denied", f"/proc/{pid}/fd")


@on_linux
def test_nothing_of_a_zombie_is_missing_if_we_may_not_look(nursery: Nursery) -> None:
    """A zombie has no descriptors, so nothing is missing although only root may look."""
    pid, _ = nursery.python("print('true', flush=True)")
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert told_of(pid, read=Refusing()).state == "zombie"


def test_process_that_is_gone_is_left_out(nursery: Nursery, read: Reader) -> None:
    """A pid without a process is skipped: the others are listed, and nothing is missing."""
    gone = subprocess.Popen([sys.executable, "-I", "-S", "-c", ""])
    gone.wait()
    pid = nursery.quiet()
    snapshots, is_complete = collect([gone.pid, pid], NO_SECRETS, AMPLE_SECONDS, read)
    assert ([one.pid for one in snapshots], is_complete) == ([pid], True)


@on_linux
def test_bytes_that_are_no_text_can_be_written_as_json(nursery: Nursery) -> None:
    """Names that are not UTF-8 are shown as far as possible, and the document stays valid."""
    folder = os.fsencode(nursery.directory) + b"/odd\xff"
    os.mkdir(folder)
    nursery.directory = Path(os.fsdecode(folder))
    pid, descriptor = nursery.python(
        f"import sys; one = open(b'\\xfe', 'w'); print(one.fileno(), flush=True); {WAIT}",
        os.fsdecode(b"argument\xfd"),
    )
    snapshot = told_of(pid)
    files = {one.descriptor: one.path for one in snapshot.open_files}
    assert snapshot.cwd is not None
    assert snapshot.cwd.endswith("/odd\N{REPLACEMENT CHARACTER}")
    assert files[descriptor] == f"{snapshot.cwd}/\N{REPLACEMENT CHARACTER}"
    assert snapshot.command.endswith("argument\N{REPLACEMENT CHARACTER}")
    assert ProcessSnapshot.model_validate_json(snapshot.model_dump_json()) == snapshot


# Secrets


@pytest.mark.parametrize(("length", "copies"), [(60, 1), (60, 4), (600, 200)])
@pytest.mark.parametrize("shift", [0, 17, 34, 51])
def test_no_piece_of_a_secret_is_in_a_command(
    nursery: Nursery, read: Reader, length: int, copies: int, shift: int
) -> None:
    """Known values are masked before a command is cut, wherever the cut falls."""
    secret = "".join(chr(ord("A") + number % 26) + str(number % 10) for number in range(length))
    secret = secret[:length]
    pid = nursery.quiet("x" * shift, *(secret for _ in range(copies)))
    command = told_of(pid, Masker([secret]), read=read).command
    assert "***" in command or copies > 4  # a huge command may be cut before its first value
    assert len(command) <= 300
    pieces = {secret[start : start + 5] for start in range(len(secret) - 4)}
    assert not [piece for piece in pieces if piece in command]


@on_linux
def test_secrets_are_masked_in_names_and_addresses(nursery: Nursery) -> None:
    """Secrets are masked in the paths of files, directory and sockets."""
    secret = "hunter2-hunter2"  # noqa: S105 - of this test only
    nursery.directory /= secret
    nursery.directory.mkdir()
    pid, held = nursery.python(
        "import socket; file = open('opened', 'w'); one = socket.socket(socket.AF_UNIX);"
        " one.bind('\\0hunter2-hunter2'); print([file.fileno(), one.fileno()], flush=True);"
        f" open('/proc/self/comm', 'w').write('{secret}'); {WAIT}"
    )
    snapshot = told_once(pid, lambda one: not one.name.startswith("python"))
    assert secret in snapshot.model_dump_json()
    snapshot = told_of(pid, Masker([secret]))
    files = {one.descriptor: one.path for one in snapshot.open_files}
    sockets = {one.descriptor: one.local for one in snapshot.sockets}
    assert snapshot.name == "***"
    assert snapshot.cwd == str(nursery.directory.parent / "***")
    assert files[held[0]] == f"{snapshot.cwd}/opened"
    assert sockets[held[1]] == "@***"
    assert secret not in snapshot.model_dump_json()


# Limits


def test_no_more_processes_than_the_limit_are_told(nursery: Nursery) -> None:
    """The first 256 of 300 processes are listed, and the list is marked as incomplete."""
    script = "for one in $(seq 300); do sleep 600 & list=$list,$!; done; echo [${list#,}]; wait"
    leader, children = nursery.start("/bin/sh", "-c", script)
    nursery.also(children)
    pids = [leader, *children]
    assert len(pids) == 301
    snapshots, is_complete = collect(pids, NO_SECRETS, AMPLE_SECONDS)
    assert [one.pid for one in snapshots] == pids[:256]
    assert not is_complete
    snapshots, is_complete = collect(pids[:256], NO_SECRETS, AMPLE_SECONDS)
    assert (len(snapshots), is_complete) == (256, True)


@on_linux
@pytest.mark.parametrize(("files", "sockets"), [(100, 0), (0, 100), (100, 100)])
def test_no_more_descriptors_than_the_limit_are_told(
    nursery: Nursery, files: int, sockets: int
) -> None:
    """Of very many files and sockets, 64 each are listed, and the lists are marked incomplete."""
    code = (
        f"import os, socket; opened = [os.open('.', 0) for _ in range({files})];"
        f" sockets = [socket.socket() for _ in range({sockets})]; print('true', flush=True); {WAIT}"
    )
    pid, _ = nursery.python(code)
    (snapshot,), is_complete = collect([pid], NO_SECRETS, AMPLE_SECONDS)
    assert not is_complete
    assert len(snapshot.open_files) == (64 if files else 3)
    assert len(snapshot.sockets) == (64 if sockets else 0)


@on_linux
def test_no_more_descriptors_than_the_limit_are_looked_at(nursery: Nursery) -> None:
    """Looking at a process with endless descriptors stops when enough of them were seen."""
    pid = nursery.quiet()
    seen = itertools.count()

    class WithoutEnd(Reader):
        def descriptors(self, pid: int) -> Iterator[tuple[int, str]]:
            return ((one, f"/{pid}/file/{one}") for one in seen)

    (snapshot,), is_complete = collect([pid], NO_SECRETS, AMPLE_SECONDS, WithoutEnd())
    assert (len(snapshot.open_files), is_complete) == (64, False)
    assert next(seen) < 2000


# Unreadable pieces


class Hanging(Reader):
    """A reader that hangs at one piece of one process until released, as the kernel may."""

    def __init__(self, piece: str, pid: int) -> None:
        super().__init__()
        self._released = threading.Event()
        read = getattr(self, piece)

        def hang(of: int) -> Any:
            if of == pid:
                self._released.wait()
            return read(of)

        setattr(self, piece, hang)

    def release(self) -> None:
        """Let the hanging reads continue, to their end."""
        self._released.set()


@pytest.fixture(name="hanging")
def hanging_readers() -> Iterator[Callable[[str, int], Hanging]]:
    """Yield a maker of readers that hang until the test is over."""
    made: list[Hanging] = []

    def make(piece: str, pid: int) -> Hanging:
        made.append(Hanging(piece, pid))
        return made[-1]

    yield make
    for one in made:
        one.release()


@on_linux
def test_command_line_that_cannot_be_read_costs_only_commands(
    nursery: Nursery, hanging: Callable[[str, int], Hanging]
) -> None:
    """A read that never returns costs no more than the time limit; all the rest is reported."""
    pid, held = nursery.python(HOLDS_EVERYTHING)
    other = nursery.quiet()
    told = collect_in_bounds([pid, other], seconds=1, read=hanging("command", pid))
    assert told[pid].command == ""
    assert (told[pid].threads, told[pid].cwd) == (1, str(nursery.directory))
    assert held["opened"] in {one.descriptor for one in told[pid].open_files}
    assert {one.kind for one in told[pid].sockets} == {"tcp", "udp", "unix", "unknown"}
    assert told[other].open_files


@on_linux
@pytest.mark.parametrize("piece", ["descriptors", "connections", "working_directory"])
def test_whatever_hangs_what_came_before_is_told(
    nursery: Nursery, hanging: Callable[[str, int], Hanging], piece: str
) -> None:
    """Wherever reading hangs, it ends in time, with what could be read before."""
    first, held = nursery.python(HOLDS_EVERYTHING)
    code = "import socket; one = socket.socket(); print('true', flush=True)"
    last, _ = nursery.python(f"{code}; {WAIT}")
    told = collect_in_bounds([first, last], seconds=1, read=hanging(piece, last))
    assert held["opened"] in {one.descriptor for one in told[first].open_files}
    assert f"127.0.0.1:{held['server'][1]}" in {one.local for one in told[first].sockets}
    assert (told[last].pid, told[last].threads) == (last, 1)


@on_linux
def test_nothing_is_told_when_the_first_read_hangs(
    nursery: Nursery, hanging: Callable[[str, int], Hanging]
) -> None:
    """The time limit is kept even if the process table does not answer."""
    pid = nursery.quiet()
    assert collect_in_bounds([pid], seconds=0.2, read=hanging("basics", pid)) == {}


def test_no_time_at_all_is_not_everything(nursery: Nursery) -> None:
    """A collection without any time returns, and reports that it is incomplete."""
    assert collect_in_bounds([nursery.quiet()], seconds=0) == {}


@on_linux
def test_somebody_elses_descriptors_are_missing_not_none(nursery: Nursery) -> None:
    """Facts that this user may not read are empty and marked missing, and hide nothing else."""
    pid, _ = nursery.python(HOLDS_EVERYTHING)
    (snapshot,), is_complete = collect([pid], NO_SECRETS, AMPLE_SECONDS, Refusing())
    assert not is_complete
    assert (snapshot.cwd, snapshot.open_files, snapshot.sockets) == (None, (), ())
    assert snapshot.command
    assert snapshot.rss_bytes


@on_linux
def test_wait_channel_that_this_kernel_does_not_have_is_no_error(nursery: Nursery) -> None:
    """The wait channel is null where /proc lacks the file, and the rest is reported."""
    pid, held = nursery.python(HOLDS_EVERYTHING)

    class Without(Reader):
        def wait_channel(self, pid: int) -> str:
            raise FileNotFoundError(2, "No such file or directory", f"/proc/{pid}/wchan")

    snapshot = told_of(pid, read=Without())
    assert snapshot.wait_channel is None
    addresses = {one.descriptor: one.local for one in snapshot.sockets}
    assert addresses[held["server"][0]] == f"127.0.0.1:{held['server'][1]}"


@on_linux
@pytest.mark.parametrize("piece", ["basics", "name"])
def test_nonsense_is_survived(nursery: Nursery, piece: str) -> None:
    """A piece that cannot be parsed is missing, and stops nothing."""
    odd, sound = nursery.quiet(), nursery.quiet()
    read = Reader()
    right = getattr(read, piece)
    setattr(read, piece, lambda pid: right(pid) if pid == sound else 4711)
    snapshots, is_complete = collect([odd, sound], NO_SECRETS, AMPLE_SECONDS, read)
    assert ([one.pid for one in snapshots], is_complete) == ([sound], False)


def test_without_threads_the_basics_are_told(
    nursery: Nursery, read: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stage that has used up all threads is still described, even if incompletely."""
    pid = nursery.quiet()

    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    (snapshot,), is_complete = collect([pid], NO_SECRETS, AMPLE_SECONDS, read)
    assert (snapshot.pid, snapshot.threads, is_complete) == (pid, 1, False)


def test_without_proc_nothing_is_made_up(nursery: Nursery, no_proc: Reader) -> None:
    """Facts that psutil does not report are null or empty where there is no /proc."""
    pid, _ = nursery.python(HOLDS_EVERYTHING)
    snapshot = told_of(pid, read=no_proc)
    assert (snapshot.wait_channel, snapshot.age_seconds) == (None, None)
    assert (snapshot.open_files, snapshot.sockets) == ((), ())
