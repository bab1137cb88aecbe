"""Keeps a stage's processes together as a session: a process that leaves the session escapes.

For macOS, and for Linux where no keeper is available. The only module that starts a stage through
subprocess.
"""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import signal
import subprocess
import sys
import threading

from fsm_orchestrator.model.endings import Lost, NotSpawned
from fsm_orchestrator.model.execution import Resources
from fsm_orchestrator.model.limits import Limits
from fsm_orchestrator.processes import pidfds
from fsm_orchestrator.processes.command import (
    Command,
    look_up,
    no_descriptors,
    refused_program,
)
from fsm_orchestrator.processes.contained import Collected, end_of
from fsm_orchestrator.processes.group_output import GroupOutput
from fsm_orchestrator.processes.output_watch import Progress
from fsm_orchestrator.processes.polling import readable
from fsm_orchestrator.processes.signals import kill_session
from fsm_orchestrator.processes.table import ProcessKey, session_members

STATUS_TAKEN = "its exit status was lost: SIGCHLD is ignored in the calling process"
_RSS_UNIT_BYTES = 1 if sys.platform == "darwin" else 1024


def spawn_group(command: Command, limits: Limits) -> GroupProcess | NotSpawned:
    """Start `command` as a child of this process, or return why that failed."""
    if command.cage is not None or limits.has_of_usage:
        from fsm_orchestrator.processes.cage_order import NO_KEEPER  # noqa: PLC0415 - rare

        return NO_KEEPER
    program = look_up(command)
    if isinstance(program, NotSpawned):
        return program
    try:
        output = GroupOutput((command.stdout, command.stderr), limits)
    except OSError as error:
        return no_descriptors(error)
    except RuntimeError:  # no more threads can be started
        return refused_program(program, errno.EAGAIN)
    try:
        reader, writer = os.pipe()  # before the process, which must never be without an owner
    except OSError as error:
        output.close()
        return no_descriptors(error)
    try:
        process = subprocess.Popen(
            (command.command, *command.args),
            executable=program,
            cwd=command.cwd,
            env=command.env,
            stdin=subprocess.DEVNULL,
            stdout=output.writers[0],
            stderr=output.writers[1],
            start_new_session=True,
        )
    except OSError as error:
        os.close(reader)
        os.close(writer)
        output.close()
        return refused_program(program, error.errno or 0)
    try:
        output.started()
        return GroupProcess(process, _end_descriptor(process.pid, reader, writer), output)
    except BaseException:
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        output.close()
        raise


class GroupProcess:
    """A leader that is a child of this process, and its session."""

    def __init__(
        self, process: subprocess.Popen[bytes], end_descriptor: int, output: GroupOutput
    ) -> None:
        self._process = process
        self._output = output
        self.pause = output.pause
        self.go_on = output.go_on
        self.pid = process.pid
        self.cage = None
        self.end_descriptor = end_descriptor
        self.loss_descriptor = None

    def progress(self) -> Progress:
        """Return the state of its output and limits."""
        is_known = self._process.returncode is not None  # collected
        return self._output.progress(
            has_ended=is_known or bool(readable([self.end_descriptor], 0.0))
        )

    def hand_over(self) -> None:
        """Do nothing: nobody else ends it."""

    def everyone(self) -> tuple[ProcessKey, ...]:
        """List the live processes of the session."""
        return session_members(self.pid)

    def others(self) -> tuple[ProcessKey, ...]:
        """List the live processes of the session except the leader."""
        return tuple(key for key in self.everyone() if key.pid != self.pid)

    def collect(self) -> Collected:
        """Kill what is left of the session, and collect the leader."""
        killed = len(self.others())
        survivors = kill_session(self.pid, self.end_descriptor)
        self._output.close()
        try:
            os.close(self.end_descriptor)
            if self.pid in survivors:
                return Collected(Lost("it could not be ended"), None, killed, survivors)
            _, status, usage = os.wait4(self.pid, 0)
        except ChildProcessError:
            self._process.returncode = 0  # keeps Popen from looking for it
            return Collected(Lost(STATUS_TAKEN), None, killed, survivors)
        self._process.returncode = os.waitstatus_to_exitcode(status)
        resources = Resources(
            user_seconds=round(usage.ru_utime, 6),
            system_seconds=round(usage.ru_stime, 6),
            rss_bytes_max=_own_rss_bytes(usage.ru_maxrss),
        )
        return Collected(end_of(status), resources, killed, survivors)


def _own_rss_bytes(peak: int) -> int | None:
    """Return the peak memory of a child, or None if it may be that of this process.

    The kernel also counts what the child was before execve(2): a copy of this process.
    """
    is_own = peak > resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * _RSS_UNIT_BYTES if is_own else None


def _end_descriptor(pid: int, reader: int, writer: int) -> int:
    """Return a descriptor that is readable once the child `pid` has ended, reaped or not.

    It is a pidfd, or the pipe's reader.
    """
    descriptor = -1
    with contextlib.suppress(ProcessLookupError):  # already gone: the thread ends at once
        descriptor = pidfds.open_of(pid)
    if descriptor >= 0:
        os.close(reader)
        os.close(writer)
        return descriptor

    def wait() -> None:
        with contextlib.suppress(ChildProcessError):
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        with contextlib.suppress(OSError):  # nobody is waiting any longer
            os.write(writer, b"!")  # a forked process may have a copy of this end
        os.close(writer)

    threading.Thread(target=wait, name=f"wait-{pid}", daemon=True).start()
    return reader
