"""What adds to the problem of an attempt: why its program failed, how its paths were given."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

from fsm_orchestrator.config.stage_settings import StageSettings
from fsm_orchestrator.model.endings import (
    ArtifactsWrong,
    Exited,
    NotSpawned,
    ProcessEnd,
    SpawnFailure,
    StageResult,
)
from fsm_orchestrator.stages.artifacts import ArtifactsVerdict

NAMED_MAX: Final = 3


def start_problem_of(end: ProcessEnd, command: str) -> NotSpawned | None:
    """Return what kept the program from being run as it should, as far as that can be told."""
    if isinstance(end, NotSpawned):
        return end
    if not isinstance(end, Exited) or end.code == 0 or os.sep not in command:
        return None
    from fsm_orchestrator.processes.executable_file import first_line_problem  # noqa: PLC0415 - rare

    return first_line_problem(command)


def how_given(
    result: StageResult,
    verdict: ArtifactsVerdict,
    settings: StageSettings,
    given: Mapping[str, str],
) -> list[str]:
    """Return how the paths were given that nothing was found at.

    `given` says it of each path that was given now, and relative to something.
    """
    match result:
        case NotSpawned(failure=SpawnFailure.BAD_DIRECTORY):
            paths = [settings.cwd]
        case NotSpawned(failure=SpawnFailure.NOT_FOUND | SpawnFailure.IS_DIRECTORY):
            paths = [settings.command]
        case ArtifactsWrong():
            paths = [one.path for one in verdict.missing]
        case _:
            return []
    said = dict.fromkeys(given[path] for path in paths if path in given)
    return list(said)[:NAMED_MAX]
