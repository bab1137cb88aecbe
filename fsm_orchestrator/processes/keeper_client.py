"""The orchestrator's side of the keeper: starts it, has it keep a stage's processes, releases it.

keeper.py describes the keeper, keeper_messages.py the messages between the two. The only module of
the orchestrator that uses posix_spawn. Linux only: if no keeper is available, `start_keeper`
returns why.
"""

from __future__ import annotations

import _socket as socket  # as in keeper_messages.py
import contextlib
import os
import signal
import sys
import time
from pathlib import Path
from typing import Final, NamedTuple

from fsm_orchestrator.model.endings import Lost
from fsm_orchestrator.model.execution import Resources
from fsm_orchestrator.model.limits import Limits
from fsm_orchestrator.processes import keeper_messages, pidfds
from fsm_orchestrator.processes.contained import Collected, end_of
from fsm_orchestrator.processes.polling import readable
from fsm_orchestrator.processes.table import identity, is_there

LOST: Final = "the process that keeps the stage's processes together was killed"
REPLY_SECONDS_MAX: Final = 30.0
"""The time that the keeper has to answer: it is not slow, but the machine may be."""
CONTINUE_SECONDS: Final = 0.2
LOOK_SECONDS: Final = 0.005
"""The seconds between two looks at a child that cannot be waited for in another way."""

_BOOT: Final = (
    "import _signal, _socket, sys;"
    " sys.modules.update(signal=_signal, socket=_socket);"
    " sys.path.append(sys.argv[2]); import keeper; keeper.boot()"
)
"""The code that the keeper's interpreter runs. Without the enumerations of both modules, and all
that those need, it starts in half the time."""


class KeeperLostError(Exception):
    """The keeper was killed, or does not answer: what it kept is no longer under control."""


class Started(NamedTuple):
    """A started process: its `pid`, and in a cage the Landlock version and the promises held."""

    pid: int
    abi: int = 0
    held: tuple[str, ...] = ()


class Refused(NamedTuple):
    """A refusal to start a process, because of the directory, program, output or cage.

    Attributes:
        where: `cwd`, `program`, `output` or `cage`; `lease` if that has run out.
        errno: the errno of what failed.
        path: the path in the cage that it is about; empty if it is about none.
    """

    where: str
    errno: int
    path: str = ""


class Unheld(NamedTuple):
    """A refusal to start a process: this kernel holds fewer promises of its cage than it needs."""

    abi: int
    held: tuple[str, ...]


