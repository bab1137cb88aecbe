"""Refuses a cage that would not close: one from which the run's own record could be written."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from fsm_orchestrator.config.stage_settings import StageSettings
from fsm_orchestrator.constants import LOGS_DIRECTORY
from fsm_orchestrator.errors import UsageError
from fsm_orchestrator.secrets.state_directory import NoStateDirectoryError, state_directory
from fsm_orchestrator.stages.confining import artifact_directories
from fsm_orchestrator.text.hidden import copyable


def refuse_open_cages(output: Path, settings: Mapping[str, StageSettings]) -> None:
    """Refuse paths that a confined stage may write to if the run's record is in them.

    Raises:
        UsageError: a stage could write to the record, or to the run's private file.
    """
    for stage, one in settings.items():
        if one.confine is None:
            continue
        for what, path in _writable(one):
            _refuse_record(stage, what, path, output)
            _refuse_private(stage, what, path, output)


def _writable(settings: StageSettings) -> Iterator[tuple[str, str]]:
    confine = settings.confine
    yield from (("", path) for path in (confine.write if confine else None) or ())
    for directory in artifact_directories(settings):
        yield "the directory of its expected artifacts, ", directory


def _refuse_record(stage: str, what: str, path: str, output: Path) -> None:
    real, out = os.path.realpath(path), os.path.realpath(output)
    if _is_within(out, real):
        where = "is the output directory" if real == out else "has the output directory in it"
    elif real == os.path.join(out, LOGS_DIRECTORY) or (
        os.path.dirname(real) == out and not (what or os.path.isdir(real))
    ):
        where = "is one of the run's own"
    else:
        return
    raise UsageError(
        f"stage {stage!r} is confined, and may write to {what}{copyable(path)}, which {where}:"
        " it could"
        " change the record of the run",
        remedy=f"let it write to a directory of its own, such as {copyable(output / stage)}"
        if what
        else "name a directory beside the output directory, or put the output directory elsewhere",
    )


def _refuse_private(stage: str, what: str, path: str, output: Path) -> None:
    try:
        private = state_directory(output)
    except NoStateDirectoryError:
        return
    if not _is_within(os.path.realpath(private), os.path.realpath(path)):
        return
    raise UsageError(
        f"stage {stage!r} is confined, and may write to {what}{copyable(path)}, which has the"
        " private files"
        f" of runs in it, {copyable(private)}",
        remedy="name narrower directories, or set XDG_STATE_HOME to a place outside of them",
    )


def _is_within(path: str, directory: str) -> bool:
    return path == directory or path.startswith(os.path.join(directory, ""))
