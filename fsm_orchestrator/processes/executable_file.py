"""Says why the kernel does not find what a program file needs: its interpreter, its loader.

execve(2) answers ENOENT for all of it, though the file is there.
"""

from __future__ import annotations

import os
import struct
from typing import Final

from fsm_orchestrator.model.endings import NotSpawned, SpawnFailure

HEAD_BYTES: Final = 64 * 1024
DEPTH_MAX: Final = 5  # as in the kernel: an interpreter may be a script again
_BOM: Final = b"\xef\xbb\xbf"
_ELF: Final = b"\x7fELF"
_PT_INTERP: Final = 3


def first_line_problem(program: str) -> NotSpawned | None:
    """Return what is wrong with the end or beginning of a script's first line, if anything is."""
    line = _head(program).split(b"\n", 1)[0]
    if line.startswith(b"#!") and line.endswith(b"\r"):
        shown = line.decode(errors="backslashreplace").removesuffix("\r")
        return NotSpawned(
            SpawnFailure.WINDOWS_LINE_ENDS,
            f"the first line of {program}, {shown!r}, ends with a carriage return, which counts as"
            " a part of it",
        )
    if line.startswith(_BOM + b"#!"):
        return NotSpawned(
            SpawnFailure.BAD_FORMAT,
            f"{program} begins with a byte order mark, which hides its #! line",
        )
    return None


def missing_part(program: str) -> NotSpawned:
    """Return what a program needs that is not there; the program itself is."""
    needed_by = program
    for _ in range(DEPTH_MAX):
        problem = first_line_problem(needed_by)
        if problem is not None:
            return problem
        head = _head(needed_by)
        is_elf = head.startswith(_ELF)
        needed = _loader(head) if is_elf else _interpreter(head)
        if needed and not os.path.exists(needed):
            if is_elf:
                return NotSpawned(
                    SpawnFailure.MISSING_LOADER,
                    f"{needed_by} is loaded by {needed}, which is not there",
                )
            return NotSpawned(
                SpawnFailure.BAD_INTERPRETER,
                f"{needed_by} is there, but its first line names {needed}, which is not",
            )
        if not needed:
            break
        needed_by = needed
    return NotSpawned(
        SpawnFailure.BAD_INTERPRETER,
        f"{program} is there, but something that it is run by is not",
    )


def _head(path: str) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError:
        return b""
    try:
        return os.read(descriptor, HEAD_BYTES)
    except OSError:
        return b""
    finally:
        os.close(descriptor)


def _interpreter(head: bytes) -> str:
    """Return the program that a script's first line names; empty if it names none."""
    line = head.split(b"\n", 1)[0]
    words = line[2:].split(maxsplit=1) if line.startswith(b"#!") else []
    return os.fsdecode(words[0]) if words else ""


def _loader(head: bytes) -> str:
    """Return the loader that an ELF file asks for (elf(5)); empty if it asks for none."""
    try:
        is_wide, order = head[4] == 2, "<" if head[5] == 1 else ">"  # noqa: PLR2004 - ELFCLASS64
        offset_at, count_at = (32, 54) if is_wide else (28, 42)
        (offset,) = struct.unpack_from(f"{order}{'Q' if is_wide else 'I'}", head, offset_at)
        size, count = struct.unpack_from(f"{order}HH", head, count_at)
        for index in range(count):
            at = offset + index * size
            (kind,) = struct.unpack_from(f"{order}I", head, at)
            if kind == _PT_INTERP:
                place = f"{order}Q16xQ" if is_wide else f"{order}I8xI"
                start, length = struct.unpack_from(place, head, at + (8 if is_wide else 4))
                return os.fsdecode(head[start : start + length].rstrip(b"\0"))
    except (IndexError, struct.error, ValueError):
        return ""
    return ""
