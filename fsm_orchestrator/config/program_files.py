"""The files of a stage's command: its program, and the files that the program is given."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

from fsm_orchestrator.errors import UsageError
from fsm_orchestrator.text.hidden import copyable

if TYPE_CHECKING:
    from fsm_orchestrator.config.stage_settings import StageSettings
    from fsm_orchestrator.model.program import Pins


class CommandFile(NamedTuple):
    """A file that a command names: the program, or the argument with this number, from 0."""

    argument: int | None
    path: str


def program_path(command: str) -> str | None:
    """Return the path of the program that would be started, or None if it is not found."""
    if os.sep in command:
        return command
    from fsm_orchestrator.processes.search_path import found_on  # noqa: PLC0415 - only for names to look up

    return found_on(os.environ.get("PATH"), command)


def files_of(settings: StageSettings, made: Collection[str]) -> Iterator[CommandFile]:
    """Yield the program and each argument that is a regular file, apart from those in `made`.

    Files that the stage itself makes are no part of its command. Paths in `made` are normal.
    """
    own = {*map(os.path.normpath, settings.artifact_paths), *made}
    program = program_path(settings.command)
    if program is not None and os.path.normpath(program) not in made:
        yield CommandFile(None, program)
    for number, argument in enumerate(settings.args):
        path = os.path.join(settings.cwd, argument)
        if _is_path(argument) and os.path.isfile(path) and os.path.normpath(path) not in own:
            yield CommandFile(number, path)


def pinned(stages: Mapping[str, StageSettings]) -> dict[str, StageSettings]:
    """Return the settings of stages, with the missing pins added.

    Raises:
        UsageError: the program of one cannot be read.
    """
    made = {os.path.normpath(path) for one in stages.values() for path in one.artifact_paths}
    return {
        stage: one._replace(pins=_pins(stage, one, made)) if one.pin and one.pins is None else one
        for stage, one in stages.items()
    }


def _pins(stage: str, settings: StageSettings, made: Collection[str]) -> Pins:
    from fsm_orchestrator.disk.file_digest import digest_and_size  # noqa: PLC0415 - only with a pin
    from fsm_orchestrator.model.program import PinnedFile, Pins  # noqa: PLC0415 - only with a pin

    found = []
    for file in files_of(settings, made):
        sha256, _ = digest_and_size(file.path)
        if sha256 is None and os.path.lexists(file.path):
            raise UsageError(
                f"stage {stage!r} cannot be pinned: {copyable(file.path)} cannot be read",
                remedy="let it be read, or leave the pin out",
            )
        if sha256 is not None:
            found.append(PinnedFile(argument=file.argument, sha256=sha256))
    if not found or found[0].argument is not None:
        raise UsageError(
            f"stage {stage!r} cannot be pinned: its program {copyable(settings.command)} is not"
            " there yet",
            remedy="build it before the run, or leave the pin out",
        )
    return Pins(files=tuple(found))


def changed(settings: StageSettings) -> str | None:
    """Return the path of a file that differs from its pin, or None if there is none."""
    from fsm_orchestrator.disk.file_digest import digest_and_size  # noqa: PLC0415 - only with a pin

    for one in () if settings.pins is None else settings.pins.files:
        if one.argument is None:
            path = program_path(settings.command) or settings.command
        else:
            path = os.path.join(settings.cwd, settings.args[one.argument])
        if digest_and_size(path)[0] != one.sha256:
            return path
    return None


def _is_path(argument: str) -> bool:
    return (
        bool(argument)
        and "\0" not in argument
        and len(os.fsencode(argument)) < os.pathconf("/", "PC_PATH_MAX")
    )
