"""A stage's own cgroup, where one can be created: the kernel counts its memory. Linux.

It runs in the keeper's process, whose interpreter cannot import this package; the orchestrator uses
it if the keeper is gone. A cgroup can be created below one that was delegated to the user
(`systemd-run --user --scope -p Delegate=yes`). Only its leaves may have processes: so orchestrator
and keeper move into their own leaf, if nobody else is in their cgroup.
"""

from __future__ import annotations

import os
import time

LEAF = "fsm-orchestrator"
CONTROLLERS = {"memory", "pids"}
THREADS_SPARE = 1024
"""The number of tasks allowed in addition to the allowed processes: a thread is also a task. Excess
processes are found by counting; this bounds processes that start others between two counts."""
REMOVE_SECONDS_MAX = 1.0
WAIT_SECONDS = 0.005


class TreeCgroup:
    """The cgroup of one stage. `close` it."""

    def __init__(self, memory_bytes: int | None, processes: int | None) -> None:
        """Create it.

        Raises:
            OSError: none can be created here.
        """
        parent = _delegated()
        self._home = _own()
        self._path = _path_of(parent, os.getpid())
        self._memory_bytes = memory_bytes
        os.mkdir(self._path)
        try:
            if memory_bytes is not None:
                self._set("memory.max", memory_bytes)
                self._set("memory.oom.group", 1)
                if os.path.exists(f"{self._path}/memory.swap.max"):
                    self._set("memory.swap.max", 0)
            if processes is not None:
                self._set("pids.max", processes + THREADS_SPARE)
        except OSError:
            os.rmdir(self._path)
            raise

    def enter(self) -> None:
        """Move this process into it: what it starts from then on begins there."""
        self._set("cgroup.procs", os.getpid())

    def leave(self) -> None:
        """Move this process back."""
        _write(f"{self._home}/cgroup.procs", os.getpid())

    def memory_used(self) -> int | None:
        """Return the memory used if the kernel killed it for that, or None if it did not."""
        events = dict(line.split() for line in _read(f"{self._path}/memory.events").splitlines())
        if self._memory_bytes is None or not int(events.get("oom_kill", 0)):
            return None
        return self._memory_bytes + 1  # the kernel grants no more; more was requested

    def kill(self) -> None:
        """Kill all that is in it."""
        try:
            self._set("cgroup.kill", 1)
        except OSError:  # before Linux 5.14
            return

    def close(self) -> None:
        """Remove it; dead processes leave it in a moment."""
        _remove(self._path)

    def _set(self, name: str, value: int) -> None:
        _write(f"{self._path}/{name}", value)


def end_all_of(keeper: int) -> None:
    """Kill what is left in the cgroup of a keeper that is gone, and remove the cgroup."""
    try:
        own = _own()
    except OSError:
        return
    for parent in (own, os.path.dirname(own)):
        path = _path_of(parent, keeper)
        if os.path.isdir(path):
            try:
                _write(f"{path}/cgroup.kill", 1)
            except OSError:
                return
            _remove(path)


def _path_of(parent: str, keeper: int) -> str:
    return f"{parent}/fsm-stage-{keeper}"


def _own() -> str:
    """Return the path of the cgroup that this process is in.

    Raises:
        OSError: there is none, or it cannot be seen.
    """
    found = [line[3:] for line in _read("/proc/self/cgroup").splitlines() if line[:3] == "0::"]
    for line in _read("/proc/self/mountinfo").splitlines():
        fields, _, rest = line.partition(" - ")
        root, place = fields.split()[3:5]
        if found and rest.split()[0] == "cgroup2" and (found[0] + "/").startswith(root):
            path = place + found[0][len(root.rstrip("/")) :]
            if os.path.isdir(path):
                return path.rstrip("/")
    raise OSError("there is no cgroup of version 2")


def _delegated() -> str:
    """Return the cgroup below which cgroups with limits can be created.

    Raises:
        OSError: there is none.
    """
    own = _own()
    above = os.path.dirname(own)
    if os.path.basename(own) == LEAF and set(_read_words(above)) >= CONTROLLERS:
        return above
    if set(_read_words(own)) >= CONTROLLERS:
        return own
    # This moves processes: only this program's own, and never those of a whole machine.
    ours = {os.getpid(), os.getppid()}
    if {int(pid) for pid in _read(f"{own}/cgroup.procs").split()} != ours:
        raise OSError("others are in the cgroup")
    leaf = f"{own}/{LEAF}"
    os.mkdir(leaf)
    try:
        for pid in ours:
            _write(f"{leaf}/cgroup.procs", pid)
        for one in CONTROLLERS:
            _write(f"{own}/cgroup.subtree_control", f"+{one}")
    except OSError:
        for pid in ours:
            _write(f"{own}/cgroup.procs", pid)
        os.rmdir(leaf)
        raise
    return own


def _read_words(path: str) -> list[str]:
    return _read(f"{path}/cgroup.subtree_control").split()


def _remove(path: str) -> None:
    deadline = time.monotonic() + REMOVE_SECONDS_MAX
    while True:
        try:
            os.rmdir(path)
        except OSError:
            if time.monotonic() >= deadline or not os.path.isdir(path):
                return
            time.sleep(WAIT_SECONDS)
        else:
            return


def _read(path: str) -> str:
    with open(path, encoding="ascii", errors="surrogateescape") as file:
        return file.read()


def _write(path: str, value: int | str) -> None:
    with open(path, "wb", buffering=0) as file:
        file.write(str(value).encode())