class Keeper:
    """A running keeper. Serves one thread at a time; `close` it."""

    def __init__(self, pid: int, control: socket.socket) -> None:
        self.pid = pid
        self.identity = identity(pid)
        self._control = control
        self._is_ready = False
        self._unable = ""
        self._may_have_cgroup = False
        self._lease: int | None = None

    @property
    def is_up(self) -> bool:
        """True if it has reported that it can keep something, or cannot."""
        return self._is_ready

    def unable(self) -> str:
        """Return why it cannot keep anything; empty if it can. Waits until the keeper is up."""
        if not self._is_ready:
            try:
                verb, *rest = self._reply()
            except KeeperLostError as error:
                verb, rest = b"unable", [str(error).encode()]
            self._is_ready = True
            if verb != b"ready":
                self._unable = b" ".join(rest).decode(errors="replace")
        return self._unable

    def spawn(
        self,
        program: str,
        argv: tuple[str, ...],
        cwd: str,
        env: dict[str, str],
        limits: Limits,
        descriptors: tuple[int, ...],
        cage: tuple[str, ...] = (),
    ) -> Started | Refused | Unheld:
        """Start a stage's first process, in its own session.

        `cage` is the fields of cage.py, empty for no cage. `descriptors` are its logs for stdout
        and stderr, the file in which the keeper publishes `StageWatch.state`, and, if there are no
        pidfds, the writing end of a pipe, which the keeper closes once the process has ended.

        Raises:
            KeeperLostError: the keeper is gone; whether the process was started is not known.
        """
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        self._may_have_cgroup = bool(limits.memory_bytes_max or limits.processes_max)
        pairs = [f"{key}={value}" for key, value in env.items()]
        fields = [
            b"spawn",
            b" ".join(b"%d" % signum for signum in mask),
            *(b"%d" % (-1 if limit is None else limit) for limit in _watched(limits)),
            os.fsencode(program),
            os.fsencode(cwd),
            b"%d" % len(argv),
            *map(os.fsencode, argv),
            b"%d" % len(cage),
            *map(os.fsencode, cage),
            *([os.fsencode("\0".join(pairs))] if pairs else ()),  # NUL joins fields
        ]
        match self._ask(fields, descriptors):
            case [b"started", pid]:
                return Started(int(pid))
            case [b"started", pid, abi, *held]:
                return Started(int(pid), int(abi), tuple(map(os.fsdecode, held)))
            case [b"refused", where, number, path]:
                return Refused(where.decode(), int(number), os.fsdecode(path))
            case [b"unheld", abi, *held]:
                return Unheld(int(abi), tuple(map(os.fsdecode, held)))
            case reply:
                raise KeeperLostError(f"the keeper answered {reply!r}")

    def finish(self) -> Collected:
        """Send SIGKILL to what is left of the stage, and collect it, within `FINISH_SECONDS_MAX`.

        Processes that could not be ended are in `Collected.survivors`. The leader's end is not
        known if the leader is among them.

        Raises:
            KeeperLostError: the keeper is gone, and what it kept may be alive.
        """
        match self._ask([b"finish"]):
            case [b"finished", b"", _, _, _, killed, *survivors]:
                return Collected(Lost(LOST), None, int(killed), tuple(map(int, survivors)))
            case [b"finished", status, user, system, rss, killed, *survivors]:
                resources = Resources(
                    user_seconds=float(user),
                    system_seconds=float(system),
                    rss_bytes_max=int(rss) * 1024 or None,
                )
                ended = end_of(int(status))
                return Collected(ended, resources, int(killed), tuple(map(int, survivors)))
            case reply:
                raise KeeperLostError(f"the keeper answered {reply!r}")

    def lend(self, lease: int | None) -> None:
        """Make it obey a lease, by a descriptor of its timer; None frees it from the previous one.

        Once the lease has run out, it kills all that it keeps and starts nothing more.

        Raises:
            KeeperLostError: the keeper is gone.
        """
        if lease != self._lease:
            self._ask([b"lease"], () if lease is None else (lease,))
            self._lease = lease

    def note(self, what: bytes) -> None:
        """Make it `pause` its clocks, `go_on` with them, or `hand_over` the end of the stage.

        Raises:
            KeeperLostError: the keeper is gone.
        """
        self._ask([what])

    def fileno(self) -> int:
        """Return a descriptor that is readable if the keeper is gone or has answered."""
        return self._control.fileno()

    def close(self) -> None:
        """Release the keeper; it ends on its own once nothing is left to keep."""
        with contextlib.suppress(OSError):
            os.kill(self.pid, signal.SIGCONT)  # a stopped one would not notice
        with contextlib.suppress(OSError):  # a forked process may hold a copy of this end
            self._control.shutdown(socket.SHUT_RDWR)
        self._control.close()
        with contextlib.suppress(OSError):  # reaped by the kernel, if SIGCHLD is ignored here
            self._reap()

    def _reap(self) -> None:
        """Wait until it has ended, for a bounded time, and reap it."""
        deadline = time.monotonic() + keeper_messages.FINISH_SECONDS_MAX
        descriptor = pidfds.open_of(self.pid)
        if descriptor < 0:
            while not os.waitpid(self.pid, os.WNOHANG)[0] and time.monotonic() < deadline:
                time.sleep(LOOK_SECONDS)
            return
        try:
            if readable([descriptor], deadline):
                os.waitpid(self.pid, 0)
        finally:
            os.close(descriptor)

    def abandon(self) -> None:
        """End a keeper that does not do its work."""
        with contextlib.suppress(ProcessLookupError):  # not reaped: the pid is its own
            os.kill(self.pid, signal.SIGKILL)
        if self._may_have_cgroup:
            from fsm_orchestrator.processes import tree_cgroup  # noqa: PLC0415 - rare

            tree_cgroup.end_all_of(self.pid)
        self.close()

    def _ask(self, fields: list[bytes], descriptors: tuple[int, ...] = ()) -> list[bytes]:
        try:
            os.kill(self.pid, signal.SIGCONT)  # its stage may have stopped it
            keeper_messages.send(self._control, fields, descriptors)
        except OSError as error:
            raise KeeperLostError("the keeper was killed") from error
        return self._reply()

    def _reply(self) -> list[bytes]:
        deadline = time.monotonic() + REPLY_SECONDS_MAX
        while not readable([self._control.fileno()], time.monotonic() + CONTINUE_SECONDS):
            if time.monotonic() >= deadline:
                raise KeeperLostError("the keeper does not answer")
            with contextlib.suppress(OSError):
                os.kill(self.pid, signal.SIGCONT)  # its stage may have stopped it by now
        fields, _ = keeper_messages.receive(self._control)
        if not fields:
            raise KeeperLostError("the keeper was killed")
        return fields


def start_keeper() -> Keeper | str:
    """Start a keeper without waiting for it, or return why there can be none.

    The calling process does not become a subreaper; it has one more child.
    """
    if not sys.platform.startswith("linux"):
        return f"there is no child subreaper on {sys.platform}"
    if not is_there():
        return "there is no /proc of this program's processes, by which a stage's could be found"
    if not sys.executable:
        return "the path of the Python interpreter is not known"
    try:
        ours, theirs = socket.socketpair()
    except OSError as error:
        return f"no socket to it could be made: {error.strerror}"
    with contextlib.closing(theirs):
        try:
            pid = os.posix_spawn(
                sys.executable,
                (sys.executable, "-I", "-S", "-c", _BOOT, str(os.getpid()), _directory()),
                {
                    name: value for name, value in os.environ.items() if name
                },  # as execve(2) takes it
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, theirs.fileno(), 0),
                    (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
                    (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
                ],
                setsid=True,  # Ctrl-C is for the orchestrator, which directs the keeper
                setsigmask=signal.valid_signals(),
                setsigdef=[signal.SIGCHLD],
            )
        except (OSError, NotImplementedError) as error:
            ours.close()
            return f"{sys.executable} could not be started: {error}"
    return Keeper(pid, ours)


def _watched(limits: Limits) -> tuple[int | None, ...]:
    """Return the limits that the keeper watches, in the order in which it takes them."""
    least = limits.timeout_ms, limits.kill_grace_ms
    of_output = limits.idle_timeout_ms, limits.output_limit_bytes
    of_tree = limits.memory_bytes_max, limits.processes_max, limits.cpu_seconds_max
    return (*least, *of_output, *of_tree, limits.file_bytes_max)


def _directory() -> str:
    return str(Path(keeper_messages.__file__).parent)
