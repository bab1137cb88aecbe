"""Explains what a program file needs that the kernel cannot find: its interpreter or its loader.

execve(2) answers ENOENT for both, although the file itself exists.
"""

from __future__ import annotations

import os
import struct
from typing import Final, NamedTuple

from fsm_orchestrator.model.endings import NotSpawned, SpawnFailure
from fsm_orchestrator.text.hidden import copyable

DEPTH_MAX: Final = 5  # as in the kernel: an interpreter may be a script again
ELF: Final = b"\x7fELF"
_BOM: Final = b"\xef\xbb\xbf"
_FIRST_LINE_BYTES_MAX: Final = 256
_PT_INTERP: Final = 3
_SEGMENTS_BYTES_MAX: Final = 1024 * 1024
_PATH_BYTES_MAX: Final = 4096


class _Layout(NamedTuple):
    """The positions in an ELF file that lead to its loader."""

    word: str
    table: int
    entry_sizes: int
    offset: int
    length: int


_LAYOUTS: Final = {1: _Layout("I", 28, 42, 4, 16), 2: _Layout("Q", 32, 54, 8, 32)}
_BYTE_ORDERS: Final = {1: "<", 2: ">"}


def first_line_problem(program: str) -> NotSpawned | None:
    """Return the problem at the end or beginning of a script's first line, if there is one."""
    line = (head_of(program) or b"").split(b"\n", 1)[0]
    if line.startswith(b"#!") and line.endswith(b"\r"):
        shown = line.decode(errors="backslashreplace").removesuffix("\r")
        return NotSpawned(
            SpawnFailure.WINDOWS_LINE_ENDS,
            f"the first line of {copyable(program)}, {shown!r}, ends with a carriage return,"
            " which counts as"
            " a part of it",
        )
    if line.startswith(_BOM + b"#!"):
        return NotSpawned(
            SpawnFailure.BAD_FORMAT,
            f"{copyable(program)} begins with a byte order mark, which hides its #! line",
        )
    return None


def missing_part(program: str) -> NotSpawned:
    """Return what an existing program needs that does not exist."""
    needed_by = program
    for _ in range(DEPTH_MAX):
        problem = first_line_problem(needed_by)
        if problem is not None:
            return problem
        head = head_of(needed_by) or b""
        is_elf = head.startswith(ELF)
        needed = (loader_of(needed_by, head) or "") if is_elf else _interpreter(head)
        if needed and not os.path.exists(needed):
            if is_elf:
                return NotSpawned(
                    SpawnFailure.MISSING_LOADER,
                    f"{copyable(needed_by)} is loaded by {copyable(needed)}, which is not there",
                )
            return NotSpawned(
                SpawnFailure.BAD_INTERPRETER,
                f"{copyable(needed_by)} is there, but its first line names {copyable(needed)},"
                " which is not",
            )
        if not needed:
            break
        needed_by = needed
    return NotSpawned(
        SpawnFailure.BAD_INTERPRETER,
        f"{copyable(program)} is there, but something needed to run it is not",
    )


def _interpreter(head: bytes) -> str:
    words = first_line(head) if head.startswith(b"#!") else []
    return os.fsdecode(words[0]) if words else ""


def head_of(program: str) -> bytes | None:
    """Return the beginning of a program, or None if it can be executed but not read."""
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


def first_line(head: bytes) -> list[bytes]:
    """Return the interpreter of a script and its one argument, if there is one."""
    line = head[2:].split(b"\n", 1)[0].strip(b" \t")
    interpreter, *rest = line.replace(b"\t", b" ").split(b" ", 1)
    return [interpreter, *rest] if interpreter else []


def loader_of(program: str, head: bytes) -> str | None:
    """Return the loader that an ELF program names, or None if it names none or is unreadable."""
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
