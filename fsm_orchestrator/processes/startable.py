"""Predicts whether a program could be started now. Starts and writes nothing.

Looks where execve(2) would look, and predicts nothing where only a start can show it.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from pathlib import Path
from typing import Final

from fsm_orchestrator.model.endings import Exited, NotSpawned
from fsm_orchestrator.processes.command import (
    Command,
    look_up,
    refused_directory,
    refused_program,
)
from fsm_orchestrator.processes.executable_file import ELF, first_line, head_of, loader_of

_NOT_FOUND, _NOT_EXECUTABLE = 127, 126
"""The exit codes of env(1) if it does not find a program, and if it may not execute it."""
_NESTED_MAX: Final = 5
_WORD_BYTES_MAX: Final = 128 * 1024
"""The longest argument or environment pair that Linux takes (MAX_ARG_STRLEN)."""
_BINFMT: Final = Path("/proc/sys/fs/binfmt_misc")
_BINFMT_CONTROLS: Final = frozenset({"register", "status"})


def foreseen_end(command: Command) -> NotSpawned | Exited | None:
    """Return how a start of `command` would fail now, or None if nothing is known to prevent it.

    It fails as the runner would see it: not spawned, or, if env(1) cannot find the interpreter of a
    script, exited with 127 (126 if it may not execute it).
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
    pairs = [f"{key}={one}" for key, one in command.env.items()]
    words = os.fsencode("\0".join([command.command, *command.args, *pairs])).split(b"\0")
    sizes = [len(word) + 1 for word in words]
    is_too_long = max(sizes) > _WORD_BYTES_MAX or sum(sizes) > os.sysconf("SC_ARG_MAX")
    return errno.E2BIG if is_too_long else 0


def _refusal_of(program: str, cwd: str, nested_max: int) -> int:
    """Return the errno with which execve(2) would refuse a program, or 0 if none is known."""
    try:
        info = os.stat(program)
    except OSError as error:
        return error.errno or 0
    if not stat.S_ISREG(info.st_mode) or not os.access(program, os.X_OK):
        return errno.EACCES
    head = head_of(program)
    if head is None or not sys.platform.startswith("linux"):
        return 0
    if head.startswith(b"#!"):
        words = first_line(head)
        if not words:
            return errno.ENOEXEC
        interpreter = os.path.join(cwd, os.fsdecode(words[0]))
        return _refusal_of(interpreter, cwd, nested_max - 1) if nested_max else errno.ELOOP
    if head.startswith(ELF):
        loader = loader_of(program, head)
        return 0 if loader is None else _refusal_of_loader(os.path.join(cwd, loader))
    return 0 if _has_other_formats() else errno.ENOEXEC


def _refusal_of_loader(loader: str) -> int:
    try:
        os.stat(loader)
    except OSError as error:
        return error.errno or 0
    return 0


def _end_of_env(program: str, command: Command) -> Exited | None:
    """Return how `#!/usr/bin/env NAME` would end if NAME cannot be found or executed."""
    head = head_of(program)
    words = first_line(head) if head is not None and head.startswith(b"#!") else []
    if len(words) < 2 or os.path.basename(words[0]) != b"env":  # noqa: PLR2004 - with a name
        return None
    given = words[1]
    if given.startswith(b"-S"):
        given = (given[2:].split() or [b""])[0]
    if not given or given.startswith(b"-") or b"=" in given:
        return None
    from fsm_orchestrator.processes.search_path import found_on  # noqa: PLC0415 - only for names to look up

    name = os.fsdecode(given)
    path = "" if os.sep in name else command.env.get("PATH", os.defpath)
    seen = os.pathsep.join(os.path.join(command.cwd, one) for one in path.split(os.pathsep))
    if found_on(seen, name) is not None:
        return None
    return Exited(_NOT_EXECUTABLE if found_on(seen, name, mode=os.F_OK) else _NOT_FOUND)


def _has_other_formats() -> bool:
    """Return whether the system may run files that are neither ELF nor script (binfmt_misc)."""
    try:
        return bool(set(os.listdir(_BINFMT)) - _BINFMT_CONTROLS)
    except OSError:
        return False
