"""One orchestrator per output directory: a second one is refused, a dead one is no obstacle.

The first orchestrator is held in a stage that says it is ready and waits to be released; while it
waits it writes nothing, so that every change in OUT would be the second one's.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import pytest

from fsm_orchestrator.disk.lock import OutputLock, holder_of
from fsm_orchestrator.errors import BusyError, RecordingError
from tests.support.command import (
    CHECKPOINT,
    COMMAND,
    PASSING,
    Ended,
    environment,
    orchestrate,
    read_json,
    report_of,
    shell,
    spawned,
    stages,
    start,
    statuses,
)

LOCK = "orchestrator.lock"
# The pid is the last thing recorded before a stage ends: once it is there, OUT is still.
WAIT = (
    f"until grep -q '\"pid\": *[0-9]' out/{CHECKPOINT}; do :; done;"
    " echo ran >> ran; echo > ready; read word < release"
)

pytestmark = pytest.mark.timeout(300)


@contextlib.contextmanager
def signals_of_a_stage(cwd: Path) -> Iterator[Callable[[], None]]:
    """Make the FIFOs of a stage that runs `WAIT`; yield its release, which also happens at exit."""
    for name in ("ready", "release"):
        os.mkfifo(cwd / name)
    descriptor = os.open(cwd / "release", os.O_RDWR)  # kept open: written bytes wait for the stage

    def release() -> None:
        os.write(descriptor, b"go\n")

    try:
        yield release
    finally:
        release()
        os.close(descriptor)


@dataclass(frozen=True, slots=True)
class Held:
    """An orchestrator that is held in a stage."""

    process: subprocess.Popen[str]
    let_go: Callable[[], None]

    def release(self) -> Ended:
        """Let the stage end, and wait for the orchestrator's end."""
        self.let_go()
        stdout, stderr = self.process.communicate(timeout=60)
        return Ended(self.process.returncode, stdout, stderr)

    def kill(self) -> None:
        """Kill the orchestrator with SIGKILL; its stage continues to wait."""
        self.process.kill()
        self.process.communicate(timeout=60)


@contextlib.contextmanager
def held(cwd: Path, *arguments: str) -> Iterator[Held]:
    """Start an orchestrator one of whose stages runs `WAIT`, and wait until it does."""
    with signals_of_a_stage(cwd) as release:
        process = start(*arguments, cwd=cwd)
        try:
            (cwd / "ready").read_text()
            yield Held(process, release)
        finally:
            if process.poll() is None:
                process.terminate()
                process.communicate(timeout=60)


def everything(directory: Path) -> dict[str, tuple[int, bytes]]:
    """Return all paths below a directory, directories included, with times and content."""
    return {
        str(path.relative_to(directory)): (
            path.stat().st_mtime_ns,
            path.read_bytes() if path.is_file() else b"",
        )
        for path in sorted(directory.rglob("*"))
    }


def assert_busy(ended: Ended, holder: int) -> None:
    """Check for exit code 75 and one message with the directory, its holder, and since when."""
    assert ended.code == 75, ended
    assert ended.stdout == ""
    first, *rest = ended.stderr.splitlines()
    assert first.startswith("fsm-orchestrator: ")
    assert f"process {holder} on {socket.gethostname()}, since 20" in first
    assert len(rest) <= 1
    assert "Traceback" not in ended.stderr


# Two at once


