"""The floors' own work: a run's use of the disk and the process table, done bare.

`recorded` notes the durable operations of a run by replacing the functions of `os`; `replay` does
as many of each, with as many bytes, and nothing else.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final
from unittest import mock

_FILLER: Final = memoryview(b"x" * 1_000_000)


class Kind(StrEnum):
    """The operations that are counted."""

    MKDIR = "mkdir"
    WRITE = "write"
    FSYNC_FILE = "file fsync"
    FSYNC_DIRECTORY = "directory fsync"
    RENAME = "rename"
    SPAWN = "spawn"


@dataclass(frozen=True, slots=True)
class Step:
    """One operation; paths relative to the output directory.

    Attributes:
        dest: the new name, for a rename.
        size_bytes: the number of bytes, for a write.
    """

    kind: Kind
    path: str = ""
    dest: str = ""
    size_bytes: int = 0


@contextlib.contextmanager
def recorded(output: Path) -> Iterator[list[Step]]:
    """Note this process's operations below `output` and its spawns within the block."""
    steps: list[Step] = []
    names: dict[int, str] = {}

    def relative(path: Any, below: int | None = None) -> str:
        at = output if below is None else os.readlink(f"/proc/self/fd/{below}")
        name = os.path.relpath(os.path.join(at, os.fspath(path)), output)
        is_outside = name.startswith(f"..{os.sep}")
        return f"outside-{Path(name).name}" if is_outside else name

    def note(kind: Kind, path: str = "", dest: str = "", size_bytes: int = 0) -> None:
        steps.append(Step(kind, path, dest, size_bytes))

    real = {name: getattr(os, name) for name in _WATCHED}

    def opened(path: Any, *args: Any, **kwargs: Any) -> int:
        descriptor: int = real["open"](path, *args, **kwargs)
        names[descriptor] = relative(path, kwargs.get("dir_fd"))
        return descriptor

    def written(descriptor: int, data: Any) -> int:
        size_bytes: int = real["write"](descriptor, data)
        if descriptor in names and stat.S_ISREG(os.fstat(descriptor).st_mode):
            note(Kind.WRITE, names[descriptor], size_bytes=size_bytes)
        return size_bytes

    def synced(descriptor: int) -> None:
        is_directory = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        kind = Kind.FSYNC_DIRECTORY if is_directory else Kind.FSYNC_FILE
        real["fsync"](descriptor)
        note(kind, names.get(descriptor, "."))

    def renamed(source: Any, dest: Any, *, src_dir_fd: Any = None, dst_dir_fd: Any = None) -> None:
        real["replace"](source, dest, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)
        note(Kind.RENAME, relative(source, src_dir_fd), relative(dest, dst_dir_fd))

    def made(path: Any, *args: Any, **kwargs: Any) -> None:
        real["mkdir"](path, *args, **kwargs)
        note(Kind.MKDIR, relative(path, kwargs.get("dir_fd")))

    def spawned(*args: Any, **kwargs: Any) -> int:
        note(Kind.SPAWN)
        pid: int = real["posix_spawn"](*args, **kwargs)
        return pid

    stand_ins = (opened, written, synced, synced, renamed, renamed, made, spawned)
    with contextlib.ExitStack() as stack:
        for name, stand_in in zip(_WATCHED, stand_ins, strict=True):
            stack.enter_context(mock.patch.object(os, name, stand_in))
        yield steps


_WATCHED: Final = (
    *("open", "write", "fsync", "fdatasync"),
    *("replace", "rename", "mkdir", "posix_spawn"),
)


def counts(steps: Sequence[Step]) -> Counter[Kind]:
    """Return the number of operations of each kind."""
    return Counter(step.kind for step in steps)


def replay(steps: Sequence[Step], output: Path) -> None:
    """Do the operations of `steps` in `output`, except the spawns."""
    descriptors: dict[str, int] = {}

    def file(name: str) -> int:
        if name not in descriptors:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            descriptors[name] = os.open(output / name, flags)
        return descriptors[name]

    for step in steps:
        match step.kind:
            case Kind.MKDIR:
                os.mkdir(output / step.path)
            case Kind.WRITE:
                os.write(file(step.path), _FILLER[: step.size_bytes])
            case Kind.FSYNC_FILE:
                os.fsync(file(step.path))
            case Kind.FSYNC_DIRECTORY:
                sync_directory(output / step.path)
            case Kind.RENAME:
                if step.path in descriptors:
                    os.close(descriptors.pop(step.path))
                os.rename(output / step.path, output / step.dest)
            case Kind.SPAWN:
                pass
    for descriptor in descriptors.values():
        os.close(descriptor)


def spawn(*argv: str) -> None:
    """Start a program and wait for its end."""
    os.waitpid(os.posix_spawn(argv[0], argv, os.environ), 0)


def replace_file(path: Path, data: bytes) -> None:
    """Replace a file durably: write, fsync, rename, fsync of the directory."""
    temporary = f"{path}.tmp"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC)
    os.write(descriptor, data)
    os.fsync(descriptor)
    os.close(descriptor)
    os.rename(temporary, path)
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make the entries of a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    os.fsync(descriptor)
    os.close(descriptor)
