"""Takes snapshots of processes: what each is doing, as far as a given time allows.

What can be learned in a fraction of a second is kept, and reported as incomplete if necessary.
psutil provides most of it; the kernel's name and wait channel of a process, and its descriptors,
are read from /proc if there is one. Decides nothing, signals nothing and writes nothing; the caller
knows which processes belong to a stage.
"""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import psutil

from fsm_orchestrator.model.base import Count, Ordinal, StrictModel
from fsm_orchestrator.model.declared import Field
from fsm_orchestrator.processes.descriptors import OpenFile, OpenSocket, descriptors, socket_of
from fsm_orchestrator.processes.table import age_seconds
from fsm_orchestrator.secrets.masking import Masker

COLLECT_SECONDS_MAX: Final = 0.2
PROCESSES_MAX: Final = 256
FILES_MAX: Final = 64
SOCKETS_MAX: Final = 64
DESCRIPTORS_MAX: Final = 1024  # most descriptors of a process to search for files and sockets
COMMAND_CHARACTERS_MAX: Final = 300
ZOMBIE: Final = "zombie"
"""The state of a process that has ended and that nobody has waited for."""

_SOCKET: Final = "socket:["


class ProcessSnapshot(StrictModel):
    """A process as it was found. What could not be read is null or empty."""

    pid: Ordinal = Field(description="Its process id.")
    parent_pid: Count = Field(description="Process id of its parent; 0 when not known.")
    name: str = Field(description="Its name; on Linux the first 15 bytes of it.")
    command: str = Field(
        description="Its command line, cut off when long; known secret values are masked."
    )
    state: str = Field(
        description=(
            "Such as running, sleeping, disk_sleep, stopped, tracing_stop or zombie; unknown when"
            " not known."
        )
    )
    wait_channel: str | None = Field(
        description="Function of the kernel that its first thread sleeps in; null when not known."
    )
    threads: Count | None = Field(description="How many threads it has.")
    age_seconds: float | None = Field(
        description="How long it has been running, in seconds; null except on Linux."
    )
    rss_bytes: Count | None = Field(description="Its resident memory, in bytes.")
    user_seconds: float | None = Field(description="Processor time in user mode, in seconds.")
    system_seconds: float | None = Field(description="Processor time in the kernel, in seconds.")
    cwd: str | None = Field(description="Its working directory; known secret values are masked.")
    open_files: tuple[OpenFile, ...] = Field(
        description="Its descriptors that are not sockets; empty except on Linux."
    )
    sockets: tuple[OpenSocket, ...] = Field(
        description="Its descriptors that are sockets; empty except on Linux."
    )


class Reader:
    """A reader of one process, a piece at a time.

    Each method may hang, and raises what psutil and the system raise.
    """

    def __init__(self, proc: str = "/proc") -> None:
        self._proc = proc
        self.has_proc = os.path.exists(f"{proc}/self/stat")

    def basics(self, pid: int) -> Mapping[str, Any]:
        """Return the kernel's counts; None stands for one that cannot be read."""
        wanted = ("ppid", "status", "num_threads", "memory_info", "cpu_times")
        found: Mapping[str, Any] = psutil.Process(pid).as_dict(wanted)
        return found

    def name(self, pid: int) -> str:
        """Return a process's name. psutil would read the command line to complete a long one."""
        return self._line(pid, "comm") if self.has_proc else psutil.Process(pid).name()

    def wait_channel(self, pid: int) -> str:
        """Return the function of the kernel that its first thread sleeps in; empty or 0 if none."""
        return self._line(pid, "wchan") if self.has_proc else ""

    def descriptors(self, pid: int) -> Iterator[tuple[int, str]]:
        """Yield the number and target of each descriptor; none without /proc."""
        return descriptors(pid, self._proc) if self.has_proc else iter(())

    def connections(self, pid: int) -> Sequence[Any]:
        """Return its sockets, of the kinds that psutil knows."""
        return psutil.Process(pid).net_connections("all")

    def command(self, pid: int) -> str:
        """Return the program and its arguments. Hangs while the process's memory is locked."""
        return _text(" ".join(psutil.Process(pid).cmdline()))

    def working_directory(self, pid: int) -> str:
        """Return its working directory."""
        return _text(psutil.Process(pid).cwd())

    def _line(self, pid: int, name: str) -> str:
        with open(f"{self._proc}/{pid}/{name}", "rb") as file:
            return file.read().decode(errors="replace").strip()


def collect(
    pids: Sequence[int],
    masker: Masker,
    seconds: float = COLLECT_SECONDS_MAX,
    read: Reader | None = None,
) -> tuple[tuple[ProcessSnapshot, ...], bool]:
    """Return snapshots of the processes (the first is the leader), and whether that is everything.

    Returns after at most `seconds`, with what has been read by then. A process that is gone is left
    out, and does not count as missing. Something is missing if the time was too short, a limit was
    reached, or a part of a process cannot be read. Raises nothing.
    """
    deadline = time.monotonic() + seconds
    collection = _Collection(pids, masker, deadline, read or Reader())
    thread = threading.Thread(target=collection.run, daemon=True)  # a read may hang forever
    try:
        thread.start()
    except RuntimeError:  # no thread can be started: the stage may use up all
        collection.read_all(collection.read_basics)  # nothing in it is known to hang
        return collection.result(is_over=False)
    thread.join(seconds)
    return collection.result(is_over=not thread.is_alive())


