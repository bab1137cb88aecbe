"""The keeper: a small separate process between the orchestrator and a stage's processes.

It is a child subreaper (prctl(2)): whatever a stage starts, however it is detached, stays below it.
When wait(2) reports that it has no children, nothing of the stage is alive. It outlives an
orchestrator that gets SIGKILL just long enough to end what that orchestrator had started.

Linux only. keeper_client.py starts it in an isolated interpreter, so it imports nothing from this
package but modules of its own directory, and little else (`signal` and `socket` are what
keeper_client.py makes of them there). It holds no lock and no terminal. termination.py decides when
to end which process, and how gently. The keeper ends the stage only if a limit is broken and the
orchestrator, because it is stopped, does nothing about it. Once the lease of the run has run out,
the keeper kills everything at once, even if the orchestrator lives.

It copies what a stage prints into its logs (log_copy.py), and publishes how much that is and which
limit is broken (stage_watch.py), in a file in memory that the orchestrator reads at any time.
keeper_messages.py describes the messages.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import time

TYPE_CHECKING = False  # type checkers know this name; importing typing takes time
if TYPE_CHECKING:
    import resource
    from collections.abc import Sequence

    from fsm_orchestrator.processes import freezing
    from fsm_orchestrator.processes.kept_output import KeptOutput
if TYPE_CHECKING or __package__:
    from fsm_orchestrator.processes import stage_start
    from fsm_orchestrator.processes.freezing import kernel_bytes
    from fsm_orchestrator.processes.keeper_messages import (
        DESCRIPTORS_MAX,
        FINISH_SECONDS_MAX,
        receive,
        send,
    )
    from fsm_orchestrator.processes.stage_watch import LeaseWatch
    from fsm_orchestrator.processes.tree_usage import own_rss_kib
else:  # in the keeper's own process; all now: a stage may replace the package
    import freezing
    import stage_start
    from freezing import kernel_bytes
    from keeper_messages import DESCRIPTORS_MAX, FINISH_SECONDS_MAX, receive, send
    from kept_output import KeptOutput
    from stage_watch import LeaseWatch
    from tree_usage import own_rss_kib

PR_SET_DUMPABLE, PR_SET_NAME, PR_SET_CHILD_SUBREAPER = 4, 15, 36  # linux/prctl.h
FREEZE_SECONDS_MAX = 4.0
"""The longest time to freeze what keeps starting others, before it is killed one by one."""
WAIT_SECONDS_MIN, WAIT_SECONDS_MAX = 0.005, 0.5
STDERR = 2
LOOK_SECONDS = 0.2
"""The seconds between two checks that the orchestrator lives, if there is no descriptor of it."""
KEPT_SIGNALS = {signal.SIGCHLD, signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL}


class Keeper:
    """A server of one orchestrator: keeps one stage's leader at a time, and all that it starts."""

    def __init__(self, control: socket.socket, pid: int, orchestrator: int) -> None:
        self._control = control
        self._orchestrator_pid = pid
        self._orchestrator = orchestrator
        self._leader = 0
        self._output: KeptOutput | None = None
        self._end_pipe = -1
        self._lease = LeaseWatch()
        self._children_file = f"/proc/self/task/{os.getpid()}/children"
        self._woken, waker = os.pipe()
        for descriptor in (self._woken, waker):
            os.set_blocking(descriptor, False)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def serve(self) -> None:
        """Obey the orchestrator until it is gone; then end what is left of its stage."""
        while True:
            ready = self._wait()
            if self._woken in ready:
                self._hear()
                self._reap_adopted()
                self._tell_end()
            self._lease.look(self._kill_alive)
            if self._output is not None:
                self._output.look(ready, self._leader, self._kill_alive)
            if self._orchestrator in ready or os.getppid() != self._orchestrator_pid:
                break
            if self._control.fileno() in ready and not self._answer():
                break
        self._end_all(None)
        self._close_output()

    def _wait(self) -> set[int]:
        """Wait for a message, an end, output, or the next time to check a limit."""
        readers = () if self._output is None else self._output.readers
        always = self._control.fileno(), self._orchestrator, self._woken, self._lease.descriptor
        watched = select.poll()
        for descriptor in (*always, *readers):
            if descriptor >= 0:
                watched.register(descriptor, select.POLLIN)
        waits = [None if self._output is None else self._output.wait_ms]
        if self._orchestrator < 0:
            waits.append(LOOK_SECONDS * 1000)
        if self._lease.is_outlived:
            waits.append(WAIT_SECONDS_MIN * 1000)
        wait_ms = min((wait for wait in waits if wait is not None), default=None)
        return {descriptor for descriptor, _ in watched.poll(wait_ms)}

    def _answer(self) -> bool:
        """Act on one message; return False if the other side is gone."""
        fields, descriptors = receive(self._control)
        match fields:
            case []:
                return False
            case [b"spawn", *rest]:
                reply = self._spawn(rest, descriptors)
            case [b"finish"]:
                reply = self._finish()
            case [b"lease"]:
                self._lease.obey(descriptors)
                reply = [b"done"]
            case _:
                if self._output is not None:
                    self._output.note(fields[0])
                reply = [b"done"]
        try:
            send(self._control, reply)
        except OSError:
            return False
        return True

    def _spawn(self, fields: list[bytes], descriptors: Sequence[int]) -> list[bytes]:
        """Start a stage's first process, and keep its output."""
        (signals, *limits, file_bytes), rest = fields[:9], fields[9:]
        self._end_pipe = descriptors[-1] if len(descriptors) == DESCRIPTORS_MAX else -1
        try:
            output = self._output = KeptOutput(limits, descriptors[:3])
            order = stage_start.Order(signals, int(file_bytes), rest)
            self._confirm_lease()
            self._leader, held = output.start(order)
        except OSError as error:
            reply = [b"refused", b"output", b"%d" % (error.errno or 0), b""]
        except stage_start.NotStartedError as refused:
            reply = refused.reply
        else:
            return [b"started", b"%d" % self._leader, *held]
        self._close_output()
        self._close_end_pipe()
        return reply

    def _confirm_lease(self) -> None:
        if self._lease.is_over():
            raise stage_start.NotStartedError([b"refused", b"lease", b"0", b""])

    def _finish(self) -> list[bytes]:
        """Kill what is left of the stage, until there is proof that nothing is."""
        if self._output is not None:
            self._output.look_for_end(self._leader)
        ended, killed = self._end_all(time.monotonic() + FINISH_SECONDS_MAX)
        self._close_output()
        status, usage = ended.get(self._leader, (None, None))
        self._close_end_pipe()
        self._leader = 0
        survivors = [b"%d" % pid for pid in self._children()] if killed < 0 else []
        return [
            b"finished",
            b"" if status is None else b"%d" % status,
            b"%.6f" % (usage.ru_utime if usage else 0),
            b"%.6f" % (usage.ru_stime if usage else 0),
            b"%d" % own_rss_kib(usage),
            b"%d" % max(0, killed),
            *survivors,
        ]

    def _end_all(
        self, deadline: float | None
    ) -> tuple[dict[int, tuple[int, resource.struct_rusage]], int]:
        """Kill every child, and the children adopted as a result, until there are none.

        Returns:
            The statuses of the reaped children, and how many except the leader had to be killed;
            -1 at the deadline.
        """
        ended: dict[int, tuple[int, resource.struct_rusage]] = {}
        signaled = self._kill_frozen(deadline)
        wait_seconds = WAIT_SECONDS_MIN
        while True:
            for pid in self._children():
                if self._kill(pid):
                    signaled.add(pid)
            if self._output is not None:
                self._output.drain(is_stubborn=wait_seconds == WAIT_SECONDS_MAX)
            before = len(ended)
            try:
                while (reaped := os.wait4(-1, os.WNOHANG))[0]:
                    ended[reaped[0]] = reaped[1:]
            except ChildProcessError:
                others = signaled - {self._leader}
                return ended, sum(ended[pid][0] == signal.SIGKILL for pid in others if pid in ended)
            if len(ended) > before:  # their children have been adopted
                wait_seconds = WAIT_SECONDS_MIN
                continue
            if deadline is not None and time.monotonic() >= deadline:
                return ended, -1
            select.select([self._woken], (), (), wait_seconds)
            wait_seconds = min(2 * wait_seconds, WAIT_SECONDS_MAX)
            self._hear()

    def _close_output(self) -> None:
        """Close the stage's output: the stage has ended, or was never started."""
        output, self._output = self._output, None
        if output is not None:
            output.close()

    def _kill_alive(self) -> bool:
        """Freeze and kill what is alive; return whether anything was."""
        return bool(self._kill_frozen(time.monotonic() + FREEZE_SECONDS_MAX))

    def _kill_frozen(self, deadline: float | None) -> set[int]:
        """Freeze and kill all that is alive; return the pids, none if nothing was."""
        children = self._children()
        if not children or (children == [self._leader] and self._has_ended(self._leader)):
            return set()
        looks = (
            lambda: [(pid, 0) for pid in self._children()],
            lambda: freezing.below(os.getpid()),
        )
        until = time.monotonic() + FREEZE_SECONDS_MAX
        frozen, _ = freezing.freeze(looks, until if deadline is None else min(until, deadline))
        return {pid for pid, _ in frozen if self._kill(pid)}

    def _kill(self, pid: int) -> bool:
        """Kill a child: it is not reaped yet, so no stranger can have its pid."""
        try:
            os.kill(pid, signal.SIGKILL)
        except OSError:  # of another user (sudo), which may still end on its own
            return False
        return True

    def _tell_end(self) -> None:
        """Close the pipe once the leader has ended; this does not reap the leader."""
        if self._end_pipe >= 0 and self._leader and self._has_ended(self._leader):
            self._close_end_pipe()

    def _has_ended(self, pid: int) -> bool:
        """Return whether a child has ended, without reaping it."""
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def _close_end_pipe(self) -> None:
        """Write to the pipe, if any, and close it: a forked process may have a copy of this end."""
        descriptor, self._end_pipe = self._end_pipe, -1
        if descriptor < 0:
            return
        try:
            os.write(descriptor, b"!")
        except OSError:  # the orchestrator is gone
            return
        finally:
            os.close(descriptor)

    def _reap_adopted(self) -> None:
        """Reap adopted processes that have ended. The leader keeps its pid until `finish`."""
        for pid in self._children():
            if pid != self._leader:
                try:
                    os.waitpid(pid, os.WNOHANG)
                except ChildProcessError:
                    continue

    def _children(self) -> list[int]:
        """List the children, including ended ones that are not reaped."""
        try:
            return [int(pid) for pid in kernel_bytes(self._children_file).split()]
        except FileNotFoundError:  # a kernel without CONFIG_PROC_CHILDREN
            return freezing.children_of(os.getpid())

    def _hear(self) -> None:
        try:
            while os.read(self._woken, 512):
                pass
        except BlockingIOError:
            return


