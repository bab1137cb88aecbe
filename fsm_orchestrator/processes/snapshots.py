"""Snapshots of processes: what each was doing when it was looked at, within a given time.

Whatever can be learned in a fraction of a second is kept; that something is missing is said. On
Linux /proc is read, which is quicker than psutil and tells more; elsewhere psutil tells what it
can. It decides nothing, signals nobody and writes nothing, and it does not find out which
processes belong to a stage.
"""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from pydantic import Field

from fsm_orchestrator.model.base import Count, Ordinal, StrictModel
from fsm_orchestrator.processes.descriptors import (
    PROC,
    OpenFile,
    OpenSocket,
    descriptors,
    network,
    numbered,
    sockets_seen_by,
    working_directory,
)
from fsm_orchestrator.secrets.masking import Masker

COLLECT_SECONDS_MAX: Final = 0.2
PROCESSES_MAX: Final = 256
FILES_MAX: Final = 64
SOCKETS_MAX: Final = 64
DESCRIPTORS_MAX: Final = 1024  # how many of a process are looked at to find its files and sockets
COMMAND_CHARACTERS_MAX: Final = 300
COMMAND_BYTES_MAX: Final = 16_384  # how much of a command is read, to mask it before it is cut
ZOMBIE: Final = "zombie"
"""The state of a process that has ended and that nobody has waited for."""

# Fields of stat after the name, proc(5).
_STATE, _PARENT, _USER, _SYSTEM, _THREADS, _START, _RSS = 0, 1, 11, 12, 17, 19, 21
_UNKNOWN: Final = "unknown"
_STATES: Final = {
    "R": "running",
    "S": "sleeping",
    "D": "disk_sleep",
    "T": "stopped",
    "t": "tracing_stop",
    "Z": ZOMBIE,
    "X": "dead",
    "I": "idle",
}


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
        description="How long it has been running, in seconds; null elsewhere than on Linux."
    )
    rss_bytes: Count | None = Field(description="Its resident memory, in bytes.")
    user_seconds: float | None = Field(description="Processor time in user mode, in seconds.")
    system_seconds: float | None = Field(description="Processor time in the kernel, in seconds.")
    cwd: str | None = Field(description="Its working directory; known secret values are masked.")
    open_files: tuple[OpenFile, ...] = Field(
        description="Its descriptors that are not sockets; empty elsewhere than on Linux."
    )
    sockets: tuple[OpenSocket, ...] = Field(
        description="Its descriptors that are sockets; empty elsewhere than on Linux."
    )


def collect(
    pids: Sequence[int], masker: Masker, seconds: float = COLLECT_SECONDS_MAX
) -> tuple[tuple[ProcessSnapshot, ...], bool]:
    """Snapshots of the processes (the first pid is the leader), and whether that is everything.

    Returns after at most `seconds`, with what has been read by then. A process that is gone is
    left out, and is not missing. Something is missing when the time was too short, when a limit
    was reached, or when we may not read something of a process. Raises nothing.
    """
    deadline = time.monotonic() + seconds
    reading = _Reading(pids, masker, deadline)
    threads: list[threading.Thread] = []
    try:
        for read in reading.passes:
            thread = threading.Thread(target=reading.run, args=(read,), daemon=True)
            thread.start()
            threads.append(thread)
            # A read can hang for ever, as that of a command line does while the process's memory
            # is locked. It costs what comes after it half of the time left, and not all of it.
            share = 1 if read == reading.passes[-1] else 2
            thread.join(max(0.0, deadline - time.monotonic()) / share)
            if thread.is_alive():
                reading.is_whole = False
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
    except RuntimeError:  # no thread can be had: the stage may use up all there are
        reading.is_whole = False
        if not threads:
            reading.run(reading.passes[0])  # nothing in it is known to hang
    return reading.result()


