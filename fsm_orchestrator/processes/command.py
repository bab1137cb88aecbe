"""The command to start, the lookup of its program, and the reasons why it could not be started."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, NamedTuple

from fsm_orchestrator.model.endings import NotSpawned, SpawnFailure
from fsm_orchestrator.text.hidden import copyable

if TYPE_CHECKING:
    from fsm_orchestrator.processes.cage_order import CageOrder

TOKEN_VARIABLE: Final = "ORCHESTRATOR_ATTEMPT_TOKEN"  # noqa: S105 - a variable's name


class Command(NamedTuple):
    """A command to start: `command` is a path, or a bare name to look up on `search_path`.

    `stdout` and `stderr` are the descriptors that it writes to; `cage` is its confinement; `found`
    is the path at which the name was just found, if it has been looked up.
    """

    command: str
    args: tuple[str, ...]
    cwd: str
    env: Mapping[str, str]
    search_path: str | None
    stdout: int
    stderr: int
    cage: CageOrder | None = None
    found: str | None = None


def look_up(command: Command) -> str | NotSpawned:
    """Return the path of the program, or why it cannot be started."""
    program = command.command
    if os.sep not in program:
        from fsm_orchestrator.processes.search_path import found_on  # noqa: PLC0415 - only for names to look up

        found = command.found or found_on(command.search_path, program)
        if found is None:
            return NotSpawned(SpawnFailure.NOT_FOUND, f"no executable {program!r} on PATH")
        program = os.path.abspath(found)
    elif os.path.isdir(program):
        return NotSpawned(SpawnFailure.IS_DIRECTORY, copyable(program))
    elif not os.path.exists(program):
        return NotSpawned(SpawnFailure.NOT_FOUND, f"{copyable(program)} does not exist")
    elif not os.access(program, os.X_OK):
        return NotSpawned(SpawnFailure.NOT_EXECUTABLE, f"{copyable(program)} may not be executed")
    if not os.path.isdir(command.cwd):
        return NotSpawned(SpawnFailure.BAD_DIRECTORY, f"{copyable(command.cwd)} is not a directory")
    return program


def refused_program(program: str, number: int) -> NotSpawned:
    """Explain why execve(2) refused an existing program; `number` is its errno."""
    if number in {errno.ENOENT, errno.ENOEXEC}:
        from fsm_orchestrator.processes import executable_file  # noqa: PLC0415 - rare

        if number == errno.ENOENT:
            return executable_file.missing_part(program)
        if (problem := executable_file.first_line_problem(program)) is not None:
            return problem
        return NotSpawned(
            SpawnFailure.BAD_FORMAT,
            f"{copyable(program)} is neither a program for this machine nor a script with a #!"
            " line",
        )
    return NotSpawned(SpawnFailure.REFUSED_BY_SYSTEM, f"{copyable(program)}: {os.strerror(number)}")


def no_descriptors(error: OSError) -> NotSpawned:
    """Explain that a process is not started, for lack of a descriptor to watch it by."""
    return NotSpawned(
        SpawnFailure.REFUSED_BY_SYSTEM,
        f"no descriptor is available to watch it by: {os.strerror(error.errno or 0)}",
    )


def refused_directory(directory: str, number: int) -> NotSpawned:
    """Explain why chdir(2) refused an existing directory."""
    return NotSpawned(SpawnFailure.BAD_DIRECTORY, f"{copyable(directory)}: {os.strerror(number)}")
