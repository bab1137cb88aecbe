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
from types import ModuleType
from typing import Any, Final

import pytest

from fsm_orchestrator.processes import descriptors
from fsm_orchestrator.processes import snapshots as process_snapshots
from fsm_orchestrator.processes.snapshots import ProcessSnapshot, collect
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
    """Where the test starts its processes."""
    with Nursery(tmp_path) as nursery:
        yield nursery


@pytest.fixture
def no_proc(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A platform without /proc, where only psutil tells anything."""
    monkeypatch.setattr(process_snapshots, "PROC", str(tmp_path / "no-proc"))


@pytest.fixture(params=["proc", "psutil"])
def either_way(request: pytest.FixtureRequest) -> None:
    """Read /proc where there is one, and ask psutil as where there is none."""
    if request.param == "psutil":
        request.getfixturevalue("no_proc")
    elif sys.platform != "linux":
        pytest.skip("reads /proc")


def told_once(pid: int, holds: Callable[[ProcessSnapshot], bool]) -> ProcessSnapshot:
    """The first snapshot of a process for which that holds: it has got where it was going."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        snapshot = told_of(pid)
        if holds(snapshot):
            return snapshot
    pytest.fail(f"it never got there: {snapshot}")


def refuse(path: str) -> str:
    """A reader of links of somebody else's process."""
    raise PermissionError(13, "Permission denied", path)


# What is told of a process


@pytest.mark.usefixtures("either_way")
def test_what_a_process_uses_is_told(nursery: Nursery) -> None:
    """Memory is in bytes, times are in seconds, and threads are counted."""
    pid, _ = nursery.python(WORKS_HARD)
    snapshot = told_of(pid)
    assert (snapshot.pid, snapshot.parent_pid) == (pid, os.getpid())
    assert snapshot.threads == 3
    assert snapshot.rss_bytes is not None
    assert 64 * MEGABYTE <= snapshot.rss_bytes < 256 * MEGABYTE
    assert snapshot.user_seconds is not None
    assert snapshot.system_seconds is not None
    assert 0.1 < snapshot.user_seconds + snapshot.system_seconds < 60
    assert snapshot.cwd == str(nursery.directory)
    assert snapshot.name.startswith("python")


@pytest.mark.usefixtures("either_way")
def test_command_line_is_told_up_to_the_limit(nursery: Nursery) -> None:
    """A command is its program and arguments with spaces between them, cut to 300 characters."""
    code = f"print('true', flush=True); {WAIT}"
    expected = f"{sys.executable} -I -S -c {code} an argument"
    assert told_of(nursery.quiet("an argument")).command == expected
    long = "a long argument" * 10_000
    expected = f"{sys.executable} -I -S -c {code} {long}"
    assert told_of(nursery.quiet(long[:100_000])).command == expected[:300]


@on_linux
def test_age_is_that_of_the_process(nursery: Nursery) -> None:
    """A process is as old as the time since its start, on a clock that nobody sets."""
    tick = 2 / os.sysconf("SC_CLK_TCK")
    before = time.monotonic()
    young = told_of(nursery.quiet()).age_seconds
    assert young is not None
    assert 0 <= young <= time.monotonic() - before + tick
    (told,), _ = collect([os.getpid()], NO_SECRETS)  # it may have more open than is told
    own = told.age_seconds
    assert own is not None
    assert own >= time.monotonic() - IMPORTED_AT - tick


@on_linux
def test_wait_channel_is_the_kernels(nursery: Nursery) -> None:
    """A sleeping process is told with what it sleeps in, one that runs with nothing."""
    sleeper, _ = nursery.python(READS_FOR_EVER)
    told_once(sleeper, lambda one: one.state == "sleeping")
    written = Path(f"/proc/{sleeper}/wchan").read_text().partition(".")[0]
    if written in {"", "0"}:
        pytest.skip("this kernel tells no wait channels")
    assert told_of(sleeper).wait_channel == written
    runner, _ = nursery.python(SPINS)
    assert told_once(runner, lambda one: one.state == "running").wait_channel is None


@pytest.mark.usefixtures("either_way")
def test_stopped_process_is_told_as_stopped(nursery: Nursery) -> None:
    """A process that was stopped by a signal is not taken for one that sleeps."""
    pid = nursery.quiet()
    os.kill(pid, signal.SIGSTOP)
    os.waitid(os.P_PID, pid, os.WSTOPPED | os.WNOWAIT)
    assert told_of(pid).state == "stopped"


@pytest.mark.usefixtures("either_way")
def test_tree_is_told_in_the_order_asked_for(nursery: Nursery) -> None:
    """Each process names its parent, and the snapshots come as the pids did, each once."""
    code = "import subprocess, sys; print(subprocess.Popen(sys.argv[1:]).pid, flush=True)"
    parent, child = nursery.python(f"{code}; {WAIT}", sys.executable, "-I", "-S", "-c", WAIT)
    nursery.also([child])
    snapshots, _ = collect([child, parent, child, -1, 0], NO_SECRETS, AMPLE_SECONDS)
    assert [(one.pid, one.parent_pid) for one in snapshots] == [
        (child, parent),
        (parent, os.getpid()),
    ]


@pytest.mark.usefixtures("either_way")
def test_zombie_is_told_and_nothing_of_it_is_missing(nursery: Nursery) -> None:
    """A process that nobody has reaped is a zombie without files, and that is everything."""
    pid, _ = nursery.python("print('true', flush=True)")
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    snapshot = told_of(pid)
    assert (snapshot.state, snapshot.command, snapshot.cwd) == ("zombie", "", None)
    assert (snapshot.open_files, snapshot.sockets) == ((), ())


@on_linux
def test_nothing_of_a_zombie_is_missing_if_we_may_not_look(
    nursery: Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel keeps all but root from a zombie's descriptors, of which there are none."""
    pid, _ = nursery.python("print('true', flush=True)")
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    monkeypatch.setattr(descriptors, "_link", refuse)
    assert told_of(pid).state == "zombie"


@pytest.mark.usefixtures("either_way")
def test_process_that_is_gone_is_left_out(nursery: Nursery) -> None:
    """A pid of nobody is passed over: the rest is told, and nothing is missing."""
    gone = subprocess.Popen([sys.executable, "-I", "-S", "-c", ""])
    gone.wait()
    pid = nursery.quiet()
    snapshots, is_complete = collect([gone.pid, pid], NO_SECRETS, AMPLE_SECONDS)
    assert ([one.pid for one in snapshots], is_complete) == ([pid], True)


@on_linux
def test_bytes_that_are_no_text_can_be_written_as_json(nursery: Nursery) -> None:
    """Names that are not UTF-8 are told as far as they are, and stay a valid document."""
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


@pytest.mark.usefixtures("either_way")
@pytest.mark.parametrize(("length", "copies"), [(60, 1), (60, 4), (600, 200)])
@pytest.mark.parametrize("shift", [0, 17, 34, 51])
def test_no_piece_of_a_secret_is_in_a_command(
    nursery: Nursery, length: int, copies: int, shift: int
) -> None:
    """Known values are masked before a command is cut, wherever the cut falls."""
    secret = "".join(chr(ord("A") + number % 26) + str(number % 10) for number in range(length))
    secret = secret[:length]
    pid = nursery.quiet("x" * shift, *(secret for _ in range(copies)))
    command = told_of(pid, Masker([secret])).command
    assert "***" in command or copies > 4  # a huge command may be cut before its first value
    assert len(command) <= 300
    pieces = {secret[start : start + 5] for start in range(len(secret) - 4)}
    assert not [piece for piece in pieces if piece in command]


@on_linux
def test_secrets_are_masked_in_names_and_addresses(nursery: Nursery) -> None:
    """What is masked in a path is masked in those of files, directory and sockets."""
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
    """Of 300 processes the first 256 are told, and that something is missing."""
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
    """Of very many files and sockets 64 each are told, and that something is missing."""
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
def test_no_more_descriptors_than_the_limit_are_looked_at(
    nursery: Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process with descriptors without end is left when enough of them have been seen."""
    pid = nursery.quiet()
    seen = itertools.count()
    monkeypatch.setattr(
        process_snapshots, "descriptors", lambda _: ((one, f"/file/{one}") for one in seen)
    )
    (snapshot,), is_complete = collect([pid], NO_SECRETS, AMPLE_SECONDS)
    assert (len(snapshot.open_files), is_complete) == (64, False)
    assert next(seen) < 2000


# What cannot be read


class Blocked:
    """Makes a reader of a module hang for ever at some paths, as the kernel may."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        self._released = threading.Event()

    def at(self, module: ModuleType, reader: str, ending: str) -> None:
        """Hang at every path that ends so."""
        read = getattr(module, reader)

        def hang(path: str, *args: int) -> Any:
            if path.endswith(ending):
                self._released.wait()
            return read(path, *args)

        self._monkeypatch.setattr(module, reader, hang)

    def release(self) -> None:
        """Let those who hang there go on, to their end."""
        self._released.set()


@pytest.fixture
def blocked(monkeypatch: pytest.MonkeyPatch) -> Iterator[Blocked]:
    """Readers that hang until the test is over."""
    blocked = Blocked(monkeypatch)
    yield blocked
    blocked.release()


@on_linux
def test_command_line_that_cannot_be_read_costs_only_itself(
    nursery: Nursery, blocked: Blocked
) -> None:
    """A read that never returns delays nobody beyond the time; what else there is, is told."""
    pid, held = nursery.python(HOLDS_EVERYTHING)
    other = nursery.quiet()
    blocked.at(process_snapshots, "_read", f"/{pid}/cmdline")
    told = collect_in_bounds([pid, other], seconds=1)
    assert told[pid].command == ""
    assert (told[pid].threads, told[pid].cwd) == (1, str(nursery.directory))
    assert held["opened"] in {one.descriptor for one in told[pid].open_files}
    assert {one.kind for one in told[pid].sockets} == {"tcp", "udp", "unix", "unknown"}
    assert told[other].open_files


@on_linux
@pytest.mark.parametrize(
    ("module", "reader", "ending"),
    [
        (process_snapshots, "_read", "{last}/stat"),
        (process_snapshots, "_read", "{last}/wchan"),
        (descriptors, "_link", "{last}/cwd"),
        (descriptors, "_link", "{first}/ns/net"),
        (descriptors, "_lines", "net/unix"),
    ],
)
def test_whatever_hangs_the_rest_is_told(
    nursery: Nursery, blocked: Blocked, module: ModuleType, reader: str, ending: str
) -> None:
    """Wherever reading hangs, it ends in time, with what could be read before and beside it."""
    first, held = nursery.python(HOLDS_EVERYTHING)
    last = nursery.quiet()
    blocked.at(module, reader, ending.format(first=first, last=last))
    told = collect_in_bounds([first, last], seconds=1)
    assert told[first].command
    assert held["opened"] in {one.descriptor for one in told[first].open_files}
    assert held["server"][0] in {one.descriptor for one in told[first].sockets}


@on_linux
def test_nothing_is_told_when_the_first_read_hangs(nursery: Nursery, blocked: Blocked) -> None:
    """When not even the process table answers, the time is kept all the same."""
    pid = nursery.quiet()
    blocked.at(process_snapshots, "_read", "/stat")
    assert collect_in_bounds([pid], seconds=0.2) == {}


def test_no_time_at_all_is_not_everything(nursery: Nursery) -> None:
    """Whoever gives no time gets an answer, and is told that it is not complete."""
    assert collect_in_bounds([nursery.quiet()], seconds=0) == {}


@on_linux
def test_somebody_elses_descriptors_are_missing_not_none(
    nursery: Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What we have no right to read is empty, said to be missing, and hides nothing else."""
    pid, _ = nursery.python(HOLDS_EVERYTHING)
    monkeypatch.setattr(descriptors, "_link", refuse)
    (snapshot,), is_complete = collect([pid], NO_SECRETS, AMPLE_SECONDS)
    assert not is_complete
    assert (snapshot.cwd, snapshot.open_files, snapshot.sockets) == (None, (), ())
    assert snapshot.command
    assert snapshot.rss_bytes


@on_linux
@pytest.mark.parametrize("missing", ["/wchan", "/cmdline"])
def test_file_that_this_kernel_does_not_have_is_no_error(
    nursery: Nursery, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    """Where /proc lacks a file, its field is null or empty, and the rest is told."""
    pid, held = nursery.python(HOLDS_EVERYTHING)
    really_open = open

    def without(path: str, mode: str) -> Any:
        if path.endswith(missing):
            raise FileNotFoundError(2, "No such file or directory", path)
        return really_open(path, mode)

    monkeypatch.setattr(process_snapshots, "open", without, raising=False)
    snapshot = told_of(pid)
    assert (snapshot.wait_channel is None) or missing != "/wchan"
    assert (snapshot.command == "") == (missing == "/cmdline")
    addresses = {one.descriptor: one.local for one in snapshot.sockets}
    assert addresses[held["local"]] == "a socket"


@on_linux
@pytest.mark.parametrize("content", [b"", b"1 (x) ", b"not what proc(5) says", b"\xff" * 100])
def test_nonsense_in_proc_is_survived(
    nursery: Nursery, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    """What is not as proc(5) says is missing, and stops nothing."""
    monkeypatch.setattr(process_snapshots, "_read", lambda *_: content)
    assert collect([nursery.quiet()], NO_SECRETS, AMPLE_SECONDS) == ((), False)


@pytest.mark.usefixtures("either_way")
def test_without_threads_the_basics_are_told(
    nursery: Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stage that has used up all threads there are is told of all the same, if incompletely."""
    pid = nursery.quiet()

    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    (snapshot,), is_complete = collect([pid], NO_SECRETS, AMPLE_SECONDS)
    assert (snapshot.pid, snapshot.threads, is_complete) == (pid, 1, False)


@pytest.mark.usefixtures("no_proc")
def test_without_proc_nothing_is_made_up(nursery: Nursery) -> None:
    """Where there is no /proc, what psutil does not tell is null or empty."""
    pid, _ = nursery.python(HOLDS_EVERYTHING)
    snapshot = told_of(pid)
    assert (snapshot.wait_channel, snapshot.age_seconds) == (None, None)
    assert (snapshot.open_files, snapshot.sockets) == ((), ())