class _Collection:
    """The snapshots so far: the most important part of every process first, what may hang last."""

    def __init__(self, pids: Sequence[int], masker: Masker, deadline: float, read: Reader) -> None:
        wanted = [pid for pid in dict.fromkeys(pids) if pid > 0]
        self._is_whole = len(wanted) <= PROCESSES_MAX
        self._pids = wanted[:PROCESSES_MAX]
        self._masker = masker
        self._deadline = deadline
        self._read = read
        self._snapshots: dict[int, ProcessSnapshot] = {}  # its entries are replaced whole

    def run(self) -> None:
        """Read everything, until the time is up."""
        for piece in (self.read_basics, self._read_descriptors, self._read_command):
            self.read_all(piece)

    def read_all(self, piece: Callable[[int], None]) -> None:
        """Read one piece of every process."""
        for pid in self._pids:
            if time.monotonic() >= self._deadline:
                self._is_whole = False
                return
            try:
                piece(pid)
            except (FileNotFoundError, ProcessLookupError, psutil.NoSuchProcess):
                pass  # it has ended
            except Exception:  # noqa: BLE001 - whatever a black box meets, it breaks nothing
                self._is_whole = False

    def result(self, *, is_over: bool) -> tuple[tuple[ProcessSnapshot, ...], bool]:
        """Return what has been read so far, and whether nothing is missing."""
        found = (self._snapshots.get(pid) for pid in self._pids)
        return tuple(one for one in found if one is not None), self._is_whole and is_over

    def _note(self, pid: int, **found: Any) -> None:
        self._snapshots[pid] = self._snapshots[pid].model_copy(update=found)

    def read_basics(self, pid: int) -> None:
        """Read the kernel's counts for a process, and what it waits for."""
        found = self._read.basics(pid)
        state = (found["status"] or "unknown").replace("-", "_")
        memory, times = found["memory_info"], found["cpu_times"]
        if state != ZOMBIE and None in found.values():
            self._is_whole = False
        self._snapshots[pid] = ProcessSnapshot(
            pid=pid,
            parent_pid=found["ppid"] or 0,
            name=self._masker.masked_end(self._read.name(pid)),  # the kernel truncates names
            command="",
            state=state,
            wait_channel=None,
            threads=found["num_threads"],
            age_seconds=age_seconds(pid) if self._read.has_proc else None,
            rss_bytes=memory.rss if memory else None,
            user_seconds=times.user if times else None,
            system_seconds=times.system if times else None,
            cwd=None,
            open_files=(),
            sockets=(),
        )
        channel = self._read.wait_channel(pid)
        # A compiler adds `.constprop.0` and the like to the names of functions.
        self._note(pid, wait_channel=None if channel in {"", "0"} else channel.partition(".")[0])

    def _read_descriptors(self, pid: int) -> None:
        if not self._has_not_ended(pid):
            return
        self._note(pid, cwd=self._masker.mask(self._read.working_directory(pid)))
        files: list[OpenFile] = []
        inodes: dict[int, str] = {}
        for number, target in itertools.islice(self._read.descriptors(pid), DESCRIPTORS_MAX):
            if target.startswith(_SOCKET) and len(inodes) < SOCKETS_MAX:
                inodes[number] = target
            elif not target.startswith(_SOCKET) and len(files) < FILES_MAX:
                files.append(OpenFile(descriptor=number, path=self._masker.mask(target)))
            else:
                self._is_whole = False
        self._note(pid, open_files=tuple(files), sockets=self._sockets(inodes, ()))
        if inodes:
            self._note(pid, sockets=self._sockets(inodes, self._read.connections(pid)))

    def _sockets(self, inodes: Mapping[int, str], found: Sequence[Any]) -> tuple[OpenSocket, ...]:
        """Return the sockets by descriptor. Of several for one socket, psutil knows the first."""
        by_inode = {inodes[one.fd]: one for one in found if one.fd in inodes}
        sockets = (socket_of(number, by_inode.get(inode)) for number, inode in inodes.items())
        return tuple(
            one.model_copy(update={"local": self._masker.mask(one.local)}) for one in sockets
        )

    def _read_command(self, pid: int) -> None:
        if not self._has_not_ended(pid):
            return
        command = self._masker.mask(self._read.command(pid))
        self._note(pid, command=command[:COMMAND_CHARACTERS_MAX])

    def _has_not_ended(self, pid: int) -> bool:
        """Return whether it is no zombie: a zombie has nothing more, and not everybody may ask."""
        known = self._snapshots.get(pid)
        return known is not None and known.state != ZOMBIE


def _text(found: str) -> str:
    return os.fsencode(found).decode(errors="replace")
