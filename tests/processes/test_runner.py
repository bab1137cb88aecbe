"""A process that the runner starts: its end, its surroundings, its events and its remains."""

from __future__ import annotations

import contextlib
import os
import signal
import tracemalloc
from collections.abc import Iterator

import pytest

from fsm_orchestrator.model.endings import Exited, Lost, NotSpawned, Signaled, SpawnFailure
from fsm_orchestrator.processes import grouped
from fsm_orchestrator.vocabulary import Containment
from tests.processes.runner_cases import (
    ENDS_ON_SIGTERM,
    SHELL,
    Bench,
    executable,
    is_alive,
    is_our_child,
)

MEGABYTE = 1024**2


# The end of a process


@pytest.mark.usefixtures("either_way")
@pytest.mark.parametrize("code", [0, 1, 3, 255])
def test_exit_code_is_reported(bench: Bench, code: int) -> None:
    """A process that ends on its own is reported with its exit code, and leaves nothing to reap."""
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
    """A real-time signal, which has no name, is reported by its number."""
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
    peak = resources.rss_bytes_max
    if bench.containment is Containment.PROCESS_GROUP and peak is None:
        return  # this process, whose copy started it, may be larger
    assert peak is not None
    assert peak >= 64 * MEGABYTE


@pytest.fixture
def sigchld_ignored() -> Iterator[None]:
    """Let the kernel discard exit statuses, as a calling program may do."""
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGCHLD, before)


@pytest.mark.usefixtures("either_way", "sigchld_ignored")
def test_exit_status_taken_by_somebody_else_is_lost_not_invented(bench: Bench) -> None:
    """The end is `Lost`, never exit 0, where the calling program ignores SIGCHLD."""
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
    """A process that ended before the first look at it is `Lost` too."""
    if bench.containment is Containment.SUBREAPER:
        pytest.skip("the keeper is its parent, and ignores nothing")
    watch = grouped._end_descriptor

    def watch_too_late(pid: int, *pipe: int) -> int:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)
        return watch(pid, *pipe)

    monkeypatch.setattr(grouped, "_end_descriptor", watch_too_late)
    report = bench.shell("exit 3")
    assert (report.end, report.resources) == (Lost(grouped.STATUS_TAKEN), None)


# The surroundings of a process


def test_process_leads_a_session_and_group_of_its_own(bench: Bench) -> None:
    """The process leads a new session and group, so this program is never signaled with it."""
    bench.python("import os; print(os.getpid(), os.getsid(0), os.getpgrp())")
    assert [int(one) for one in bench.output.split()] == [bench.pid] * 3
    assert bench.pid not in {os.getsid(0), os.getpgrp()}


@pytest.fixture
def operators_stdin() -> Iterator[None]:
    """Provide something to read on the stdin of this process."""
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
    """The stdin of the process is /dev/null: it reads nothing of this program's."""
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
    """The process has exactly the given environment, in the given directory."""
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
    """Not even a descriptor that is marked inheritable in this process reaches the child."""
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
    """Megabytes on both streams arrive unchanged, and none of them pass through this process."""
    forwards = bytes(range(256))
    count = 5 * MEGABYTE // len(forwards)
    code = (
        "import sys; block = bytes(range(256));"
        f"sys.stdout.buffer.write(block * {count}); sys.stderr.buffer.write(block[::-1] * {count})"
    )
    stderr_path = bench.directory / "stderr"
    with stderr_path.open("wb") as stderr:
        # The peak resident size that getrusage(2) reports never falls, so it cannot show growth
        # below the peak of an earlier test.
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


# Programs that cannot be started


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
    """A file that cannot be started is reported by kind and path; nothing was started."""
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
    """A bare name that is only a plain file or a directory on the search path is not found."""
    (bench.directory / "plain").write_text("#!/bin/sh\n")
    (bench.directory / "folder").mkdir()
    end = bench.run(name, search_path=str(bench.directory)).end
    assert isinstance(end, NotSpawned)
    assert end.failure is SpawnFailure.NOT_FOUND
    assert repr(name) in end.detail


@pytest.mark.parametrize("name", ["absent", "plain"])
def test_working_directory_that_is_none_is_told_as_such(bench: Bench, name: str) -> None:
    """A missing directory, or a file in its place, is never taken for a missing program."""
    (bench.directory / "plain").touch()
    end = bench.shell("exit 0", cwd=str(bench.directory / name)).end
    assert isinstance(end, NotSpawned)
    assert end.failure is SpawnFailure.BAD_DIRECTORY
    assert str(bench.directory / name) in end.detail


def test_argument_list_that_is_too_long_is_refused_by_the_system(bench: Bench) -> None:
    """A start that the system refuses is reported with its reason, not raised."""
    end = bench.run(SHELL, *["x" * 100_000] * 100).end
    assert isinstance(end, NotSpawned)
    assert end.failure is SpawnFailure.REFUSED_BY_SYSTEM
    assert os.strerror(7) in end.detail


# Notifications and remains


def test_pid_is_told_while_the_process_lives(bench: Bench) -> None:
    """The callback gets the pid of the running process, before the wait for its end."""
    seen: list[tuple[int, bool]] = []

    def look() -> None:
        bench.hear()
        seen.append((bench.pid, is_alive(bench.pid)))
        os.kill(bench.pid, signal.SIGUSR1)

    report = bench.shell(ENDS_ON_SIGTERM, then=look)
    assert seen == [(bench.pid, True)]
    assert report.end == Signaled(signal.SIGUSR1)
