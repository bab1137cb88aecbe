"""The process runner: spawn, wait, terminate, kill, reap. The only user of subprocess.

A process is the leader of a session of its own: its group can be signalled as a whole, and it
has no way to the operator's terminal. Its end is noticed through a pidfd where there is one,
through a waiting thread elsewhere, never by polling. Knows nothing of stages or machines.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from fsm_orchestrator.interrupts import Interrupts
from fsm_orchestrator.process_table import SessionMember, describe, is_alive, session_members
from fsm_orchestrator.records import LeakedProcess, Resources
from fsm_orchestrator.results import (
    Exited,
    Interrupted,
    Lost,
    NotSpawned,
    ProcessEnd,
    Signaled,
    SpawnFailure,
    TimedOut,
)

KILL_ROUNDS_MAX = 50
KILL_WAIT_SECONDS = 0.2
_HAS_PIDFD = hasattr(os, "pidfd_open")
_RSS_UNIT_BYTES = 1 if sys.platform == "darwin" else 1024


@dataclass(frozen=True, slots=True)
class Command:
    """What to start. `program` is a path, or a bare name to be looked up on `search_path`."""

    program: str
    args: tuple[str, ...]
    cwd: str
    env: Mapping[str, str]
    search_path: str | None
    stdout: int
    stderr: int


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a process may run, and how long after SIGTERM it may take to end."""

    timeout_ms: int
    kill_grace_ms: int


@dataclass(frozen=True, slots=True)
class ProcessReport:
    """How it ended, what it used, what it left behind (already ended)."""

    end: ProcessEnd
    resources: Resources | None
    leaked: tuple[LeakedProcess, ...]


class ProcessRunner:
    """Runs one process at a time to its end, with everything it left in its session."""

    def __init__(self, interrupts: Interrupts) -> None:
        self._interrupts = interrupts

    def run(
        self, command: Command, limits: Limits, on_started: Callable[[int], None]
    ) -> ProcessReport:
        """Start `command` and wait for its end.

        `on_started` is called with the pid as soon as there is one; if it raises, the process is
        ended and the exception passes on. When this returns or raises, the leader is reaped and
        nothing of its session is alive.
        """
        spawned = _spawn(command)
        if isinstance(spawned, NotSpawned):
            return ProcessReport(end=spawned, resources=None, leaked=())
        child = _Child(spawned)
        try:
            on_started(child.pid)
            stopped = self._wait(child, limits)
            leaked = () if stopped else child.leftovers()
            if stopped or leaked:
                was_killed = child.end_session(
                    limits.kill_grace_ms,
                    self._interrupts,
                    requests_heard=1 if isinstance(stopped, Interrupted) else 0,
                )
                if isinstance(stopped, TimedOut):
                    stopped = TimedOut(stopped.timeout_ms, was_killed)
        except BaseException:
            heard = self._interrupts.count
            child.end_session(limits.kill_grace_ms, self._interrupts, requests_heard=heard)
            child.reap()
            raise
        end, resources = child.reap()
        return ProcessReport(end=stopped or end, resources=resources, leaked=leaked)

    def _wait(self, child: _Child, limits: Limits) -> TimedOut | Interrupted | None:
        """Wait for the end, the deadline or a request; None when the process ended by itself."""
        deadline = time.monotonic() + limits.timeout_ms / 1000
        while True:
            if self._interrupts.first is not None:
                return Interrupted(self._interrupts.first)
            if child.wait(deadline, self._interrupts):
                return None
            if time.monotonic() >= deadline:
                return TimedOut(limits.timeout_ms, was_killed=False)