def main() -> None:
    """Become a subreaper and serve the process that holds the other end of descriptor 0."""
    # Started with all signals blocked: only those that cannot be blocked may end the keeper.
    signal.pthread_sigmask(signal.SIG_SETMASK, signal.valid_signals() - KEPT_SIGNALS)
    os.chdir("/")
    _close_inherited()
    control = socket.socket(fileno=0)
    expected = int(sys.argv[1])
    trouble = _become_subreaper()
    if trouble:
        send(control, [b"unable", b"prctl: " + trouble.encode()])
        return
    try:
        orchestrator = os.pidfd_open(expected)
    except (AttributeError, OSError):  # an old kernel, or a filter that refuses it
        orchestrator = -1
    if os.getppid() == expected:
        keeper = Keeper(control, expected, orchestrator)
        try:
            send(control, [b"ready"])
        except OSError:
            return
        keeper.serve()


def _become_subreaper() -> str:
    """Take a name and become a subreaper; return why that failed, or an empty string."""
    import _ctypes  # noqa: PLC0415 - half of what ctypes takes to load

    prctl = _ctypes.dlsym(_ctypes.dlopen(None, os.RTLD_NOW), "prctl")  # type: ignore[arg-type]
    _ctypes.call_function(prctl, (PR_SET_DUMPABLE, 0, 0, 0, 0))
    _ctypes.call_function(prctl, (PR_SET_NAME, b"fsm-keeper", 0, 0, 0))
    if _ctypes.call_function(prctl, (PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)) == 0:
        return ""
    import ctypes  # noqa: PLC0415 - once more, for the reason

    refused = ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0
    return os.strerror(ctypes.get_errno()) if refused else ""


def _close_inherited() -> None:
    """Close what the operator left open: it must not stay open here."""
    for descriptor in map(int, os.listdir("/proc/self/fd")):
        if descriptor > STDERR:
            try:
                os.close(descriptor)
            except OSError:  # the one that the directory was read through
                continue


def boot() -> None:
    """Run the keeper for the whole life of its process; never return."""
    try:
        main()
    finally:
        os._exit(0)  # at once: nothing is buffered, and the orchestrator waits
