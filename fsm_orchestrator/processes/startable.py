"""Foretells whether a program could be started as things are. Starts and writes nothing.

Looks where execve(2) would look, and stays silent where only a start can tell.
"""

from __future__ import annotations

import errno
import os
import stat
import struct
import sys
from pathlib import Path
from typing import Final, NamedTuple

from fsm_orchestrator.model.endings import Exited, NotSpawned
from fsm_orchestrator.processes.command import (
    Command,
    look_up,
    refused_directory,
    refused_program,
)

_NOT_FOUND, _NOT_EXECUTABLE = 127, 126
"""What env(1) exits with when it does not find a program, and when it may not execute it."""
_FIRST_LINE_BYTES_MAX: Final = 256
_NESTED_MAX: Final = 5
_WORD_BYTES_MAX: Final = 128 * 1024
"""The longest argument or environment pair that Linux takes (MAX_ARG_STRLEN)."""
_BINFMT: Final = Path("/proc/sys/fs/binfmt_misc")
_BINFMT_CONTROLS: Final = frozenset({"register", "status"})
_ELF: Final = b"\x7fELF"
_PT_INTERP: Final = 3
_SEGMENTS_BYTES_MAX: Final = 1024 * 1024
_PATH_BYTES_MAX: Final = 4096


class _Layout(NamedTuple):
    """Where an ELF file keeps what leads to its loader."""

    word: str
    table: int
    entry_sizes: int
    offset: int
    length: int


_LAYOUTS: Final = {1: _Layout("I", 28, 42, 4, 16), 2: _Layout("Q", 32, 54, 8, 32)}
_BYTE_ORDERS: Final = {1: "<", 2: ">"}


def foreseen_end(command: Command) -> NotSpawned | Exited | None:
    """Return how a start of `command` would fail as things are; None if nothing speaks against it.

    It fails as the runner would see it: not spawned, or, where env(1) looks for the interpreter of
    a script in vain, exited with 127.
    """
    program = look_up(command)
    if isinstance(program, NotSpawned):
        return program
    if not os.access(command.cwd, os.X_OK):
        return refused_directory(command.cwd, errno.EACCES)
    number = _too_long(command) or _refusal_of(program, command.cwd, _NESTED_MAX)
    if number:
        return refused_program(program, number)
    return _end_of_env(program, command)


def _too_long(command: Command) -> int:
    if not sys.platform.startswith("linux"):
        return 0
    words = [command.command, *command.args, *(f"{key}={one}" for key, one in command.env.items())]
    sizes = [len(os.fsencode(word)) + 1 for word in words]
    is_too_long = max(sizes) > _WORD_BYTES_MAX or sum(sizes) > os.sysconf("SC_ARG_MAX")
    return errno.E2BIG if is_too_long else 0


def _refusal_of(program: str, cwd: str, nested_max: int) -> int:
    """Return the errno with which execve(2) would refuse a program; 0 if that is not known."""
    try:
        info = os.stat(program)
    except OSError as error:
        return error.errno or 0
    if not stat.S_ISREG(info.st_mode) or not os.access(program, os.X_OK):
        return errno.EACCES
    head = _head(program)
    if head is None or not sys.platform.startswith("linux"):
        return 0
    if head.startswith(b"#!"):
        words = _first_line(head)
        if not words:
            return errno.ENOEXEC
        interpreter = os.path.join(cwd, os.fsdecode(words[0]))
        return _refusal_of(interpreter, cwd, nested_max - 1) if nested_max else errno.ELOOP
    if head.startswith(_ELF):
        loader = _loader_of(program, head)
        return 0 if loader is None else _refusal_of_loader(os.path.join(cwd, loader))
    return 0 if _has_other_formats() else errno.ENOEXEC


def _refusal_of_loader(loader: str) -> int:
    try:
        os.stat(loader)
    except OSError as error:
        return error.errno or 0
    return 0


def _head(program: str) -> bytes | None:
    """Return the beginning of a program; None where it may be executed, but not read."""
    try:
        descriptor = os.open(program, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except OSError:
        return None
    try:
        return os.read(descriptor, _FIRST_LINE_BYTES_MAX)
    except OSError:
        return None
    finally:
        os.close(descriptor)


def _first_line(head: bytes) -> list[bytes]:
    """Return the interpreter of a script and its one argument, if there is one."""
    line = head[2:].split(b"\n", 1)[0].strip(b" \t")
    interpreter, *rest = line.replace(b"\t", b" ").split(b" ", 1)
    return [interpreter, *rest] if interpreter else []


def _end_of_env(program: str, command: Command) -> Exited | None:
    """Return how `#!/usr/bin/env NAME` would end if NAME cannot be found or executed."""
    head = _head(program)
    words = _first_line(head) if head is not None and head.startswith(b"#!") else []
    if len(words) < 2 or os.path.basename(words[0]) != b"env":  # noqa: PLR2004 - with a name
        return None
    given = words[1]
    if given.startswith(b"-S"):
        given = (given[2:].split() or [b""])[0]
    if not given or given.startswith(b"-") or b"=" in given:
        return None
    import shutil  # noqa: PLC0415 - only for names to look up; it loads every packer

    name = os.fsdecode(given)
    path = command.env.get("PATH", os.defpath)
    seen = os.pathsep.join(os.path.join(command.cwd, one) for one in path.split(os.pathsep))
    if shutil.which(name, path=seen) is not None:
        return None
    return Exited(_NOT_EXECUTABLE if shutil.which(name, os.F_OK, seen) else _NOT_FOUND)


def _loader_of(program: str, head: bytes) -> str | None:
    """Return the loader that an ELF program names; None where it names none or cannot be told."""
    try:
        order, layout = _BYTE_ORDERS[head[5]], _LAYOUTS[head[4]]
        (table,) = struct.unpack_from(order + layout.word, head, layout.table)
        size, count = struct.unpack_from(f"{order}HH", head, layout.entry_sizes)
        with open(program, "rb") as file:
            file.seek(table)
            segments = file.read(min(size * count, _SEGMENTS_BYTES_MAX))
            for start in range(0, len(segments), size):
                (kind,) = struct.unpack_from(f"{order}I", segments, start)
                if kind == _PT_INTERP:
                    word = order + layout.word
                    (offset,) = struct.unpack_from(word, segments, start + layout.offset)
                    (length,) = struct.unpack_from(word, segments, start + layout.length)
                    file.seek(offset)
                    return os.fsdecode(file.read(min(length, _PATH_BYTES_MAX)).rstrip(b"\0"))
    except (KeyError, IndexError, OSError, ValueError, struct.error):
        return None
    return None


def _has_other_formats() -> bool:
    """Return whether the system may run what is neither ELF nor script (binfmt_misc)."""
    try:
        return bool(set(os.listdir(_BINFMT)) - _BINFMT_CONTROLS)
    except OSError:
        return False