@pytest.mark.parametrize(
    "second",
    [
        ("./out", *PASSING, *stages("echo ran >> ran")),
        ("./out", "--resume"),
        ("./out", "--resume", "--rerun", "manager"),
        ("./link", "--resume"),
        ("./way/../out", *PASSING, *stages("echo ran >> ran")),
        ("./out", "--json"),
    ],
    ids=["run", "resume", "rerun", "link", "detour", "json"],
)
def test_second_is_refused_during_a_run(tmp_path: Path, second: tuple[str, ...]) -> None:
    """While a run works, run and resume on its directory exit with 75 at once, changing nothing."""
    (tmp_path / "link").symlink_to("out")
    (tmp_path / "way").mkdir()
    with held(tmp_path, "./out", *PASSING, *stages(WAIT)) as first:
        before = everything(tmp_path / "out")
        ended = orchestrate(*second, cwd=tmp_path)
        assert_busy(ended, first.process.pid)
        assert read_json(tmp_path / "out" / LOCK)["since"] in ended.stderr
        assert everything(tmp_path / "out") == before
        assert first.release().code == 0
    assert (tmp_path / "ran").read_text() == "ran\n"
    report = report_of(tmp_path / "out")
    assert spawned(report) == ["manager", "executor"]
    assert report["earlier_invocations"] == []


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0 or shutil.which("unshare") is None,
    reason="needs root and unshare(1) to mount",
)
def test_second_is_refused_by_way_of_a_bind_mount(tmp_path: Path) -> None:
    """The same directory mounted elsewhere gives exit code 75, and nothing is changed."""
    (tmp_path / "other").mkdir()
    with held(tmp_path, "./out", *PASSING, *stages(WAIT)) as first:
        before = everything(tmp_path / "out")
        done = subprocess.run(
            [
                *("unshare", "-m", "/bin/sh", "-c", 'mount --bind out other && exec "$@"', "sh"),
                *(*COMMAND, "./other", *PASSING, *stages("echo ran >> ran")),
            ],
            cwd=tmp_path,
            env=environment(XDG_STATE_HOME=str(tmp_path / "state")),
            capture_output=True,
            text=True,
            check=False,
        )
        assert_busy(Ended(done.returncode, done.stdout, done.stderr), first.process.pid)
        assert everything(tmp_path / "out") == before
        assert first.release().code == 0


def test_second_is_refused_during_a_resume(tmp_path: Path) -> None:
    """While a resume works, another resume and a new run exit with 75 and change nothing."""
    script = f'test "$ORCHESTRATOR_ATTEMPT" -gt 1 || exit 1; {WAIT}'
    assert orchestrate("./out", *PASSING, *stages(script), cwd=tmp_path).code == 1
    with held(tmp_path, "./out", "--resume") as first:
        before = everything(tmp_path / "out")
        assert_busy(orchestrate("./out", "--resume", cwd=tmp_path), first.process.pid)
        assert_busy(orchestrate("./out", *PASSING, *stages(), cwd=tmp_path), first.process.pid)
        assert everything(tmp_path / "out") == before
        assert first.release().code == 0
    assert statuses(report_of(tmp_path / "out")) == [
        ("manager", "success"),
        ("executor", "success"),
    ]


def test_many_starts_at_once(tmp_path: Path) -> None:
    """Of several started together in one new directory exactly one works."""
    options = ("./out", *PASSING, *stages(WAIT))
    with ThreadPoolExecutor(4) as pool, signals_of_a_stage(tmp_path) as release:
        futures = [pool.submit(orchestrate, *options, cwd=tmp_path) for _ in range(4)]
        ends = as_completed(futures)
        assert [next(ends).result().code for _ in range(3)] == [75, 75, 75]
        (tmp_path / "ready").read_text()
        release()
        assert next(ends).result().code == 0
    assert (tmp_path / "ran").read_text() == "ran\n"
    assert not (tmp_path / "out" / "archive").exists()


def test_plan_and_status_during_a_run(tmp_path: Path) -> None:
    """`plan` says that a run would be refused now, and by whom; `status` names the holder."""
    with held(tmp_path, "./out", *PASSING, *stages(WAIT)) as first:
        before = everything(tmp_path / "out")
        who = f"process {first.process.pid} on {socket.gethostname()}, since 20"
        for options in (("--resume",), (*PASSING, *stages())):
            ended = orchestrate("plan", "./out", *options, cwd=tmp_path)
            assert ended.code == 0
            assert "75" in ended.stdout
            assert who in " ".join(ended.stdout.split())
        ended = orchestrate("status", "./out", cwd=tmp_path)
        assert ended.code == 0
        assert who in ended.stdout
        assert everything(tmp_path / "out") == before
        assert first.release().code == 0
    ended = orchestrate("plan", "./out", "--resume", cwd=tmp_path)
    assert who not in ended.stdout
    assert who not in orchestrate("status", "./out", cwd=tmp_path).stdout


