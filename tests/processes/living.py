"""The life of the zoo's members and the search for them: their signs of life, and /proc.

Imports nothing of the package: isolated interpreters run it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Final, NoReturn

LIFE_SECONDS: Final = 60.0
BEAT_SECONDS: Final = 0.01
SLOW_BEAT_SECONDS: Final = 0.1  # for animals of many members
FORKS_MAX: Final = 300
TREE_DEPTH: Final = 6
RETORT_BYTES: Final = 400_000
GLUTTON_BYTES: Final = 200 * 1024**2
SHORT_LIFE_SECONDS: Final = 0.002
SETTLE_SECONDS: Final = 10.0
PR_SET_CHILD_SUBREAPER: Final = 36  # linux/prctl.h

directory = os.getcwd()
attempt = os.environ.get("ORCHESTRATOR_ATTEMPT", "0")


# Reading /proc


def stat_of(pid: int) -> tuple[str, int, int] | None:
    """Return state, parent and start time of a process, or None when it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            text = file.read()
    except OSError:
        return None
    fields = text[text.rfind(b")") + 2 :].split()
    return fields[0].decode(), int(fields[1]), int(fields[19])


def is_zombie(pid: int) -> bool:
    """Return True if all of it has ended; a first thread may end and leave others at work."""
    stat = stat_of(pid)
    if stat is None or stat[0] not in {"Z", "X"}:
        return False
    try:
        return len(os.listdir(f"/proc/{pid}/task")) <= 1
    except OSError:
        return True


def stands_still(pid: int) -> bool:
    """Return True if a process is stopped, or waits in vfork(2) for a stopped child to execute.

    A shell starts its commands so. While it waits the kernel shows D for it, whatever has arrived.
    """
    stat = stat_of(pid)
    if stat is None or stat[0] != "D":
        return stat is not None and stat[0] in {"T", "t"}
    below = [stat_of(child) for child in children().get(pid, ())]
    return any(child is not None and child[0] == "T" for child in below)


def children() -> dict[int, list[int]]:
    """Return the children of every process, by parent."""
    found: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (stat := stat_of(int(entry))) is not None:
            found.setdefault(stat[1], []).append(int(entry))
    return found


def below(*ancestors: int) -> list[int]:
    """Return every live process below the given ones."""
    tree = children()
    found = [pid for ancestor in ancestors for pid in tree.get(ancestor, ())]
    for pid in found:  # it grows while it is walked
        found.extend(tree.get(pid, ()))
    return [pid for pid in found if not is_zombie(pid)]


# Living


def note(name: str, text: object) -> None:
    """Leave a file for the test, complete from the moment that it exists."""
    path = os.path.join(directory, name)
    draft = f"{path}.{os.getpid()}"
    with open(draft, "w", encoding="ascii") as file:
        file.write(f"{text}\n")
    os.replace(draft, path)


def add(name: str, text: object) -> None:
    """Append a line to a file for the test."""
    with open(os.path.join(directory, name), "a", encoding="ascii") as file:
        file.write(f"{text}\n")


def print_much(count: int) -> None:
    """Print this many bytes, half of them to each output."""
    block = b"all work and no play makes a dull stage\n" * 1600
    for descriptor in (1, 2):
        left = count // 2
        while left > 0:
            left -= os.write(descriptor, block[:left])


def beat() -> None:
    """Show a sign of life, once."""
    pid = os.getpid()
    stat = stat_of(pid)
    start = 0 if stat is None else stat[2]
    add(f"beats/{attempt}.{pid}.{start}", time.monotonic_ns())


def live(interval: float = BEAT_SECONDS) -> NoReturn:
    """Show signs of life until ended."""
    end = time.monotonic() + LIFE_SECONDS
    while time.monotonic() < end:
        beat()
        time.sleep(interval)
    os._exit(0)


def fork(life: Callable[[], object]) -> int:
    """Start a child that has the given life; return its pid."""
    pid = os.fork()
    if pid == 0:
        try:
            life()
        finally:
            os._exit(0)
    return pid


def detach(life: Callable[[], object]) -> None:
    """Start a daemon, with its own session and a parent that is gone."""

    def father() -> None:
        os.setsid()
        fork(life)

    os.waitpid(fork(father), 0)


def may_fork() -> bool:
    """Return True if the stage as a whole may fork once more."""
    descriptor = os.open(os.path.join(directory, "forks"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        os.write(descriptor, b".")
        return os.fstat(descriptor).st_size <= FORKS_MAX
    finally:
        os.close(descriptor)


def be_subreaper(*, is_one: bool) -> None:
    """Let orphans below this process come to it, or no longer do so."""
    import ctypes  # noqa: PLC0415 - slow to load, and most have no use for it

    assert ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, int(is_one), 0, 0, 0) == 0