class _Reading:
    """What has been read so far, pass by pass, the most telling first, each on its own thread."""

    def __init__(self, pids: Sequence[int], masker: Masker, deadline: float) -> None:
        wanted = [pid for pid in dict.fromkeys(pids) if pid > 0]
        self.is_whole = len(wanted) <= PROCESSES_MAX
        self._pids = wanted[:PROCESSES_MAX]
        self._masker = masker
        self._deadline = deadline
        self._lock = threading.Lock()  # not held while anything is read
        self._snapshots: dict[int, ProcessSnapshot] = {}
        self._inodes: dict[int, dict[int, str]] = {}
        self._sockets: dict[str, dict[str, OpenSocket]] = {}
        self.passes: tuple[Callable[[int], None], ...] = (self._ask,)
        if os.path.exists(f"{PROC}/self/stat"):
            self.passes = (
                *(self._read_basics, self._read_command),
                *(self._read_descriptors, self._read_sockets),
            )

    def run(self, read: Callable[[int], None]) -> None:
        """Read one thing of every process."""
        for pid in self._pids:
            if self._is_late():
                return
            try:
                read(pid)
            except (FileNotFoundError, ProcessLookupError):
                pass  # it has ended
            except Exception:  # noqa: BLE001 - whatever a black box meets, it breaks nothing
                self.is_whole = False

    def result(self) -> tuple[tuple[ProcessSnapshot, ...], bool]:
        """What has been read so far, and whether nothing is missing."""
        with self._lock:
            known = (self._snapshots.get(pid) for pid in self._pids)
            return tuple(one for one in known if one is not None), self.is_whole

    def _is_late(self) -> bool:
        """Whether the time is up; what has not been read by then is missing."""
        is_late = time.monotonic() >= self._deadline
        if is_late:
            self.is_whole = False
        return is_late

    def _note(self, pid: int, **read: Any) -> None:
        with self._lock:
            if pid in self._snapshots:
                self._snapshots[pid] = self._snapshots[pid].model_copy(update=read)

    def _read_basics(self, pid: int) -> None:
        name, _, rest = _read(f"{PROC}/{pid}/stat").partition(b"(")[2].rpartition(b") ")
        fields = rest.decode("ascii").split()
        second = os.sysconf("SC_CLK_TCK")
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[_START]) / second
        self._snapshots[pid] = ProcessSnapshot(
            pid=pid,
            parent_pid=int(fields[_PARENT]),
            name=self._masker.mask(_text(name)),
            command="",
            state=_STATES.get(fields[_STATE], _UNKNOWN),
            wait_channel=None,
            threads=int(fields[_THREADS]),
            age_seconds=round(max(0.0, age), 2),
            rss_bytes=int(fields[_RSS]) * os.sysconf("SC_PAGE_SIZE"),
            user_seconds=int(fields[_USER]) / second,
            system_seconds=int(fields[_SYSTEM]) / second,
            cwd=None,
            open_files=(),
            sockets=(),
        )
        channel = _text(_read(f"{PROC}/{pid}/wchan")).strip()
        # A compiler adds `.constprop.0` and the like to the names of functions.
        self._note(pid, wait_channel=None if channel in {"", "0"} else channel.partition(".")[0])

    def _read_command(self, pid: int) -> None:
        length_max = COMMAND_BYTES_MAX + self._masker.longest_bytes
        arguments = _read(f"{PROC}/{pid}/cmdline", length_max)
        command = self._masker.mask(_text(arguments.replace(b"\0", b" ")).strip())
        if len(arguments) == length_max:  # what is read may end within a value, unmasked there
            command = command[: max(0, len(command) - self._masker.longest_bytes)]
        self._note(pid, command=command[:COMMAND_CHARACTERS_MAX])

    def _read_descriptors(self, pid: int) -> None:
        known = self._snapshots.get(pid)
        if known is None or known.state == ZOMBIE:
            return  # a zombie has none, and not everybody may look
        self._note(pid, cwd=self._masker.mask_path(working_directory(pid)))
        files: list[OpenFile] = []
        inodes: dict[int, str] = {}
        for descriptor, target in itertools.islice(descriptors(pid), DESCRIPTORS_MAX):
            is_socket = target.startswith("socket:[")
            if is_socket and len(inodes) < SOCKETS_MAX:
                inodes[descriptor] = target.removeprefix("socket:[").removesuffix("]")
            elif not is_socket and len(files) < FILES_MAX:
                path = self._masker.mask_path(target)
                files.append(OpenFile(descriptor=descriptor, path=path))
            else:
                self.is_whole = False
        self._inodes[pid] = inodes
        self._note(pid, open_files=tuple(files), sockets=numbered(inodes, {}))

    def _read_sockets(self, pid: int) -> None:
        if inodes := self._inodes.get(pid):
            name = network(pid)
            if name not in self._sockets:
                everyones = self._inodes.copy().values()  # one search does for all who share it
                wanted = {inode for one in everyones for inode in one.values()}
                self._sockets[name] = {
                    inode: one.model_copy(update={"local": self._masker.mask_path(one.local)})
                    for inode, one in sockets_seen_by(pid, wanted, self._is_late)
                }
            self._note(pid, sockets=numbered(inodes, self._sockets[name]))

    def _ask(self, pid: int) -> None:
        """All that psutil can tell where there is no /proc."""
        import psutil  # noqa: PLC0415 - not needed on Linux

        asked = (
            *("ppid", "name", "cmdline", "cwd", "status"),
            *("num_threads", "memory_info", "cpu_times"),
        )
        try:
            told = psutil.Process(pid).as_dict(asked)
        except psutil.NoSuchProcess:
            return
        state = (told["status"] or _UNKNOWN).replace("-", "_")
        if state != ZOMBIE and None in told.values():
            self.is_whole = False
        memory, times, cwd = told["memory_info"], told["cpu_times"], told["cwd"]
        command = self._masker.mask(_text(os.fsencode(" ".join(told["cmdline"] or ()))))
        self._snapshots[pid] = ProcessSnapshot(
            pid=pid,
            parent_pid=told["ppid"] or 0,
            name=self._masker.mask(_text(os.fsencode(told["name"] or ""))),
            command=command[:COMMAND_CHARACTERS_MAX],
            state=state,
            wait_channel=None,
            threads=told["num_threads"],
            age_seconds=None,  # only the wall clock would tell
            rss_bytes=memory.rss if memory else None,
            user_seconds=times.user if times else None,
            system_seconds=times.system if times else None,
            cwd=self._masker.mask_path(_text(os.fsencode(cwd))) if cwd else None,
            open_files=(),
            sockets=(),
        )


def _read(path: str, length_max: int = -1) -> bytes:
    with open(path, "rb") as file:
        return file.read(length_max)


def _text(raw: bytes) -> str:
    return raw.decode(errors="replace")