# Dead holders


def test_killed_holder_needs_no_person(tmp_path: Path) -> None:
    """After SIGKILL during a stage a resume continues on its own, whatever is left of the stage.

    The stage's process did not inherit the lock, and may be alive when the resume starts.
    """
    script = f'test "$ORCHESTRATOR_ATTEMPT" -gt 1 || {{ {WAIT}; }}'
    with held(tmp_path, "./out", *PASSING, *stages(script)) as first:
        first.kill()
        assert holder_of(tmp_path / "out") is None
        plan = orchestrate("plan", "./out", "--resume", cwd=tmp_path)
        assert plan.code == 0
        assert str(first.process.pid) not in plan.stdout
        ended = orchestrate("./out", "--resume", cwd=tmp_path)
        assert ended.code == 0, ended.stderr
    report = report_of(tmp_path / "out")
    assert spawned(report) == ["manager", "executor"]
    assert statuses(report["earlier_invocations"][0]) == [("manager", "interrupted")]


def test_killed_holder_does_not_refuse_a_new_run(tmp_path: Path) -> None:
    """After SIGKILL a new run starts in the same directory and archives the killed one's files."""
    with held(tmp_path, "./out", *PASSING, *stages(WAIT)) as first:
        run_id = report_of(tmp_path / "out")["run_id"]
        first.kill()
        assert orchestrate("./out", *PASSING, *stages(), cwd=tmp_path).code == 0
    assert (tmp_path / "out" / "archive" / run_id / CHECKPOINT).exists()


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs /proc to look at descriptors")
def test_no_stage_inherits_the_lock(tmp_path: Path) -> None:
    """A stage has its three streams and no descriptor of the orchestrator or the keeper."""
    script = "ls -l /proc/$$/fd; exit 0"  # not the last command: the shell lists itself
    assert orchestrate("./out", *PASSING, *shell("manager", script), cwd=tmp_path).code == 0
    text = (tmp_path / "out/logs/manager.1.stdout.log").read_text()
    targets = dict(re.findall(r" (\d+) -> (.*)$", text, re.MULTILINE))
    assert list(targets) == ["0", "1", "2"]
    assert targets["0"] == os.devnull
    assert targets["1"].startswith("pipe:")
    assert targets["2"].startswith("pipe:")
    assert targets["1"] != targets["2"]


def test_text_in_a_free_lock_file_means_nothing(tmp_path: Path) -> None:
    """The content of a lock file counts only while it is held; afterwards it names nobody."""
    out = tmp_path / "out"
    out.mkdir()
    stale = {"pid": os.getpid(), "host": socket.gethostname(), "since": "2026", "run_id": "x"}
    (out / LOCK).write_text(json.dumps(stale))
    assert holder_of(out) is None
    assert orchestrate("./out", *PASSING, *stages(), cwd=tmp_path).code == 0
    assert (out / LOCK).read_bytes() == b""


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[1]", b"\xff\0", b'{"pid": "\\u001b[31m", "host": 1, "since": 2}']
)
def test_holder_that_does_not_say_who_it_is(tmp_path: Path, content: bytes) -> None:
    """A held lock refuses whatever its file contains, and the message stays printable."""
    out = tmp_path / "out"
    out.mkdir()
    (out / LOCK).write_bytes(content)
    with (out / LOCK).open("rb") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        ended = orchestrate("./out", *PASSING, *stages(), cwd=tmp_path)
    assert ended.code == 75
    assert str(out) in ended.stderr
    assert "\x1b" not in ended.stderr
    assert (out / LOCK).read_bytes() == content
    assert [path.name for path in out.iterdir()] == [LOCK]


# The lock file is removed or replaced