class _Child:
    """A started process that has not been reaped: its pid and its session's id are its own."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self.pid = process.pid
        self._end_descriptor = _end_descriptor(process.pid)

    def wait(self, deadline: float, interrupts: Interrupts) -> bool:
        """Wait until the process has ended (True), the deadline, or a new request (False)."""
        ready = _poll((self._end_descriptor, interrupts.fileno()), deadline)
        if interrupts.fileno() in ready:
            interrupts.drain()
        return self._end_descriptor in ready

    def leftovers(self) -> tuple[LeakedProcess, ...]:
        """What is alive of the session beside the leader."""
        described = (describe(member) for member in self._others())
        return tuple(process for process in described if process is not None)

    def end_session(
        self, kill_grace_ms: int, interrupts: Interrupts, *, requests_heard: int
    ) -> bool:
        """SIGTERM to the whole session, grace, SIGKILL; whether SIGKILL was needed.

        A request beyond the first `requests_heard` (the operator's second Ctrl-C) ends the grace.
        """
        deadline = time.monotonic() + kill_grace_ms / 1000
        others = self._others()
        self._signal(signal.SIGTERM, others)
        self._signal(signal.SIGCONT, others)  # a stopped process cannot act on SIGTERM
        while alive := self._alive():
            if time.monotonic() >= deadline or interrupts.count > requests_heard:
                self._kill()
                return True
            self._wait_for_change(alive, deadline, interrupts)
        return False

    def _kill(self) -> None:
        """SIGKILL until nothing is left; bounded, for a process may sit in the kernel."""
        for _ in range(KILL_ROUNDS_MAX):
            self._signal(signal.SIGKILL, self._others())
            alive = self._alive()
            if not alive:
                return
            self._wait_for_change(alive, time.monotonic() + KILL_WAIT_SECONDS, None)

    def reap(self) -> tuple[ProcessEnd, Resources | None]:
        """Collect the ended leader: how it ended and what it used."""
        os.close(self._end_descriptor)
        try:
            _, status, usage = os.wait4(self.pid, 0)
        except ChildProcessError:
            self._process.returncode = 0  # so that Popen does not look for it
            return Lost(), None
        code = os.waitstatus_to_exitcode(status)
        self._process.returncode = code
        resources = Resources(
            user_seconds=round(usage.ru_utime, 6),
            system_seconds=round(usage.ru_stime, 6),
            rss_bytes_max=usage.ru_maxrss * _RSS_UNIT_BYTES,
        )
        return (Exited(code) if code >= 0 else Signaled(-code)), resources

    def _alive(self) -> tuple[SessionMember | None, ...]:
        """What is alive of the session; None stands for the leader."""
        has_ended = self._end_descriptor in _poll((self._end_descriptor,), 0.0)
        return (*(() if has_ended else (None,)), *self._others())

    def _others(self) -> tuple[SessionMember, ...]:
        return tuple(member for member in session_members(self.pid) if member.pid != self.pid)

    def _signal(self, signum: signal.Signals, others: tuple[SessionMember, ...]) -> None:
        """Signal the group, and what left the group but not the session."""
        # The unreaped leader keeps the group's id from being given to a stranger. macOS answers
        # EPERM where only the zombie is left.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signum)
        for member in others:
            _signal_member(member, signum)

    def _wait_for_change(
        self,
        alive: tuple[SessionMember | None, ...],
        deadline: float,
        interrupts: Interrupts | None,
    ) -> None:
        """Wait until one of `alive` has ended, the deadline, or a request."""
        pidfds = [_pidfd(member) for member in alive if member is not None]
        opened = [descriptor for descriptor in pidfds if descriptor >= 0]
        try:
            if len(opened) < len(pidfds) and _HAS_PIDFD:
                return  # one ended between the look and now
            watched = [*opened, *((self._end_descriptor,) if None in alive else ())]
            if interrupts is None:
                _poll(watched, deadline)
            elif interrupts.fileno() in _poll([*watched, interrupts.fileno()], deadline):
                interrupts.drain()
        finally:
            for descriptor in opened:
                os.close(descriptor)


def _spawn(command: Command) -> subprocess.Popen[bytes] | NotSpawned:
    program = _look_up(command)
    if isinstance(program, NotSpawned):
        return program
    if not os.path.isdir(command.cwd):
        return NotSpawned(SpawnFailure.BAD_DIRECTORY, f"{command.cwd} is not a directory")
    try:
        return subprocess.Popen(
            (command.program, *command.args),
            executable=program,
            cwd=command.cwd,
            env=command.env,
            stdin=subprocess.DEVNULL,
            stdout=command.stdout,
            stderr=command.stderr,
            start_new_session=True,
        )
    except FileNotFoundError:
        return NotSpawned(
            SpawnFailure.BAD_INTERPRETER,
            f"{program} is there, but the interpreter its first line names is not",
        )
    except OSError as error:
        if error.errno == errno.ENOEXEC:
            return NotSpawned(
                SpawnFailure.BAD_FORMAT,
                f"{program} is neither a program for this machine nor a script with a #! line",
            )
        return NotSpawned(SpawnFailure.REFUSED_BY_SYSTEM, f"{program}: {error.strerror}")


def _look_up(command: Command) -> str | NotSpawned:
    """The path of the program, or why there is none to start."""
    program = command.program
    if os.sep not in program:
        found = shutil.which(program, path=command.search_path)
        if found is None:
            return NotSpawned(SpawnFailure.NOT_FOUND, f"no executable {program!r} on PATH")
        return os.path.abspath(found)
    if os.path.isdir(program):
        return NotSpawned(SpawnFailure.IS_DIRECTORY, program)
    if not os.path.exists(program):
        return NotSpawned(SpawnFailure.NOT_FOUND, f"{program} does not exist")
    if not os.access(program, os.X_OK):
        return NotSpawned(SpawnFailure.NOT_EXECUTABLE, f"{program} may not be executed")
    return program


def _end_descriptor(pid: int) -> int:
    """A descriptor that is readable once the child `pid` has ended, reaped or not."""
    if _HAS_PIDFD:
        with contextlib.suppress(ProcessLookupError):  # gone already: the thread ends at once
            return os.pidfd_open(pid)
    reader, writer = os.pipe()

    def wait() -> None:
        with contextlib.suppress(ChildProcessError):
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        os.close(writer)

    threading.Thread(target=wait, name=f"wait-{pid}", daemon=True).start()
    return reader


def _pidfd(member: SessionMember) -> int:
    """A pidfd of a live process; -1 where it is gone or the platform has none."""
    if not _HAS_PIDFD:
        return -1
    try:
        descriptor = os.pidfd_open(member.pid)
    except OSError:
        return -1
    if is_alive(member):
        return descriptor
    os.close(descriptor)
    return -1


def _signal_member(member: SessionMember, signum: signal.Signals) -> None:
    """Signal that very process, never one that got its pid since."""
    descriptor = _pidfd(member)
    with contextlib.suppress(ProcessLookupError):
        if descriptor >= 0:
            signal.pidfd_send_signal(descriptor, signum)
            os.close(descriptor)
        elif not _HAS_PIDFD and is_alive(member):
            os.kill(member.pid, signum)


def _poll(descriptors: tuple[int, ...] | list[int], deadline: float) -> set[int]:
    """The readable ones; empty at the deadline (a reading of the monotonic clock)."""
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN | select.POLLHUP)
    left_ms = max(0.0, deadline - time.monotonic()) * 1000
    return {descriptor for descriptor, _ in poll.poll(left_ms)}