@pytest.mark.parametrize(
    "harm",
    [
        Path.unlink,
        lambda path: (path.unlink(), path.touch()),
        lambda path: (path.unlink(), path.mkdir()),
        lambda path: path.rename(path.with_name("elsewhere")),
    ],
    ids=["removed", "replaced", "a directory", "renamed"],
)
def test_lock_file_is_taken_away_during_a_run(
    tmp_path: Path, harm: Callable[[Path], object]
) -> None:
    """Removing a lock file does not let a second orchestrator into the directory."""
    out = tmp_path / "out"
    with held(tmp_path, "./out", *PASSING, *stages(WAIT)) as first:
        harm(out / LOCK)
        before = report_of(out)
        ended = orchestrate("./out", *PASSING, *stages("echo second > second"), cwd=tmp_path)
        assert ended.code != 0
        assert not (tmp_path / "second").exists()
        assert report_of(out) == before
        first.release()
    assert (tmp_path / "ran").read_text() == "ran\n"
    assert report_of(out)["run_id"] == before["run_id"]


def test_lock_file_is_replaced_while_it_is_being_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lock on a file that is no longer at its path does not count as the lock."""
    path = tmp_path / LOCK
    replaced: list[int] = []
    real_flock = fcntl.flock

    def flock(descriptor: int, operation: int) -> None:
        if not replaced and path.exists():
            replaced.append(path.stat().st_ino)
            path.rename(tmp_path / "old")
            path.touch()
        real_flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", flock)
    path.touch()
    taken = OutputLock.acquire(tmp_path)
    try:
        assert replaced != [path.stat().st_ino]
        assert os.fstat(taken.file).st_ino == path.stat().st_ino
    finally:
        taken.release()


# lock.py


def test_lock_excludes_and_is_given_back(tmp_path: Path) -> None:
    """A held lock refuses, names its holder, and is free once released."""
    first = OutputLock.acquire(tmp_path)
    first.write_holder(since="2026-01-31T09:00:00.000Z", run_id="some-run")
    who = (
        f"process {os.getpid()} on {socket.gethostname()},"
        " since 2026-01-31T09:00:00.000Z (run some-run)"
    )
    with pytest.raises(BusyError) as caught:
        OutputLock.acquire(tmp_path)
    assert who in str(caught.value)
    assert who == str(holder_of(tmp_path))
    first.release()
    assert holder_of(tmp_path) is None
    OutputLock.acquire(tmp_path).release()


def test_looking_makes_no_lock_file(tmp_path: Path) -> None:
    """Neither a look for the holder nor taking the lock writes anything."""
    OutputLock.acquire(tmp_path).release()
    assert holder_of(tmp_path) is None
    assert holder_of(tmp_path / "nowhere") is None
    assert list(tmp_path.iterdir()) == []


def test_holder_that_cannot_be_looked_for_is_not_nobody(tmp_path: Path) -> None:
    """Without a free descriptor the answer is an error, not that nobody holds the directory."""
    program = (
        "import resource, sys; from pathlib import Path\n"
        "from fsm_orchestrator.disk.lock import holder_of\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))\n"
        "try: print(holder_of(Path(sys.argv[1])))\n"
        "except Exception as error: print(type(error).__name__, error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path], capture_output=True, text=True, check=True
    )
    assert done.stdout == (
        f"CommandError cannot tell whether a run is at work in {tmp_path}: too many open files\n"
    )


@pytest.mark.parametrize(
    "make", [Path.mkdir, lambda path: path.symlink_to("elsewhere")], ids=["directory", "link"]
)
def test_lock_in_an_odd_place_is_an_error(tmp_path: Path, make: Callable[[Path], object]) -> None:
    """A directory or a link in the lock file's place is named, and nothing is made through it."""
    make(tmp_path / LOCK)
    lock = OutputLock.acquire(tmp_path)
    with pytest.raises(RecordingError) as caught:
        lock.write_holder(since="2026-01-31T09:00:00.000Z", run_id="some-run")
    lock.release()
    assert str(tmp_path / LOCK) in str(caught.value)
    assert caught.value.operation == "lock.acquire"
    assert not (tmp_path / "elsewhere").exists()


def test_lock_of_a_directory_that_is_gone(tmp_path: Path) -> None:
    """Without its directory there is no lock to take."""
    with pytest.raises(RecordingError):
        OutputLock.acquire(tmp_path / "gone")
